"""The other reading of the paper's summaries: distances to representations that are cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.probes import At, probe

if TYPE_CHECKING:
    from torch import Tensor


@probe(
    "cache",
    title="cache",
    needs=("merged", "statistics"),
    compares="the merged model's representation of this input is compared with stored samples of "
    "each task",
    place=2,
)
def cache(at: At) -> Tensor:
    """The distance of the merged model's representation to those of each task's stored samples.

    ||(r - mean_t) @ whiten||, or ||(r - mean_t) * scale||: what the suite stores has one of them.
    """
    import torch

    stored = at.statistics
    difference = at.merged.float()[:, None] - stored.mean  # (B, T, K)
    if stored.whiten is not None:
        return torch.linalg.vector_norm(difference @ stored.whiten, dim=-1)
    assert stored.scale is not None
    return torch.linalg.vector_norm(difference * stored.scale, dim=-1)
