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
    centre="merged",
    place=2,
)
def cache(at: At) -> Tensor:
    """The distance of the merged model's representation to those of each task's stored samples.

    ||(r - mean_t) @ W||, or ||(r - mean_t) * s||, by the matrix or the scales that a suite stores.
    """
    import torch

    mean, by = at.statistics.mean, at.statistics.by
    difference = at.merged.float()[:, None] - mean  # (B, T, K)
    scaled = difference @ by if by.dim() == 2 else difference * by
    return torch.linalg.vector_norm(scaled, dim=-1)
