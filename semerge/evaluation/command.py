"""python -m semerge evaluate: figures of a suite on labelled data."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semerge.checkpoints.hub import locate
from semerge.errors import STOPPED, UserError
from semerge.evaluation import diagnosis_text
from semerge.evaluation.metrics import COLUMNS
from semerge.evaluation.published import published_lines
from semerge.phrases import first_line
from semerge.progress import say
from semerge.settings import Settings
from semerge.suites import Suite, read_suite

if TYPE_CHECKING:
    from semerge.engine import Engine
    from semerge.evaluation.evaluate import Request
    from semerge.evaluation.sets import Sets

AXES = ("probe", "layer", "pool", "preset")
ALL = "all"
SHORT = {
    "base_oracle": "base",
    "base_routed": "base r.",
    "static_oracle": "static",
    "static_routed": "static r.",
    "se_oracle": "SE",
    "se_routed": "SE r.",
    "expert": "expert",
    "routing": "routing",
}


def run(args: argparse.Namespace) -> int:
    """Evaluate, write what was asked for, and print the figures. Returns the exit code."""
    suite = read_suite(args.suite)
    locate(suite)
    request = _request(args, suite)
    if args.json == "-" and args.csv == "-":
        raise UserError("--json - and --csv - both want stdout; write one of them to a file.")

    # what can't take the figures is told before the work
    for name in (args.json, args.csv):
        if name and name != "-":
            _check_place(Path(name))
    if args.diagnose:
        _read_report(Path(args.diagnose))
    splits = None if args.diagnose is None else _splits(suite, request)

    from semerge.engine import load_engine
    from semerge.evaluation.evaluate import evaluate
    from semerge.evaluation.exports import write_csv
    from semerge.evaluation.measure import Interrupted
    from semerge.evaluation.report import write_report
    from semerge.evaluation.watched import progress, stoppable

    engine = load_engine(args.suite)
    try:
        with stoppable() as stopped:
            watch = progress(sys.stderr)
            found = evaluate(engine, request, notice=_tell, progress=watch, cancelled=stopped)
    except Interrupted:  # nothing is done yet that could be written
        raise KeyboardInterrupt from None
    content, whole = found.to_dict() | _reported(suite, found), found.inspection.complete
    if splits is not None and whole:
        content["diagnosis"] = _diagnosis(engine, request, splits)
    if args.diagnose and whole:
        # read once more: it may have changed during the run
        report = _read_report(Path(args.diagnose))
        write_report(Path(args.diagnose), report | {"diagnosis": content["diagnosis"]})
    if suite.family and found.split == "test":
        content["family"] = suite.family
    if args.json:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if args.json == "-":
            sys.stdout.write(text)
        else:
            _write(Path(args.json), text)
    if args.csv == "-":
        write_csv(found.inspection, sys.stdout)
    elif args.csv:
        try:
            with Path(args.csv).open("w", encoding="utf-8", newline="") as file:
                write_csv(found.inspection, file)
        except OSError as error:
            raise UserError(f"{args.csv} can't be written: {error.strerror}.") from None
    if "-" not in (args.json, args.csv):
        print("\n".join(lines(content)))
    if not whole:
        told = f"stopped by Ctrl+C after {_stopped(content)}; the figures are of these alone."
        say(told, sys.stderr)
        return STOPPED
    return 0


def lines(content: dict[str, Any]) -> list[str]:
    """The figures as text, in percent; `r.` is the routed head, everything else the given one."""
    names = [*content["tasks"], "average_real", "average_all"]
    wide = max(len(name) for name in names)
    config = content["config"]
    quantised = f"quantise {config['quantise']}, " if config["quantise"] else ""
    text = [
        f"{content['suite']}, {content['split']}, {_ran(content)}",
        (
            f"probe {config['probe']}, layer {config['layer']}, pool {config['pool']}, preset "
            f"{config['preset']}, static λ {config['static_lambda']:g}, "
            f"probe λ {config['probe_lambda']:g}"
        ),
        (
            f"similarity {config['similarity']}, normalise {config['normalise']}, temperature "
            f"{config['temperature']:g}, mass {config['mass']}, {quantised}"
            f"fallback {config['fallback']}"
        ),
        " ".join([" " * wide, *(f"{SHORT[c]:>9}" for c in COLUMNS), f"{'n':>6}"]),
    ]
    figures = content["tasks"] | {name: content[name] for name in names[-2:] if content[name]}
    for name, row in figures.items():
        cells = [f"{100 * row[c]:9.2f}" for c in COLUMNS]
        text.append(" ".join([f"{name:{wide}}", *cells, f"{row.get('n', ''):>6}"]))
    for name, share in content["recovery"].items():
        if "recovery_oracle" in share:
            text.append(
                f"{name}: gap {100 * share['gap']:.2f} points, recovered with the given head "
                f"{share['recovery_oracle']:.1%}, routed {share['recovery_routed']:.1%}"
            )
        elif share:
            text.append(f"{name}: experts are no better than the static merge")
    for head in ("oracle", "routed"):
        fixed, broken = content["fixed"][head], content["broken"][head]
        text.append(f"{head} head: SE fixed {fixed} answers of the static merge, broke {broken}")
    if reported := content.get("reported"):
        worst, most = max(map(abs, reported["difference"].values())), reported["largest"]
        text.append(
            f"report.json has these figures too; the largest difference is {worst:.4f} in an "
            f"average and {abs(most['difference']):.4f} in a task ({most['task']}, "
            f"{SHORT[most['column']]})"
        )
    text += [_table_line(row) for row in content.get("table", ())]
    if "diagnosis" in content:
        text += diagnosis_text.lines(content["diagnosis"])
    return [*text, *published_lines(content.get("family"), content["tasks"], _ran(content))]


def _ran(content: dict[str, Any]) -> str:
    """What was run, so that nobody takes a part for the whole."""
    limit = content["config"]["limit"]
    most = f", at most {limit:,} a task" if limit is not None else ""
    return f"{content['data']}: {_stopped(content)}{most}"


def _stopped(content: dict[str, Any]) -> str:
    of = f" of {content['stopped']['of']:,}" if "stopped" in content else ""
    return f"{content['n']:,}{of} samples"


def _table_line(row: dict[str, Any]) -> str:
    figures = row["average_all"]
    at = f"{row['probe']:8} {row['layer']!s:>5} {row['pool']:6} {row['preset']:8}"
    cells = (f"{key} {100 * figures[key]:6.2f}" for key in ("routing", "se_oracle", "se_routed"))
    return " ".join([at, *cells])


def _splits(suite: Suite, request: Request) -> tuple[Sets, Sets]:
    """Validation and test of the data, whichever is evaluated, for a diagnosis."""
    from semerge.evaluation.diagnosis import SAMPLES
    from semerge.evaluation.sets import suite_sets

    limit = request.limit or SAMPLES

    def read(split: str) -> Sets:
        return suite_sets(suite, request.data, split, limit, request.seed)

    try:
        return read("validation"), read("test")
    except UserError as error:
        raise UserError(
            "A diagnosis chooses on validation and measures on test, so it needs a data folder "
            f"with train, from which validation is cut, and test. {error} Where there are no "
            "labels, python -m semerge choose picks probe, layer, pooling and λ."
        ) from None


def _diagnosis(engine: Engine, request: Request, splits: tuple[Sets, Sets]) -> dict[str, Any]:
    """At the suite's defaults."""
    from semerge.evaluation.diagnosis import SAMPLES, diagnose

    limit = request.limit or SAMPLES
    return diagnose(engine, *splits, request.data, samples=limit, seed=request.seed, tell=_tell)


