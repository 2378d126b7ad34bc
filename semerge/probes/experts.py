"""The paper's probe: how far the merged model is from each expert (arXiv 2506.18135)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.probes import At, probe

if TYPE_CHECKING:
    from torch import Tensor


@probe(
    "experts",
    title="experts (the paper's)",
    needs=("merged", "experts"),
    compares="the merged model's representation of this input is compared with each expert's",
    centre="merged",
    paper="arXiv 2506.18135",
    place=0,
)
def experts(at: At) -> Tensor:
    """The l2 distance of the merged model's representation to each expert's."""
    from semerge.models import distance

    return distance(at.expert, at.merged)
