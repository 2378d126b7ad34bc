"""A suite on labelled sets: one row a sample, part by part, and the figures made from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import semerge
from semerge.common import UserError
from semerge.data.sets import chosen_sets
from semerge.engine import NOT_WATCHED, Engine
from semerge.evaluation.collect import collect
from semerge.evaluation.figures import HEADINGS, Row, average, recovery
from semerge.evaluation.inspection import CONFIGURATION, Inspection, figures
from semerge.evaluation.measure import Cancelled, Interrupted, Progress
from semerge.probes import PROBES
from semerge.settings import FINAL, PRESETS, Resolved, Settings, valid_layers, valid_pools
from semerge.settings import valid_probes as probes_of
from semerge.suites import Suite

DESCRIBED = ("method", "probe", "layer", "pool", "preset", "static_lambda", "probe_lambda")
"""The settings that a line of the table tells."""


@dataclass(frozen=True)
class Request:
    """What to evaluate. An axis of `every` is run over all of its values, and so are `methods`
    where there are several, as a table beside the main figures, which then have the suite's default
    there and the first method.

    options: of the probes, where all of them are run; each takes those that it has.
    """

    data: str | Path
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    every: tuple[str, ...] = ()  # of probe, layer, pool, preset
    methods: tuple[str, ...] = ()  # specs
    options: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None  # of the samples of a file or class folders; None to infer it
    skip_damaged: bool = False  # pictures there that can't be read


@dataclass(frozen=True)
class Evaluation:
    """The answer to a Request; `to_dict` is the object of `evaluate --json`."""

    inspection: Inspection  # the main run, sample by sample
    default: bool  # with the suite's own settings
    config: dict[str, Any]
    table: tuple[dict[str, Any], ...]

    @property
    def rows(self) -> Sequence[Row]:
        """One row a sample, at the main settings."""
        return self.inspection.rows

    @property
    def split(self) -> str:
        """Where the samples are from."""
        return self.inspection.sets.split

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries. Accuracies are fractions."""
        found: dict[str, Any] = {
            "suite": self.inspection.suite.name,
            "data": self.inspection.sets.data,
            "split": self.split,
            "n": len(self.rows),
            "config": self.config,
            **figures(self.inspection),
        }
        if not self.inspection.complete:
            found["stopped"] = {"of": self.inspection.sets.total}
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

    It is measured part by part (see `measure` for what a part takes), so all that grows with the
    samples is themselves, as they were read, and some 320 bytes for each under every setting.

    Raises UserError where settings, data folder or split do not fit the suite, or the settings ask
    for the fast mode; Interrupted where `cancelled` said so before anything was done. Later, what
    is done by then is the answer, and its `inspection` is not complete.
    """
    suite = engine.suite
    main = request.settings.resolve(suite)
    if main.fast:
        raise UserError("An evaluation has no fast mode; `bench --data` measures what that costs.")
    others = list(combinations(suite, request))
    chosen = ("data", "split", "limit", "seed", "task", "skip_damaged")
    found = chosen_sets(suite, **{name: getattr(request, name) for name in chosen}, notice=notice)
    if main.fallback == "static" and not engine.watches(main):
        notice(NOT_WATCHED)
    collected = collect(engine, found, (main, *others), progress, cancelled)
    if not collected.places:
        raise Interrupted
    table = []
    for column, resolved in enumerate(others, 1):
        averages = figures(Inspection.of(engine, found, resolved, collected, column))
        table.append(
            {name: getattr(resolved, name) for name in DESCRIBED}
            | {name: averages[name] for name in ("average_all", "average_real", "recovery")}
        )
    return Evaluation(
        inspection=Inspection.of(engine, found, main, collected),
        default=main == Settings().resolve(suite),
        config={
            **{name: getattr(main, name) for name in CONFIGURATION},
            "limit": request.limit,
            "seed": request.seed,
            "version": semerge.__version__,
            "weights_sha256": engine.models.sha256,
        },
        table=tuple(table),
    )


def combinations(suite: Suite, request: Request) -> Iterator[Resolved]:
    """Every valid combination of the axes that `request` runs over; nothing if there are none."""
    settings, every = request.settings, request.every
    methods = request.methods or (settings.method,)
    if not every and len(methods) < 2:
        return
    known = suite.sizes.pools
    layers = valid_layers(suite) if "layer" in every else None
    for method in methods:
        of_method = replace(settings, method=method, method_options=())
        default = of_method.resolve(suite)
        probes: Sequence[str] = (default.probe,)
        if "probe" in every:
            probes = [_with_options(name, request.options) for name in probes_of(suite, method)]
        presets = tuple(PRESETS) if "preset" in every else (default.preset,)
        for probe, layer in product(probes, layers or (default.layer,)):
            pools: Sequence[str] = valid_pools(suite, probe, layer)
            if "pool" not in every and layer != FINAL:
                wanted = settings.pool or suite.defaults.pool
                if "layer" in every and wanted not in known:
                    wanted = known[-1]  # the default has no tokens, these layers have
                pools = [p for p in pools if p == wanted] if "probe" in every else [wanted]
            # statistics were made at the suite's own λ, so a λ of the request is not theirs
            stored = PROBES[probe].stored
            at = replace(
                of_method,
                probe=probe,
                layer=layer,
                probe_options=(),
                probe_lambda=None if stored else settings.probe_lambda,
            )
            for pool, preset in product(pools, presets):
                yield replace(at, pool=pool, preset=preset).resolve(suite)


def _with_options(probe: str, options: Mapping[str, Any]) -> str:
    own = {option.name for option in PROBES[probe].options}
    return PROBES.spec(probe, {name: x for name, x in options.items() if name in own})


def compare(found: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """The figures of `report` (report.json) over the tasks that were run, and how far these lie
    from them: {"average", "difference", "recovery", "tasks", "largest"}.

    difference: of the averages. tasks: the same by task. largest: the task and column that lie
    farthest from the report, as {"task", "column", "difference"}. Empty where the report has none
    of the tasks.
    """
    known = report["test"]["tasks"]
    tasks = {t: known[t] for t in found["tasks"] if t in known}
    if not tasks:
        return {}

    def difference(found: Mapping[str, float], reported: Mapping[str, float]) -> dict[str, float]:
        return {c: found[c] - reported[c] for c in HEADINGS if c in reported}

    reported = average(tasks)
    by_task = {t: difference(found["tasks"][t], figures) for t, figures in tasks.items()}
    every = [(abs(d), t, c) for t, row in by_task.items() for c, d in row.items()]
    _, task, column = max(every, key=lambda one: one[0])
    return {
        "average": reported,
        "difference": difference(found["average"], reported),
        "recovery": recovery(reported),
        "tasks": by_task,
        "largest": {"task": task, "column": column, "difference": by_task[task][column]},
    }