def _request(args: argparse.Namespace, suite: Suite) -> Request:
    from semerge.evaluation.evaluate import Request

    every = tuple(axis for axis in AXES if getattr(args, axis) == ALL)
    chosen: dict[str, Any] = {axis: None if axis in every else getattr(args, axis) for axis in AXES}
    methods = tuple(m.strip() for m in args.methods.split(",") if m.strip())
    settings = Settings(
        **chosen,
        method=methods[0] if methods else Settings.method,
        probe_lambda=args.probe_lambda,
        similarity=args.similarity,
        normalise=args.normalise,
        temperature=args.temperature,
        mass=args.mass,
        quantise=args.quantise,
        fallback=args.fallback,
    )
    settings.resolve(suite)  # a wrong option is told before any weight is read
    for method in methods:
        Settings(method=method).resolve(suite)
    return Request(
        data=args.data,
        split=args.split,
        limit=args.limit,
        seed=args.seed,
        settings=settings,
        every=every,
        methods=methods,
        task=args.task,
    )


def _reported(suite: Suite, found: Any) -> dict[str, Any]:
    """The matching figures of the suite's own report, where the run is comparable with it."""
    from semerge.evaluation.evaluate import compare

    path = suite.path("report.json")
    part = found.config["limit"] is not None or not found.inspection.complete
    comparable = found.split == "test" and found.default and not part
    if not comparable or not path.is_file():
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return {"reported": compare(found.to_dict(), report)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        _tell(f"{path} can't be compared with: {error}.")
        return {}


def _read_report(path: Path) -> dict[str, Any]:
    """The report.json that a diagnosis is to go into."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read as JSON: {first_line(error)}.") from None
    if not isinstance(report, dict):
        raise UserError(f"{path} is no report: it must hold one JSON object.")
    return report


def _check_place(path: Path) -> None:
    """Refuse what can't be written, without opening it: at the other end of a pipe that counts."""
    try:
        if path.exists():
            fine = not path.is_dir() and os.access(path, os.W_OK)
        else:
            fine = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    except OSError:  # too long a name
        fine = False
    if not fine:
        raise UserError(f"{path} can't be written.")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}.") from None


def _tell(text: str) -> None:
    print(f"semerge: {text}", file=sys.stderr)
