"""For experts that were fine-tuned plainly: the one that moves a sample farthest from the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.probes import At, probe

if TYPE_CHECKING:
    from torch import Tensor


@probe(
    "displacement",
    title="displacement",
    needs=("base", "experts", "displacements"),
    compares="how far each expert moves this input from the base is compared with how far it "
    "usually moves one",
    place=3,
)
def displacement(at: At) -> Tensor:
    """usual / |f(x; θt) − f(x; θ0)|, so that the expert that moves x farthest, for its measure, is
    the nearest. A reading of this project's own.

    An expert moves the inputs of its own task more than others. How far it moves any input differs
    by expert with the length of its task vector, so each is measured by its own mean over some
    samples of all tasks, for which no label is needed.
    """
    from semerge.models import distance

    assert at.displacements is not None
    return relative(distance(at.expert, at.base), at.displacements)  # (B,) or (T, B)


def relative(moved: Tensor, usual: Tensor) -> Tensor:
    """usual / moved; an expert that does not move a sample at all is far from it, and finite."""
    return usual / moved.clamp(min=1e-6 * usual)
