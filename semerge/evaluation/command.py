"""python -m semerge evaluate: figures of a suite on labelled data."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from semerge.backbones.architecture import parameters
from semerge.checkpoints.files import locate
from semerge.common import STOPPED, UserError, first_line, parsed_json, samples, say, write_text
from semerge.data.labelled import Sets
from semerge.data.sets import suite_sets
from semerge.evaluation.diagnosis import SAMPLES, diagnose
from semerge.evaluation.evaluate import Evaluation, Request, compare, evaluate
from semerge.evaluation.inspection import MARK, write_csv
from semerge.evaluation.measure import Cancelled, Interrupted, Progress
from semerge.evaluation.text import lines, samples_of
from semerge.methods import FULL_SIZE, METHODS
from semerge.methods.samples import Source
from semerge.probes import PROBES
from semerge.registry import ALL, TASK_ARITHMETIC, Entry, split_specs
from semerge.settings import Settings, descriptions
from semerge.settings import valid_probes as probes_on_offer
from semerge.suites import Suite, read_suite
from semerge.suites.report import read_report, write_report

if TYPE_CHECKING:
    from semerge.engine import Engine

DRAWS = 3
"""Of a method that draws at random, where all methods are run."""
NAMED = ("data", "split", "limit", "seed", "task", "skip_damaged")  # options that a Request has


def run(args: argparse.Namespace) -> int:
    """Evaluate, write what was asked for, and print the figures. Returns the exit code."""
    suite = locate(read_suite(args.suite))
    request = _request(args, suite)
    if args.json == "-" and args.csv == "-":
        raise UserError("--json - and --csv - both want stdout; write one of them to a file.")

    # what can't take the figures is told before the work
    for name in (args.json, args.csv):
        if name and name != "-":
            check_place(Path(name))
    if args.diagnose:
        _read_report(Path(args.diagnose))
    if args.disentanglement is not None:
        _pairs(args.disentanglement, suite)
    splits = None if args.diagnose is None else _splits(suite, request)

    from semerge.engine import load_engine

    # whoever names a method waits for it; of all of them, a large model's may take hours
    waits = ALL not in split_specs(args.methods) or parameters(suite.sizes.shapes) < FULL_SIZE
    if args.tune is not None:
        request = _tuned(suite, request, args.tune, waits)
    engine = load_engine(suite, make_dear=waits, source=_source(suite, request))
    try:
        with stoppable() as stopped:
            watch = progress(sys.stderr)
            found = evaluate(engine, request, notice=_tell, progress=watch, cancelled=stopped)
    except Interrupted:  # nothing is done yet that could be written
        raise KeyboardInterrupt from None
    content, whole = found.to_dict() | _reported(suite, found), found.complete
    parts: dict[str, Any] = {}  # in a report
    if args.disentanglement is not None and whole:
        parts |= _assumptions(engine, found, splits, request, args.disentanglement)
    if splits is not None and whole:
        parts["diagnosis"] = diagnose(
            engine,
            *splits,
            request.data,
            samples=request.limit or SAMPLES,
            seed=request.seed,
            tell=_tell,
        )
    content |= parts
    if args.diagnose and whole:
        # read once more: it may have changed during the run
        report = _read_report(Path(args.diagnose))
        write_report(Path(args.diagnose), report | parts)
    if suite.family and found.split == "test":
        content["family"] = suite.family
    if args.json:
        write(args.json, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if args.csv:
        table = io.StringIO()
        write_csv(found.inspection, table)
        write(args.csv, table.getvalue())
    if "-" not in (args.json, args.csv):
        print("\n".join(lines(content, {task.name: task.title for task in suite.tasks})))
    if not whole:
        told = f"stopped by Ctrl+C after {samples_of(content)}; the figures are of these alone."
        if found.inspection.complete:
            told = "stopped by Ctrl+C; rows of the table that were not run say so."
        say(told, sys.stderr)
        return STOPPED
    return 0


def _pairs(text: str, suite: Suite) -> list[tuple[str, str]] | None:
    """Which pairs of tasks are looked at; None for all. Raises UserError for what is no pair."""
    if text == ALL:
        return None
    names = text.split(",")
    if len(names) != 2 or names[0] == names[1]:
        raise UserError("--disentanglement compares two tasks, as a,b; without them it does all.")
    for name in names:
        suite.index(name)
    return [(names[0], names[1])]


def _assumptions(
    engine: Engine,
    found: Evaluation,
    splits: tuple[Sets, Sets] | None,
    request: Request,
    text: str,
) -> dict[str, Any]:
    """What the theory assumes of pairs of tasks: on the samples that were evaluated, or, beside a
    diagnosis, on some of validation."""
    from semerge.evaluation.field.assumptions import SAMPLES as FEW
    from semerge.evaluation.field.assumptions import assumptions

    sets, most = found.inspection.sets, None
    if splits is not None:
        sets, most = splits[0], min(request.limit or FEW, FEW)
    pairs = _pairs(text, engine.suite)
    there = {one.task for one in sets.sets}
    for name in (name for pair in pairs or () for name in pair if name not in there):
        raise UserError(f"The data holds no samples of {name}.")
    return assumptions(engine, sets, pairs, most, request.seed)


def _tuned(suite: Suite, request: Request, most: int, waits: bool) -> Request:
    """The same with options and λ of the methods chosen on validation, by one rule."""
    if request.split == "validation":
        raise UserError(
            "--tune chooses on validation, so it is measured on test; leave --split out."
        )
    from semerge.engine import load_engine
    from semerge.evaluation.field.tuning import FACTORS, RULE, Tuned, tune_all, without_draw

    sets = suite_sets(suite, request.data, "validation", most, request.seed, notice=_tell)
    # what is made from samples is made from those of train that are not validation
    own = replace(request, split="validation")
    engine = load_engine(suite, make_dear=waits, source=_source(suite, own))
    found = tune_all(engine, sets.sets, request.methods)
    methods, scales = [], {}
    for spec in request.methods:
        chosen, best = found[without_draw(spec)], spec
        if isinstance(chosen, Tuned):
            options = {name: x for name, x in METHODS.chosen(spec).items() if name == "draw"}
            best = METHODS.spec(chosen.method, options)
            if chosen.scale is not None and chosen.scale != METHODS[spec].scale_of(suite):
                scales[best] = chosen.scale
        methods.append(best)
    told = {
        "rule": RULE,
        "split": "validation",
        "factors": list(FACTORS),
        "samples_per_task": most,
        "n": sets.total,
        "methods": {
            spec: one.to_dict() if isinstance(one, Tuned) else {"reason": one}
            for spec, one in found.items()
        },
    }
    return replace(
        request,
        settings=replace(request.settings, method=methods[0]),
        methods=tuple(dict.fromkeys(methods)),
        scales=scales,
        tuning=told,
    )


def _source(suite: Suite, request: Request) -> Source | None:
    """Of the samples for methods that need some, dynamic ones too, where one is run and the data
    has some to spare; else they are found on the disk, or refused."""
    from semerge.data.samples import has_source, source

    sampled = any(METHODS[spec].sampled for spec in request.methods) or "probe" in request.every
    if not sampled or not has_source(suite, request.data):
        return None
    return source(suite, request.data, request.split, notice=_tell)


def _splits(suite: Suite, request: Request) -> tuple[Sets, Sets]:
    """Validation and test of the data, whichever is evaluated, for a diagnosis."""
    try:
        validation, test = (
            suite_sets(suite, request.data, split, request.limit or SAMPLES, request.seed)
            for split in ("validation", "test")
        )
        return validation, test
    except UserError as error:
        raise UserError(
            "A diagnosis chooses on validation and measures on test, so it needs a data folder "
            f"with train, from which validation is cut, and test. {error} Where there are no "
            "labels, python -m semerge choose picks probe, layer, pooling and λ."
        ) from None


def _request(args: argparse.Namespace, suite: Suite) -> Request:
    asked = {name: getattr(args, name) for name in descriptions() if hasattr(args, name)}
    every = tuple(name for name, is_ in descriptions().items() if is_.sweep and asked[name] == ALL)
    asked |= dict.fromkeys(every)
    options = {k.removeprefix("option_"): x for k, x in vars(args).items() if "option_" in k}
    on_offer = probes_on_offer(suite) if "probe" in every else (asked["probe"],)
    of_probes = _taken(options, [PROBES[probe] for probe in on_offer if probe])
    stated = [spec for one in split_specs(args.methods) for spec in _all_of(one)]
    of_methods = _taken(options, [METHODS[method] for method in stated])
    for name in options.keys() - of_probes.keys() - of_methods.keys():
        raise UserError(f"--{name.replace('_', '-')}: no method and no probe of this run has it.")
    specs = (METHODS.spec(name, _taken(of_methods, [METHODS[name]])) for name in stated)
    methods = tuple(dict.fromkeys(specs))
    settings = Settings(
        **asked,
        method=methods[0] if methods else TASK_ARITHMETIC,
        probe_options={} if "probe" in every else of_probes,
    )
    for method in methods or (settings.method,):  # a wrong option is told before any weight is read
        replace(settings, method=method).resolve(suite)
    return Request(
        **{name: getattr(args, name) for name in NAMED},
        settings=settings,
        every=every,
        methods=methods,
        options=of_probes,
    )


def _taken(options: Mapping[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """Those of the options that one of the entries has."""
    known = {option.name for entry in entries for option in entry.options}
    return {name: value for name, value in options.items() if name in known}


def _all_of(spec: str) -> list[str]:
    """What "all" stands for: every method, and of one that draws at random some draws."""
    if spec != ALL:
        return [spec]
    draws = [""] + [f":draw={number}" for number in range(1, DRAWS)]
    drawing = {entry.name for entry in METHODS if any(o.name == "draw" for o in entry.options)}
    return [name + draw for name in METHODS.names for draw in (draws if name in drawing else [""])]


def _reported(suite: Suite, found: Evaluation) -> dict[str, Any]:
    """The matching figures of the suite's own report, where the run is comparable with it."""
    part = found.config["limit"] is not None or not found.inspection.complete
    comparable = found.split == "test" and found.default and not part
    try:
        report = read_report(suite) if comparable else None
        return {} if report is None else {"reported": compare(found.to_dict(), report)}
    except (ValueError, KeyError, TypeError) as error:
        _tell(f"{suite.path('report.json')} can't be compared with: {error}.")
        return {}


