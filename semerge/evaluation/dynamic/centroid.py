"""Nearest centroid: the task whose samples the base sees, on average, most like this one.

The cheap rival that any router has to beat: one forward pass of the base, and a mean of T features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, base_features, dynamic

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine

SAMPLES = 256


@dynamic(
    "centroid",
    title="nearest centroid",
    needs="inputs",
    note="one pass of the base; needs samples of which the task is known",
)
def centroid(engine: Engine, method: str) -> Made:
    """The distance of the base's final embedding to its mean over samples of each task."""
    import torch

    means = torch.stack([rows.mean(0) for rows in base_features(engine, SAMPLES)])
    return Made(lambda batch: to_means(engine.base_embedding(batch), means), 1.0, means.nbytes)


def to_means(z: Tensor, means: Tensor | Sequence[Tensor]) -> Tensor:
    """Embeddings (B, D) and means (T, D) -> l2 distances (B, T)."""
    import torch

    rows = means if isinstance(means, torch.Tensor) else torch.stack(list(means))
    return torch.cdist(z.to(rows), rows, compute_mode="donot_use_mm_for_euclid_dist")
