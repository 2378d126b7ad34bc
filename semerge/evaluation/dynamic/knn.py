"""k nearest neighbours: which tasks the most similar samples are of, as the base sees them.

The router of Auto-Switch, "Less is More: Efficient Model Merging with Binary Task Switch", Qi et
al., https://arxiv.org/abs/2412.00054, and its code: k = 10 of 100 samples a task, features of the
pretrained encoder. The code averages the votes over a batch; here each sample has its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, base_features, dynamic

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine

SAMPLES, NEIGHBOURS = 100, 10


@dynamic(
    "knn",
    title="k nearest neighbours",
    paper="arXiv 2412.00054",
    needs="inputs",
    note="Auto-Switch's router, a sample at a time; needs samples of which the task is known",
)
def knn(engine: Engine, method: str) -> Made:
    """One minus the share of a task's samples among the nearest ten, by the base's embedding."""
    import torch

    parts = base_features(engine, SAMPLES)
    rows = torch.cat(parts)
    tasks = torch.cat([torch.full((len(part),), t) for t, part in enumerate(parts)])
    return Made(
        lambda batch: votes(engine.base_embedding(batch), rows, tasks.to(rows.device), len(parts)),
        1.0,
        rows.nbytes,
    )


def votes(z: Tensor, rows: Tensor, tasks: Tensor, count: int, k: int = NEIGHBOURS) -> Tensor:
    """Embeddings (B, D), those of the samples (N, D) with their tasks (N,) -> 1 − share (B, T)."""
    import torch

    found = torch.cdist(z.to(rows), rows, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = found.topk(min(k, len(rows)), largest=False).indices  # (B, k)
    return 1 - torch.nn.functional.one_hot(tasks[nearest], count).double().mean(1)