def _read_report(path: Path) -> dict[str, Any]:
    """The report.json that a diagnosis is to go into."""
    try:
        report = parsed_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read as JSON: {first_line(error)}.") from None
    if not isinstance(report, dict):
        raise UserError(f"{path} is no report: it must hold one JSON object.")
    return report


def check_place(path: Path) -> None:
    """Refuse what can't be written, without opening it: at the other end of a pipe that counts."""
    try:
        place = path if path.exists() else path.parent
        fine = path.parent.is_dir() and not path.is_dir() and os.access(place, os.W_OK)
    except OSError:  # too long a name
        fine = False
    if not fine:
        raise UserError(f"{path} can't be written.")


def write(place: str, text: str) -> None:
    """To a file, or to stdout where the place is "-": a file's mark is no part of it."""
    if place == "-":
        sys.stdout.write(text.removeprefix(MARK))
    else:
        write_text(Path(place), text)


def _tell(text: str) -> None:
    print(f"semerge: {text}", file=sys.stderr)


# ---- watching and stopping a run -----------------------------------------------------------------

QUIET = 10.0
"""Seconds between two lines of a log: a short run needs none."""
STOPPING = (
    "semerge: stopping after the batch under way, what is done is kept; "
    "Ctrl+C once more stops at once.\n"
)


def progress(stream: TextIO) -> Progress:
    """What tells how far a run is: one line that is written over on a terminal, else a log."""

    def bar(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {samples(total)}", end=end, file=stream, flush=True)

    return bar if stream.isatty() else Log(stream)


class Log:
    """A line after each tenth of the samples, but none within QUIET seconds of the last one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._tenths, self._told = 0, clock()

    def __call__(self, done: int, total: int) -> None:
        tenths, now = 10 * done // total, self._clock()
        if tenths == self._tenths or now - self._told < QUIET:
            return
        self._tenths, self._told = tenths, now
        print(f"semerge: {done:,} of {samples(total)}", file=self._stream, flush=True)


@contextmanager
def stoppable() -> Iterator[Cancelled]:
    """Inside, the first Ctrl+C asks a run to stop and the next one raises KeyboardInterrupt. Yields
    whether a stop was asked for. Only the main thread hears signals: elsewhere it never is."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # a handler may interrupt a print, and a stream can't be written to from within its write
        os.write(2, (b"\n" if os.isatty(2) else b"") + STOPPING.encode())

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
