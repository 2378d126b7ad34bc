"""The small-λ limit of the paper's probe: how far each expert moves a sample from the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.probes import GAUGES, At, probe

if TYPE_CHECKING:
    from torch import Tensor


@probe(
    "base",
    title="base",
    needs=("base", "experts"),
    compares="the base model's representation of this input is compared with each expert's",
    place=1,
)
def base(at: At) -> Tensor:
    """The l2 distance of the base's representation to each expert's."""
    from semerge.models import distance

    return distance(at.expert, at.base)


@probe(
    "moved",
    title="moved from the base",
    needs=("merged", "base"),
    compares="the merged model's representation of this input is compared with the base's",
    registry=GAUGES,
)
def moved(at: At) -> Tensor:
    """How far the merged model moves the input from the base, over the base's own size, (B, 1).

    Experts that stay where the base is on what is not their own leave such an input there, merged
    too.
    """
    from semerge.models import distance

    far, size = distance(at.merged, at.base), distance(at.base, 0 * at.base)
    return (far / size.clamp(min=1e-12))[:, None]
