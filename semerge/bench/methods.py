"""What merging methods that need no data cost: making a merge, and an answer by it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from semerge.bench.figures import reset_peak, resident
from semerge.bench.subject import Subject
from semerge.bench.work import Case, Tell, exact, interleaved
from semerge.common import UserError
from semerge.methods import METHODS
from semerge.registry import ALL, TASK_ARITHMETIC
from semerge.suites.memory import give_back

ANSWERED = 4  # inputs


def chosen(specs: Iterable[str]) -> tuple[str, ...]:
    """The methods that are meant, each by its canonical spec; "all" are those that need no data.
    Raises UserError where one needs some."""
    found = [
        METHODS.spec(name)
        for spec in specs
        for name in ([e.name for e in METHODS if not e.needs] if spec == ALL else [spec])
    ]
    for spec in found:
        if METHODS[spec].needs:
            raise UserError(f"{METHODS.title(spec)} is not made from weights alone.")
    return tuple(dict.fromkeys(found))


def costs(
    subject: Subject, specs: Iterable[str], rounds: int, tell: Tell = lambda text: None
) -> list[dict[str, Any]]:
    """A row for each method. seconds: to make it, once. peak_over_weights: the most that was in
    memory then, with base and experts, over base and experts; None where the system can't tell.
    answer_over_task_arithmetic: an exact answer by it over one by Task Arithmetic, in turns, once
    it is made; None for random weights, whose suites are too large to hold several methods."""
    rows = []
    for spec in specs:
        tell(f"making {METHODS.title(spec)}")
        seconds, peak = making(subject, spec)
        row = {"method": spec, "seconds": seconds, "peak_over_weights": peak}
        trained = subject.weights == "trained"
        ratio = answering(subject, spec, rounds) if trained else None
        rows.append(row | {"answer_over_task_arithmetic": ratio})
    return rows


@torch.no_grad()
def making(subject: Subject, spec: str) -> tuple[float, float | None]:
    """Seconds, and memory over the weights. What is made is let go."""
    vectors = subject.engine.models.vectors
    weights = sum(x.nbytes for x in vectors.tensors())
    gc.collect()
    give_back()
    reset_peak()
    before, began = resident(), time.perf_counter()
    made = METHODS[spec].function(vectors, **METHODS.chosen(spec))
    seconds = time.perf_counter() - began
    most = resident(peak=True)
    del made
    if before is None or most is None:
        return seconds, None
    return seconds, 1 + (most - before) / weights


def answering(subject: Subject, spec: str, rounds: int) -> float:
    """The ratio of sums of medians over a few inputs."""
    engine = subject.engine

    def case(method: str) -> Case:
        resolved = replace(subject.settings, method=method).resolve(engine.suite)
        return lambda i: exact(engine, engine.models.place(subject.samples[i]), resolved)

    cases = {"own": case(spec), "usual": case(TASK_ARITHMETIC)}
    found = interleaved(cases, min(ANSWERED, len(subject.samples)), rounds)
    return found.ratio("own", "usual")
