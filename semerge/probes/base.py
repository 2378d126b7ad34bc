"""The small-λ limit of the paper's probe: how far each expert moves a sample from the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.probes import At, probe

if TYPE_CHECKING:
    from torch import Tensor


@probe(
    "base",
    title="base",
    needs=("base", "experts"),
    compares="the base model's representation of this input is compared with each expert's",
    centre="base",
    place=1,
)
def base(at: At) -> Tensor:
    """The l2 distance of the base's representation to each expert's."""
    from semerge.models import distance

    return distance(at.expert, at.base)
