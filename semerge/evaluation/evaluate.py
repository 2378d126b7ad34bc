"""A suite on labelled sets: one row a sample, part by part, and the figures made from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from operator import attrgetter
from pathlib import Path
from typing import Any

import semerge
from semerge.common import UserError, stopping_at
from semerge.data.sets import chosen_sets
from semerge.engine import NOT_WATCHED, Engine
from semerge.evaluation.collect import collect
from semerge.evaluation.dynamic import DYNAMICS, Made
from semerge.evaluation.field.paired import DRAWS, LEVEL, SEED
from semerge.evaluation.field.rivals import ENSEMBLE, ORACLE, RANDOM, Rival, Way
from semerge.evaluation.field.rows import Absent, Table
from semerge.evaluation.figures import HEADINGS, Row, average, recovery
from semerge.evaluation.inspection import CONFIGURATION, Inspection, figures
from semerge.evaluation.measure import Cancelled, Interrupted, Progress
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import TASK_ARITHMETIC
from semerge.settings import FINAL, PRESETS, Resolved, Settings, lacking, valid_layers, valid_pools
from semerge.settings import valid_probes as probes_of
from semerge.suites import Suite
from semerge.suites.report import machine

STOPPED = "The run was stopped before it."


@dataclass(frozen=True)
class Request:
    """What to evaluate. An axis of `every` is run over all of its values, and so are `methods`
    where there are several, as a table beside the main figures, which then have the suite's default
    there and the first method. With all probes come the rivals, see `semerge.evaluation.field`.

    options: of the probes, where all of them are run; each takes those that it has. scales: λ of
    methods, by their spec, where it is another than their own; tuning: how these were chosen, for
    the report.
    """

    data: str | Path
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    every: tuple[str, ...] = ()  # of probe, layer, pool, preset
    methods: tuple[str, ...] = ()  # specs
    options: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    tuning: Mapping[str, Any] | None = None
    task: str | None = None  # of the samples of a file or class folders; None to infer it
    skip_damaged: bool = False  # pictures there that can't be read


@dataclass(frozen=True)
class Evaluation:
    """The answer to a Request; `to_dict` is the object of `evaluate --json`."""

    inspection: Inspection  # the main run, sample by sample
    default: bool  # with the suite's own settings
    config: dict[str, Any]
    table: tuple[dict[str, Any], ...]  # see `field.rows`
    machine: dict[str, Any]  # that the table's times were taken on
    complete: bool  # nothing was left out by a cancel
    tuning: Mapping[str, Any] | None = None  # how options and λ were chosen, if they were

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
        if not self.complete:
            found["stopped"] = {"of": self.inspection.sets.total}
        if self.tuning is not None:
            found["tuning"] = dict(self.tuning)
        if self.table:
            found["table"] = list(self.table)
            found["bootstrap"] = {"draws": DRAWS, "level": LEVEL, "seed": SEED}
            found["machine"] = self.machine
        return found


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
    samples is themselves, as they were read, and some 320 bytes for each under the main settings
    and every one of the method that is under way. Methods come one after the other, as few of them
    are held at once. progress counts the samples once for each.

    A method of the table that can't be had, or was not reached, is a row with its reason. Raises
    UserError where settings, data folder or split do not fit the suite, the first method can't be
    had, or the settings ask for the fast mode; Interrupted where `cancelled` said so before
    anything was done. Later, what is done by then is the answer, which is not complete.
    """
    suite = engine.suite
    main = scaled(request.settings.resolve(suite), request)
    if main.fast:
        raise UserError("An evaluation has no fast mode; `bench --data` measures what that costs.")
    groups = [tuple(own) for _, own in groupby(combinations(suite, request), attrgetter("method"))]
    chosen = ("data", "split", "limit", "seed", "task", "skip_damaged")
    found = chosen_sets(suite, **{name: getattr(request, name) for name in chosen}, notice=notice)
    if main.fallback == "static" and not engine.watches(main):
        notice(NOT_WATCHED)
    first, *rest = groups or [()]

    def told(number: int) -> Progress | None:
        before, total = number * found.total, (1 + len(rest)) * found.total
        return None if progress is None else lambda done, _: progress(before + done, total)

    known: dict[tuple[str, str], Made | str] = {}
    with _stoppable(cancelled):
        engine.variant(main.method)
        first = _ready(engine, first, known)
    collected = collect(engine, found, [main, *_measured(first)], told(0), cancelled)
    if not collected.places:
        raise Interrupted
    inspection, complete = Inspection.of(engine, found, main, collected), collected.complete
    table = Table(engine, found)
    table.extend(first, collected, 1)
    for number, group in enumerate(rest, 1):
        method, count = group[0].method, told(number)
        complete = complete and not (cancelled and cancelled())  # making one may take long
        reason = _refused(engine, method, cancelled) if complete else STOPPED
        complete = reason != STOPPED
        if reason is None:
            ready = _ready(engine, group, known)
            collected = collect(engine, found, _measured(ready), count, cancelled)
            complete = collected.complete
            reason = None if complete else STOPPED
        elif complete:
            notice(f"{method} is left out: {reason}")
            if count:
                count(found.total, found.total)
        if reason is None:
            table.extend(ready, collected)
        else:
            table.extend([Absent(method, reason)], collected)
    return Evaluation(
        inspection=inspection,
        default=main == Settings().resolve(suite),
        config={
            **{name: getattr(main, name) for name in CONFIGURATION},
            "limit": request.limit,
            "seed": request.seed,
            "version": semerge.__version__,
            "weights_sha256": engine.models.sha256,
        },
        table=table.rows(),
        machine=machine(str(engine.models.device)),
        complete=complete,
        tuning=request.tuning,
    )


