"""What tells the expert of a sample, one probe a file: distances of B samples to T experts.

A probe is a function of what the models make of the samples at one layer and pooling, with typed
keyword options:

    @probe("base", title="base", needs=("base", "experts"))
    def base(at: At) -> Tensor: ...

`needs` says which models are run to that layer: "merged" (the merged model at the probe's λ),
"base", "experts"; and what the suite has to have stored: "statistics" of some samples of each task,
"displacements", how far each expert moves samples on average. A probe that needs experts is asked
for one expert after the other, or for all in one stack, and answers (B,) or (T, B); one without is
asked once and answers (B, T).

Importing this room costs no torch: a probe's file imports it inside the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from semerge.registry import TASK_ARITHMETIC, Entry, Key, Registry

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.checkpoints.bundled import Statistics

F = TypeVar("F", bound=Callable[..., Any])
NEEDS = ("merged", "base", "experts", "statistics", "displacements")


@dataclass(frozen=True)
class At:
    """What a probe sees at one layer and pooling; what it did not say that it needs is not there.

    merged, base: representations (B, K). expert: those of one expert, (B, K), or of all, (T, B, K).
    statistics: what the suite stores of the probed model's representations here. displacements: of
    that expert how far it moves a sample on average, (), or of all, (T, 1).
    """

    merged: Tensor
    base: Tensor
    expert: Tensor
    statistics: Statistics
    displacements: Tensor | None = None


@dataclass(frozen=True)
class Probe(Entry):
    """One probe. needs: some of NEEDS. compares: what is compared with what, for a sentence.
    centre: the model whose representation the distances are from, "merged" or "base"; "" where they
    are from none."""

    needs: tuple[str, ...] = ()
    compares: str = ""
    centre: str = ""

    @property
    def stored(self) -> bool:
        """Whether it compares with what the suite stores, which was made at one λ."""
        return "statistics" in self.needs


PROBES: Registry[Probe] = Registry("semerge.probes", "probe")


def probe(
    name: str,
    *,
    title: str,
    needs: tuple[str, ...],
    compares: str = "",
    centre: str = "",
    paper: str = "",
    place: int = 100,
) -> Callable[[F], F]:
    """Register a function as the probe `name`; see `Probe` for the rest. Raises ValueError where a
    need is unknown."""
    if unknown := set(needs) - set(NEEDS):
        raise ValueError(f"probe {name}: {', '.join(sorted(unknown))} is no need")

    def register(function: F) -> F:
        PROBES.add(
            Probe(
                name,
                function,
                title,
                paper=paper,
                place=place,
                needs=needs,
                compares=compares,
                centre=centre,
            )
        )
        return function

    return register


def key_at(
    spec: str,
    layer: int | str,
    pool: str,
    probe_lambda: float,
    method: str = TASK_ARITHMETIC,
) -> Key:
    """Where a probe measures; one that runs no merged model has neither its λ nor its method."""
    if spec in PROBES and "merged" not in PROBES[spec].needs:
        return Key(spec, layer, pool)
    return Key(spec, layer, pool, probe_lambda, method)
