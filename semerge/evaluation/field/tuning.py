"""Options and λ of every method by one rule, on validation; no test sample is looked at.

A method starts from what its paper has, its defaults and its own λ. Its options that have a grid
are gone through in the order in which the method states them: each takes the value with the
highest accuracy, the others as they are by then. Then λ does, over its own times FACTORS; one
merged model has none. Accuracy is that of the static merge with the given head, averaged over the
tasks. Of equal values the one that was there stays. What a spec states itself is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from semerge.common import UserError, tell
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.measure import each_batch
from semerge.methods import METHODS

FACTORS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0)
RULE = (
    "From its defaults, each option of a method that has a grid takes its best value, one after "
    "the other as the method states them; then λ, over its own times the factors. Best is the "
    "highest accuracy of the static merge on validation, with the given head, averaged over tasks; "
    "of equal ones that which was there."
)

Score = Callable[[str, Sequence[float]], list[float]]
"""Accuracies of a method, by its spec, at several λ."""


@dataclass(frozen=True)
class Tuned:
    """What was chosen for one method. method: its spec. scale: its λ; None of one merged model.
    grid: what was tried, by option, "lambda" among them. tried: each merge that was measured, with
    its accuracy, a fraction; the first is as published."""

    method: str
    scale: float | None
    accuracy: float
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    tried: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        winner = {"method": self.method, "lambda": self.scale, "accuracy": self.accuracy}
        grid = {name: list(values) for name, values in self.grid.items()}
        return {"grid": grid, "tried": list(self.tried), "winner": winner}


def tune(score: Score, spec: str, scale: float | None) -> Tuned:
    """Choose the options of a method and its λ by the rule above. scale: its own λ, or None where
    it has none. Raises UserError where it can't be made."""
    start = scale if scale is not None else 1.0
    stated = {part.partition("=")[0] for part in spec.partition(":")[2].split(",")}
    tried: list[dict[str, Any]] = []
    known: dict[tuple[str, float], float] = {}

    def scores(spec: str, scales: Sequence[float]) -> list[float]:
        new = [each for each in scales if (spec, each) not in known]
        if new:
            for each, share in zip(new, score(spec, new), strict=True):
                known[spec, each] = share
                told = each if scale is not None else None
                tried.append({"method": spec, "lambda": told, "accuracy": share})
        return [known[spec, each] for each in scales]

    best, grid = METHODS.spec(spec), {}
    (top,) = scores(best, [start])
    for option in METHODS[spec].options:
        if not option.grid or option.name in stated:
            continue
        grid[option.name] = option.grid
        for value in option.grid:
            other = METHODS.spec(best, {option.name: value})
            (share,) = scores(other, [start])
            if share > top:
                best, top = other, share
    chosen = scale
    if scale is not None:
        scales = tuple(start if f == 1 else round(f * start, 6) for f in FACTORS)
        grid["lambda"] = scales
        for each, share in zip(scales, scores(best, scales), strict=True):
            if share > top:
                chosen, top = each, share
    return Tuned(best, chosen, top, grid, tuple(tried))


def tune_all(engine: Engine, sets: Sequence[LabelledSet], specs: Iterable[str]) -> dict[str, Any]:
    """Every method of a table, by its spec without draws: what was chosen, as a `Tuned`, or a
    sentence why it could not be. sets: of validation."""
    found: dict[str, Any] = {}
    names = list(dict.fromkeys(map(without_draw, specs)))
    for number, spec in enumerate(names):
        tell(number, len(names), "methods tuned")
        try:
            variant = engine.variant(spec)
            scale = None if variant.whole is not None else variant.scale
            found[spec] = tune(lambda s, scales: accuracies(engine, sets, s, scales), spec, scale)
        except UserError as error:
            found[spec] = str(error)
    tell(len(names), len(names), "methods tuned")
    return found


def without_draw(spec: str) -> str:
    """A spec without its seed: all draws of a method have the same options."""
    name, _, options = METHODS.spec(spec).partition(":")
    kept = [one for one in options.split(",") if one and not one.startswith("draw=")]
    return name + (f":{','.join(kept)}" if kept else "")


@torch.inference_mode()
def accuracies(
    engine: Engine, sets: Sequence[LabelledSet], spec: str, scales: Sequence[float]
) -> list[float]:
    """Of a method's static merge at several λ, with the given head, averaged over the tasks."""
    models = engine.models
    right = torch.zeros(len(scales), len(engine.suite.tasks), dtype=torch.float64)
    labels = torch.cat([torch.from_numpy(one.labels) for one in sets])
    for own, at, batch in each_batch(engine, sets):
        for row, scale in enumerate(scales):
            z = models.embedding(models.probed(scale, spec), batch, models.start(batch))
            answers = engine.logits(z, engine.suite.task_names[own]).argmax(1).cpu()
            right[row, own] += int((answers == labels[at]).sum())
    there = [engine.suite.index(one.task) for one in sets]
    counts = torch.tensor([len(one) for one in sets], dtype=torch.float64)
    return [float(x) for x in (right[:, there] / counts).mean(1)]