def _ready(
    engine: Engine, group: Sequence[Way | Absent], known: dict[tuple[str, str], Made | str]
) -> tuple[Way | Absent, ...]:
    """The same rows, dynamic methods made, or with the reason why they can't be. known: what is
    made already, or why not."""
    found: list[Way | Absent] = []
    for one in group:
        if not isinstance(one, Rival) or one.entry is None:
            found.append(one)
            continue
        key = one.name, one.method
        if key not in known:
            try:
                known[key] = one.entry.function(engine, one.method)
            except UserError as error:
                known[key] = str(error)
        made = known[key]
        if isinstance(made, Made):
            found.append(replace(one, made=made))
        elif one.alone:
            found.append(Absent(one.name, made))
        else:
            found.append(Absent(one.method, made, one.name))
    return tuple(dict.fromkeys(found))


def _measured(group: Iterable[Way | Absent]) -> list[Way]:
    """Those of its rows that can be had."""
    return [one for one in group if not isinstance(one, Absent)]


def _refused(engine: Engine, method: str, cancelled: Cancelled | None) -> str | None:
    """Why a method can't be had here; None once it is made."""
    try:
        with _stoppable(cancelled):
            engine.variant(method)
    except UserError as error:
        return str(error)
    except Interrupted:
        return STOPPED
    return None


def _stoppable(cancelled: Cancelled | None) -> AbstractContextManager[None]:
    """Inside, what is being made ends at its next step where a stop was asked for, by Interrupted.
    Nothing of it is kept."""

    def stop() -> None:
        if cancelled and cancelled():
            raise Interrupted

    return stopping_at(stop)


def combinations(suite: Suite, request: Request) -> Iterator[Way | Absent]:
    """The rows of the table, method by method: every combination of the axes that `request` runs
    over, and where it runs over the probes the rivals, and why a probe is not there. Nothing if it
    runs over no axis."""
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
                yield scaled(replace(at, pool=pool, preset=preset).resolve(suite), request)
        if "probe" in every:
            usual = replace(of_method, fallback="route")
            for name, preset in product((RANDOM, ORACLE), presets):
                yield Rival(name, scaled(replace(usual, preset=preset).resolve(suite), request))
            if method == methods[0]:  # it merges nothing, so it is one row of the whole table
                yield Rival(ENSEMBLE, usual.resolve(suite))
            for rival in _dynamic(suite, usual, presets, method == methods[0]):
                yield replace(rival, resolved=scaled(rival.resolved, request))
            for entry in PROBES:
                if reason := lacking(suite, entry.name, method):
                    yield Absent(default.method, reason, entry.name)


def scaled(resolved: Resolved, request: Request) -> Resolved:
    """The same at the λ that was chosen for the method; what is probed is then at that λ too, but
    for the default method, whose probe has a λ of its own."""
    scale = request.scales.get(resolved.method)
    if scale is None:
        return resolved
    own = resolved.probe_lambda if resolved.method == TASK_ARITHMETIC else scale
    return replace(resolved, static_lambda=scale, probe_lambda=own)


def _dynamic(suite: Suite, usual: Settings, presets: Sequence[str], first: bool) -> Iterator[Rival]:
    """Rows of the dynamic methods beside the table's first method, and beside the one that they
    were published with: a router's choice hangs on no method, and a model's answers neither."""
    name = METHODS[usual.method].name
    for entry in DYNAMICS:
        if entry.model and first:
            yield Rival(entry.name, usual.resolve(suite))
        if entry.model or not (first or entry.home == name):
            continue
        readings: list[dict[str, Any]] = [{"preset": preset} for preset in presets]
        readings += [dict(entry.published)] if entry.published else []
        rows = [Rival(entry.name, replace(usual, **one).resolve(suite)) for one in readings]
        yield from dict.fromkeys(rows)


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
