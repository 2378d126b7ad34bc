"""SiM, a reading: the task whose samples span a subspace in which the base's feature lies best.

"SiM", https://arxiv.org/abs/2606.22589, of which the abstract alone was had: for each task an SVD
basis of the pretrained model's features of about 32 inputs, and the smallest projection residual
wins. Chosen here: the final embedding at unit length, not centred; the right singular vectors that
reach 95 % of the energy, at most 16; softmax(−r / .05) as published weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import PLAIN, Made, base_features, dynamic, subspace

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine

SAMPLES, ENERGY, MOST = 32, 0.95, 16


@dynamic(
    "sim",
    title="SiM (reading)",
    paper="arXiv 2606.22589",
    needs="inputs",
    note="this project's reading of an abstract; one pass of the base; needs samples of which the "
    "task is known",
    published={**PLAIN, "temperature": 0.05, "mass": "1"},
)
def sim(engine: Engine, method: str) -> Made:
    """How much of the base's embedding lies outside the span of each task's samples."""
    bases = [span(rows) for rows in base_features(engine, SAMPLES)]
    return Made(
        lambda batch: residuals(engine.base_embedding(batch), bases),
        1.0,
        sum(basis.nbytes for basis in bases),
    )


def span(rows: Tensor, energy: float = ENERGY, most: int = MOST) -> Tensor:
    """Features (n, D) -> the orthonormal directions (D, r) of their unit vectors that hold the
    share `energy` of their squares."""
    import torch

    _, s, vh = torch.linalg.svd(torch.nn.functional.normalize(rows.double()), full_matrices=False)
    shares = (s.square().cumsum(0) / s.square().sum().clamp(min=1e-30)).clamp(max=1)
    r = min(int((shares < energy - 1e-9).sum()) + 1, most, len(s))
    return vh[:r].mT


def residuals(z: Tensor, bases: list[Tensor]) -> Tensor:
    """Embeddings (B, D) -> ‖z/‖z‖ − V Vᵀ z/‖z‖‖ for the basis V of each task, (B, T)."""
    import torch

    return subspace.residuals(torch.nn.functional.normalize(z.to(bases[0])), bases)
