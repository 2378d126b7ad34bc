"""The same labelled set for two configurations, and the work of running both on it. No gradio here,
and no torch before a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from semerge.examples import Examples
from semerge.ui.compare_sides import Sides
from semerge.ui.inspect_choice import FOLDER, UPLOAD, Choice
from semerge.ui.inspect_runs import Run


@dataclass(frozen=True)
class Pair:
    """The set, as a Choice for each side."""

    a: Choice
    b: Choice

    def check(self, examples: Examples) -> None:
        """Raises UserError for what can be told before anything is read."""
        self.a.check(examples)
        self.b.check(examples)

    def same(self, other: Pair) -> bool:
        """Whether both ask for the same rows, however their settings are spelt."""
        return self._asked == other._asked

    @property
    def _asked(self) -> list[tuple[Any, ...]]:
        return [
            (c.suite.name, c.kind, c.place, c.limit, c.settings.resolve(c.suite))
            for c in (self.a, self.b)
        ]


def pair_of(sides: Sides, kind: Any, limit: Any, folder: Any, upload: Any) -> Pair:
    """The set that the form names, for both sides."""
    place = str((upload if kind == UPLOAD else folder if kind == FOLDER else "") or "")
    count = limit if isinstance(limit, int) and limit > 0 else None
    a, b = (
        Choice(suite, str(kind), place=place, limit=count, settings=settings)
        for suite, settings in sides
    )
    return Pair(a, b)


def comparing(engine: Callable[[str], Any], pair: Pair, examples: Examples) -> Callable[[Run], Any]:
    """The work of a run: wait for the engines, read the samples, compare."""

    def work(run: Run) -> Any:
        run.reaches("Loading the models")
        choices = (pair.a, pair.b)
        engines = [engine(choice.suite.name) for choice in choices]
        from semerge.evaluation.comparison import Side, compare  # imports torch

        run.reaches("Reading the samples")
        first = pair.a.sets(examples)
        second = first if pair.a.suite is pair.b.suite else pair.b.sets(examples)
        a, b = (
            Side(models, sets, choice.settings.resolve(choice.suite))
            for models, sets, choice in zip(engines, (first, second), choices, strict=True)
        )
        run.reaches("Running", first.total + (0 if second is first else second.total))
        keep: Any = run.keep  # it takes a comparison for an inspection
        return compare(a, b, run.progress, run.cancelled, keep)

    return work
