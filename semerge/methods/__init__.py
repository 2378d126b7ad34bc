"""Static merging methods, one a file: what turns experts into what is merged.

A method is a function of the suite's task vectors, with typed keyword options:

    @method("ties", title="TIES-Merging", paper="arXiv 2306.01708", scale=0.3)
    def ties(vectors: TaskVectors, *, density: Share = 0.2) -> TaskVectors: ...

It gives either *effective task vectors*: the static merge is then θ0 + scale · Σt τ't, and
SE-Merging rescales them; or *one merged model*, its parameters by name: that is then the static
merge and the model that is probed, and SE-Merging rescales the original task vectors. The experts
themselves are the original ones whatever the method.

What a method needs beside the weights is said by `needs`, and handed to it after the task vectors:
`Samples` for "inputs" and "labels", Adam's second moments for "moments".

Importing this room costs no torch: a method's file imports it inside the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from semerge.registry import Entry, Registry

if TYPE_CHECKING:
    from semerge.suites import Suite

FULL_SIZE = 50_000_000
"""Numbers in the model, for `dear`: from there on a singular value decomposition of each matrix of
each expert takes long."""

Need = Literal["", "moments", "inputs", "labels"]
NEEDS: dict[str, str] = {
    "": "nothing",
    "moments": "the second moments of each expert's training",
    "inputs": "samples of each task",
    "labels": "labelled samples of each task",
}
"""What a method may need beside the weights, in words."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Method(Entry):
    """One static merging method.

    scale: λ of its static merge; of T, the number of tasks; or None for the suite's own static λ.
    needs: what it is made from beside the weights, one of NEEDS.
    dear: from how many numbers in the model on making it takes long; what it then makes is kept on
    disk, and no request of the app makes it. None: never. One that needs samples always is.
    """

    scale: float | Callable[[int], float] | None = None
    needs: Need = ""
    dear: int | None = None

    @property
    def sampled(self) -> bool:
        """Whether it is made from samples of the tasks."""
        return self.needs in ("inputs", "labels")

    def is_dear(self, numbers: int) -> bool:
        """Whether making it takes long for a model of so many numbers."""
        return self.sampled or (self.dear is not None and numbers >= self.dear)

    def scale_of(self, suite: Suite) -> float:
        """λ of the static merge of a suite's experts."""
        if self.scale is None:
            return suite.defaults.static_lambda
        return float(self.scale(len(suite.tasks)) if callable(self.scale) else self.scale)


METHODS: Registry[Method] = Registry("semerge.methods", "method")


def method(
    name: str,
    *,
    title: str,
    paper: str = "",
    scale: float | Callable[[int], float] | None = None,
    needs: Need = "",
    dear: int | None = None,
    place: int = 100,
) -> Callable[[F], F]:
    """Register a function as the method `name`; see `Method` for the rest. Raises ValueError where
    it needs what there is not."""
    if needs not in NEEDS:
        raise ValueError(f"method {name!r}: {needs!r} is no need")

    def register(function: F) -> F:
        METHODS.add(
            Method(
                name, function, title, paper=paper, place=place, scale=scale, needs=needs, dear=dear
            )
        )
        return function

    return register
