"""A suite on labelled sets: one row a sample, and the figures made from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from torch import Tensor

import semerge
from semerge.engine import Engine
from semerge.evaluation.measure import (
    BASE,
    Cancelled,
    Measurement,
    Plan,
    Progress,
    key_of,
    measure,
)
from semerge.evaluation.metrics import average, recovery, summary
from semerge.evaluation.rows import Row
from semerge.evaluation.second import SecondPass, second_pass
from semerge.evaluation.sets import Sets, suite_sets
from semerge.settings import FINAL, POOLS, PRESETS, Resolved, Settings, valid_layers, valid_pools
from semerge.settings import valid_probes as probes_of
from semerge.suites import Suite


@dataclass(frozen=True)
class Request:
    """What to evaluate. An axis of `every` is run over all of its values, as a table beside the
    main figures, which then have the suite's default there."""

    data: str | Path
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    every: tuple[str, ...] = ()  # of probe, layer, pool, preset
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The answer to a Request; `to_dict` is the object of `evaluate --json`."""

    suite: Suite
    data: str
    split: str
    complete: bool  # every task of the suite, no limit
    default: bool  # with the suite's own settings
    config: dict[str, Any]
    rows: tuple[Row, ...]
    table: tuple[dict[str, Any], ...]

    @property
    def real(self) -> tuple[str, ...]:
        """Names of the tasks whose data are real."""
        return tuple(t.name for t in self.suite.tasks if t.real)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries. Accuracies are fractions."""
        found: dict[str, Any] = {
            "suite": self.suite.name,
            "data": self.data,
            "split": self.split,
            "n": len(self.rows),
            "config": self.config,
            **summary(self.rows, self.real),
        }
        return found | ({"table": list(self.table)} if self.table else {})


def evaluate(
    engine: Engine,
    request: Request,
    *,
    notice: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Evaluation:
    """Run a request.

    Raises:
        UserError: settings, data folder or split do not fit the suite.
        Interrupted: `cancelled` said so.
    """
    suite = engine.suite
    main = request.settings.resolve(suite)
    others = list(combinations(suite, request))
    found = suite_sets(suite, request.data, request.split, request.limit, request.seed, notice)
    plan = Plan(
        keys=tuple(dict.fromkeys(key_of(resolved) for resolved in (main, *others))),
        answers=(BASE, suite.defaults.static_lambda),
        own_only=not others,
        caches={("cache", suite.defaults.probe_lambda): engine.models.statistics},
    )
    rounds = _rounds(progress, 2 + len(others))
    measured = measure(engine, found.sets, plan, next(rounds), cancelled)
    runs = []
    for resolved in (main, *others):
        distances = measured.distances[key_of(resolved)]
        runs.append(
            second_pass(engine, found.sets, measured, distances, resolved, next(rounds), cancelled)
        )
    real = {task.name for task in suite.tasks if task.real}
    table = []
    for resolved, run in zip(others, runs[1:], strict=True):
        figures = summary(tuple(make_rows(suite, found, measured, run)), real)
        kept = {key: figures[key] for key in ("average_all", "average_real", "recovery")}
        table.append(_describe(resolved) | kept)
    return Evaluation(
        suite=suite,
        data=found.data,
        split=found.split,
        complete=found.complete,
        default=main == Settings().resolve(suite),
        config=_config(engine, request, main),
        rows=tuple(make_rows(suite, found, measured, runs[0])),
        table=tuple(table),
    )


def _rounds(progress: Progress | None, count: int) -> Iterator[Progress | None]:
    """One callback a round over the samples; together they count to the end once."""

    def part(number: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, total: progress(number * total + done, count * total)

    return (part(number) for number in range(count))


def combinations(suite: Suite, request: Request) -> Iterator[Resolved]:
    """Every valid combination of the axes that `request` runs over; nothing if there are none."""
    settings, every = request.settings, request.every
    methods = request.methods or (settings.method,)
    if not every and len(methods) < 2:
        return
    default = settings.resolve(suite)
    probes = probes_of(suite) if "probe" in every else (default.probe,)
    layers = valid_layers(suite) if "layer" in every else (default.layer,)
    presets = tuple(PRESETS) if "preset" in every else (default.preset,)
    for method, probe, layer in product(methods, probes, layers):
        pools: Sequence[str] = valid_pools(suite, probe, layer)
        if "pool" not in every and layer != FINAL:
            wanted = settings.pool or suite.defaults.pool
            if "layer" in every and wanted not in POOLS[suite.modality]:
                wanted = POOLS[suite.modality][-1]  # the default has no tokens, these layers have
            pools = [p for p in pools if p == wanted] if "probe" in every else [wanted]
        for pool, preset in product(pools, presets):
            yield replace(
                settings,
                method=method,
                probe=probe,
                layer=layer,
                pool=pool,
                preset=preset,
                # statistics were made at the suite's own λ, so a λ of the request is not theirs
                probe_lambda=None if probe == "cache" else settings.probe_lambda,
            ).resolve(suite)


def make_rows(suite: Suite, sets: Sets, measured: Measurement, second: SecondPass) -> Iterator[Row]:
    """One row a sample."""
    static = measured.answers[suite.defaults.static_lambda]
    chosen, tasks = second.chosen, measured.tasks

    def both(answers: Tensor) -> list[tuple[int, int]]:
        oracle, routed = measured.under(answers, tasks), measured.under(answers, chosen)
        return list(zip(oracle.tolist(), routed.tolist(), strict=True))

    columns = [both(measured.answers[BASE]), both(static), both(second.answers)]
    expert = measured.under(measured.expert_of(tasks), tasks).tolist()
    ids = [
        (samples, int(row))
        for samples, rows in zip(sets.sets, sets.rows, strict=True)
        for row in rows
    ]
    for i, (samples, row) in enumerate(ids):
        own, other = suite.tasks[int(tasks[i])], suite.tasks[int(chosen[i])]
        (base, base_r), (merged, merged_r), (se, se_r) = (column[i] for column in columns)
        yield Row(
            id=f"{samples.task}/{samples.split}/{row}",
            task=own.name,
            label=own.classes[int(measured.labels[i])],
            chosen=other.name,
            margin=float(second.margin[i]),
            entropy=float(second.entropy[i]),
            base_oracle=own.classes[base],
            base_routed=other.classes[base_r],
            static_oracle=own.classes[merged],
            static_routed=other.classes[merged_r],
            se_oracle=own.classes[se],
            se_routed=other.classes[se_r],
            expert=own.classes[expert[i]],
        )


def _describe(resolved: Resolved) -> dict[str, Any]:
    names = ("method", "probe", "layer", "pool", "preset", "probe_lambda")
    return {name: getattr(resolved, name) for name in names}


def _config(engine: Engine, request: Request, main: Resolved) -> dict[str, Any]:
    return _describe(main) | {
        "similarity": main.similarity,
        "normalise": main.normalise,
        "temperature": main.temperature,
        "mass": main.mass,
        "static_lambda": engine.suite.defaults.static_lambda,
        "limit": request.limit,
        "seed": request.seed,
        "version": semerge.__version__,
        "weights_sha256": engine.models.sha256,
    }


def compare(found: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """The figures of `report` (report.json) over the tasks that were run, and how far these lie
    from them: {"average", "difference", "recovery"}."""
    known = report["test"]["tasks"]
    reported = average({t: known[t] for t in found["tasks"] if t in known})
    return {
        "average": reported,
        "difference": {k: found["average"][k] - v for k, v in reported.items()},
        "recovery": recovery(reported),
    }
