"""python -m semerge: the same engine and the same Result as the app.

Answers go to stdout. Bad input is one line on stderr and exit code 2; Ctrl+C is one and 130.
"""

from __future__ import annotations

import argparse
import codecs
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from semerge import __version__
from semerge.backbones.architecture import parameters
from semerge.checkpoints.files import locate, missing_files
from semerge.common import (
    CLOSED,
    STOPPED,
    Counter,
    Stopwatch,
    UserError,
    gigabytes,
    listed,
    listening,
    quoted,
    rendered,
    say,
    tell,
)
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import TASK_ARITHMETIC, Registry
from semerge.settings import MAX_LAMBDA, Settings, checked_coefficients, descriptions
from semerge.suites import available_suites, loaded_files, published_suites, read_suite
from semerge.suites.memory import need

if TYPE_CHECKING:
    from semerge.methods.samples import Source
    from semerge.result import Result
    from semerge.suites import Suite

ELSEWHERE = {  # command -> module whose run(args) does it; imported when it is asked for
    "bench": "semerge.bench.command",
    "choose": "semerge.evaluation.choice",
    "demo": "semerge.ui",
    "download": "semerge.checkpoints.download",
    "evaluate": "semerge.evaluation.command",
    "init-suite": "semerge.suites.init_suite",
}
ROOMS: dict[str, Registry[Any]] = {"probe": PROBES, "method": METHODS}
SKIP = argparse.SUPPRESS  # no attribute where the flag is not there
ESCAPED = "semerge.json"  # how an output spells what its encoding lacks
SHOWN = 5  # predictions a column, where no JSON is asked for


class Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; here an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. `argv` is without the program's name."""
    return guarded(lambda: _run(parser().parse_args(argv)))


def guarded(run: Callable[[], int]) -> int:
    """What a command returns, or the exit code of how it ended: bad input, and an output that can't
    be written, are one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPED)
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()  # or else it fails where nobody can tell
    except BrokenPipeError:
        _let_go()
        return CLOSED
    except OSError as error:
        if error.filename is not None:  # a file's, which who opens it has to tell
            raise
        _let_go()
        say(f"the output can't be written: {error.strerror}.", sys.stderr)
        return 2
    except UserError as error:
        print(f"semerge: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("stopped by Ctrl+C.", sys.stderr)
        return STOPPED


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What the encoding of the output lacks, as JSON spells it."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escaped)


def _let_go() -> None:
    """What the output did not take is dropped, or else Python tries once more as it ends."""
    with suppress(OSError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def whole(low: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from `low` on."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= low):
            valid = f"a whole number from {low} to 999,999,999"
            raise argparse.ArgumentTypeError(f"must be {valid}, not {quoted(text)}")
        return int(text)

    return read


def _run(args: argparse.Namespace) -> int:
    if args.command == "suites":
        return suites(args)
    with listening(Counter(sys.stderr)):
        own = {"predict": predict, "merge": merge}
        return own.get(args.command, elsewhere)(args)


def parser() -> Parser:
    """All commands and options."""
    root = Parser(prog="semerge", description="SE-Merging: per-sample dynamic model merging.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("suites", help="list the suites", allow_abbrev=False)
    one.add_argument("--json", action="store_true", help="print JSON")

    one = commands.add_parser("predict", help="answer for one input or many", allow_abbrev=False)
    _suite(one)
    what = "image files, folders or a .zip of them; or sentences, or a .txt, CSV or JSON file of "
    what += "them; -- goes before a sentence that begins with a dash"
    one.add_argument("input", nargs="+", metavar="INPUT", help=what)
    one.add_argument("--text-b", metavar="S2", help="the second sentence of a pair")
    one.add_argument("--csv", metavar="F", help="write the answers as a table; - prints it")
    one.add_argument("--skip-damaged", action="store_true", help="pass over unreadable images")
    one.add_argument("--json", action="store_true", help="print the whole result as JSON")
    one.add_argument("--verbose", action="store_true", help="tell the time of each stage")
    add_settings(one)

    one = commands.add_parser("evaluate", help="measure on labelled data", allow_abbrev=False)
    _suite(one)
    what = (
        "a data folder, or: generated, hub, examples; or your own: images, as a folder or a .zip "
    )
    what += "with one folder a class; sentences, as CSV or JSON"
    one.add_argument("--data", required=True, metavar="DIR", help=what)
    one.add_argument("--task", metavar="TASK", help="of your own ones; default: the one that fits")
    one.add_argument("--split", default="test", help="where there are several; default: test")
    one.add_argument("--limit", type=whole(0), metavar="N", help="N samples a task, class-balanced")
    one.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the limit's choice")
    one.add_argument("--skip-damaged", action="store_true", help="pass over unreadable images")
    what = "methods, as METHOD or METHOD:option=value; all: every one, of a large model those that "
    what += "take long only where they are made already; default: task_arithmetic"
    one.add_argument("--methods", default=TASK_ARITHMETIC, metavar="a,b|all", help=what)
    what = "choose options and λ of each method on validation first, N samples a task; default: 100"
    one.add_argument("--tune", nargs="?", const=100, type=whole(1), metavar="N", help=what)
    what = "also how far two tasks' vectors get in each other's way, over a grid of their "
    what += "coefficients, and how linear their features are; of all pairs, where none is named"
    one.add_argument("--disentanglement", nargs="?", const="all", metavar="TASK,TASK", help=what)
    why = "also why: hypothesis, automatic choice, misfits; into a report.json, if one is named"
    one.add_argument("--diagnose", nargs="?", const="", metavar="F", help=why)
    one.add_argument("--json", metavar="F", help="write the report; - prints it")
    one.add_argument("--csv", metavar="F", help="write the table; - prints it")
    add_settings(one, sweep=True)

    one = commands.add_parser(
        "choose", help="pick probe, layer, pooling and λ without labels", allow_abbrev=False
    )
    _suite(one)
    what = "a folder or .zip of images; a text file, a sentence on each line; CSV or JSON"
    one.add_argument("samples", metavar="SAMPLES", help=f"{what}; labels are not read")
    one.add_argument("--limit", type=whole(0), metavar="N", help="N of the samples")
    one.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the limit's choice")
    one.add_argument("--skip-damaged", action="store_true", help="pass over unreadable images")
    one.add_argument("--json", action="store_true", help="print JSON, with every candidate")
    one.add_argument(
        "--write",
        action="store_true",
        help="store in suite.json how far the experts move these samples, for the probe "
        "displacement",
    )

    one = commands.add_parser("demo", help="serve the app", allow_abbrev=False)
    one.add_argument("suites", nargs="*", metavar="SUITE", help="folders or names, shown first")
    one.add_argument("--host", metavar="H", help="default: $GRADIO_SERVER_NAME, or 127.0.0.1")
    one.add_argument("--port", metavar="N", help="default: $GRADIO_SERVER_PORT, or 7860")
    one.add_argument("--verbose", action="store_true", help="tell the time of each stage")

    one = commands.add_parser("bench", help="measure what answers cost", allow_abbrev=False)
    _suite(one)
    one.add_argument("--data", metavar="DIR", help="labelled data, for the fast modes' agreement")
    one.add_argument("--split", default="test", help="default: test")
    one.add_argument("--limit", type=whole(0), metavar="N", help="N a task; default: 200, 0: all")
    one.add_argument("--rounds", type=whole(1), metavar="N", help="of which the medians are told")
    one.add_argument("--quick", action="store_true", help="few inputs and rounds, no growth")
    what = "in place of all else what these cost, and an answer by them; all: those without data"
    one.add_argument("--methods", metavar="a,b|all", help=what)
    one.add_argument("--json", action="store_true", help="print JSON")
    one.add_argument("--write", metavar="F", help="put the figures into a JSON file of all suites")

    one = commands.add_parser(
        "download", help="fetch the weights of a published suite", allow_abbrev=False
    )
    _suite(one)

    one = commands.add_parser(
        "merge", help="write a merge as a checkpoint in the base's layout", allow_abbrev=False
    )
    _suite(one)
    what = f"what is merged, as METHOD or METHOD:option=value: {listed(METHODS.names)}"
    one.add_argument("--method", default=TASK_ARITHMETIC, metavar="M", help=what)
    what = (
        "of the method's task vectors, one a task, in place of its static merge; where the first "
        "is below 0, --coefficients=-.1,.3"
    )
    one.add_argument("--coefficients", metavar="a,b,..", help=what)
    what = "λ of the static merge in place of the method's own: one coefficient for all tasks"
    one.add_argument("--scale", metavar="F", help=what)
    what = "a data folder, generated or hub: methods that need samples are made from its validation"
    one.add_argument("--data", metavar="DIR", help=what)
    what = "what is written; without it a method that takes long is made and kept for later alone"
    one.add_argument("--out", metavar="FILE.safetensors", help=what)
    one.add_argument("--force", action="store_true", help="write over a file that is there")
    what = "put it into the suite's folder, in half precision, for whoever has that folder"
    one.add_argument("--ship", action="store_true", help=what)
    _add_options(one, METHODS)

    one = commands.add_parser(
        "init-suite", help="write a suite.json for checkpoints of your own", allow_abbrev=False
    )
    one.add_argument("out", metavar="OUT", help="the suite's folder; files elsewhere are linked")
    one.add_argument("--base", required=True, metavar="FILE", help="weights of the base model")
    one.add_argument("--expert", action="append", default=[], metavar="NAME=FILE")
    one.add_argument("--head", action="append", default=[], metavar="NAME=FILE")
    one.add_argument("--text-tower", metavar="FILE", help="a CLIPModel, where the base has none")
    one.add_argument("--tokenizer", metavar="FILE", help="default: the one beside the models")
    one.add_argument("--name", metavar="N", help="default: the folder's name")
    return root


def suites(args: argparse.Namespace) -> int:
    """List the suites: the bundled ones, then those whose weights are on the hub."""
    known = [read_suite(name) for name in (*available_suites(), *published_suites())]
    if args.json:
        rows = [
            {
                "name": suite.name,
                "title": suite.title,
                "about": suite.about,
                "modality": suite.modality,
                "tasks": list(suite.task_names),
                "layers": suite.depth,
                "defaults": vars(suite.defaults),
                "download_bytes": suite.download_size,
                "memory_bytes": need(suite).total,
                "here": not missing_files(suite),
            }
            for suite in known
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for suite in known:
        print(f"{suite.name}  {suite.modality}, {len(suite.tasks)} tasks: {suite.title}")
        if suite.published:
            place = "not on this disk" if missing_files(suite) else "on this disk"
            size, memory = gigabytes(suite.download_size), gigabytes(need(suite).total)
            print(f"  from the hub, {size}, {place}; needs {memory} of memory")
        for task in suite.tasks:
            print(f"  {task.name}  {len(task.classes)} classes: {task.title}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Answer for one image or sentence, or for many."""
    suite = read_suite(args.suite)
    settings = settings_of(args)
    settings.resolve(suite)  # a wrong option is told before torch is imported
    suite = locate(suite)
    if args.json and args.csv == "-":
        raise UserError("--json and --csv - both want stdout; write the table to a file.")

    from semerge.data.questions import questions, rows, table

    notice = partial(say, stream=sys.stderr)
    asked, many = questions(suite, args.input, args.text_b, args.skip_damaged, notice)

    watch = Stopwatch(told=args.verbose)
    from semerge.engine import load_engine
    from semerge.evaluation.command import check_place, stoppable, write

    if args.csv and args.csv != "-":
        check_place(Path(args.csv))
    watch.lap("import the engine")
    engine = load_engine(suite)
    watch.lap("load the suite")
    results: list[Result] = []
    with stoppable() if many else nullcontext(bool) as stopped:
        for question in asked:
            if stopped():
                break
            results.append(engine.predict(question.sample(), settings))
            if many:
                tell(len(results), len(asked), "inputs")
    watch.lap("answer")
    if not results:
        raise KeyboardInterrupt
    asked, left = asked[: len(results)], len(asked) - len(results)
    if args.csv:
        write(args.csv, table(asked, results))
    if args.json:
        named = [{"input": q.where} | r.to_dict() for q, r in zip(asked, results, strict=True)]
        content = named if many else results[0].to_dict()
        print(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False))
    elif args.csv != "-":
        print("\n".join(rows(asked, results) if many else lines(results[0], suite)))
    if left:
        say(f"stopped by Ctrl+C; {left:,} inputs are left.", sys.stderr)
        return STOPPED
    return 0


def merge(args: argparse.Namespace) -> int:
    """Write a static merge, or the merge for given coefficients, as the base's own file is."""
    suite = read_suite(args.suite)
    spec, own = METHODS.spec(args.method, _options_of(args)), None
    if args.coefficients is not None:
        own = checked_coefficients([*map(_number, args.coefficients.split(","))], suite)
    if args.scale is not None:
        if own is not None:
            raise UserError("--scale is one coefficient for all tasks; leave --coefficients out.")
        if not isinstance(number := _number(args.scale), float) or not abs(number) <= MAX_LAMBDA:
            raise UserError(
                f"scale must be a number from {-MAX_LAMBDA:g} to {MAX_LAMBDA:g}, "
                f"not {quoted(args.scale)}."
            )
        own = (number,) * len(suite.tasks)
    if args.data is not None and not METHODS[spec].sampled:
        raise UserError(f"{METHODS[spec].title} is made from no samples; leave --data out.")
    if args.ship:
        if args.out is not None or own is not None:
            raise UserError("--ship writes what the method makes, into the suite's folder alone.")
        return _ship(suite, spec, args.data)
    if args.out is None and own is not None:
        raise UserError("nothing would be written: name a file by --out FILE.safetensors.")
    if args.out is None:
        return _make(suite, spec, args.data)
    suite, out = locate(suite), Path(args.out)
    if any(out.resolve() == suite.path(file).resolve() for file in loaded_files(suite)):
        raise UserError(f"{out} is a file of the suite itself.")

    from semerge.checkpoints.saving import check_target, save_checkpoint

    check_target(out, args.force)
    from semerge.backbones.weights import open_suite_base
    from semerge.engine import load_engine

    engine = load_engine(suite, source=_source(suite, args.data))
    base = open_suite_base(suite, engine.backbone)
    about = {"suite": suite.name, "method": spec, "weights_sha256": engine.weights_sha256()}
    if own is not None:
        about["coefficients"] = listed(own)
    if args.scale is not None and engine.variant(spec).whole is not None:
        raise UserError(
            f"{METHODS.title(spec)} gives one merged model, which no scale belongs to; leave "
            "--scale out."
        )
    tensors = base.laid_out(engine.merge(spec, own))
    save_checkpoint(out, tensors, about | {"semerge": __version__}, args.force)
    size = gigabytes(out.stat().st_size)
    print(f"{out}: {METHODS.title(spec)} of {suite.title}, {size}, by the names of {base.path}")
    return 0


def _make(suite: Suite, spec: str, data: str | None) -> int:
    """Make what takes long once, for later commands and the app."""
    if not METHODS[spec].is_dear(parameters(suite.sizes.shapes)):
        raise UserError("nothing would be written: name a file by --out FILE.safetensors.")
    from semerge.engine import load_engine

    suite = locate(suite)
    engine = load_engine(suite, source=_source(suite, data))
    engine.variant(spec)
    if not engine.models.is_kept(spec):
        raise UserError(f"{METHODS.title(spec)} can't be kept on this disk.")
    print(f"{METHODS.title(spec)} of {suite.title} is made, and kept for later")
    return 0


def _ship(suite: Suite, spec: str, data: str | None) -> int:
    """Put what a method makes into the suite's folder."""
    if not METHODS[spec].is_dear(parameters(suite.sizes.shapes)):
        raise UserError(f"{METHODS.title(spec)} is made at once wherever it is asked for.")
    from semerge.engine import load_engine

    suite = locate(suite)
    engine = load_engine(suite, source=_source(suite, data))
    files = engine.models.ship(spec)
    size = gigabytes(sum(file.stat().st_size for file in files))
    print(
        f"{METHODS.title(spec)} of {suite.title}: {len(files)} files, {size}, in {files[0].parent}"
    )
    return 0


def _source(suite: Suite, data: str | None) -> Source | None:
    """Of the samples for a method that needs some."""
    from semerge.data.samples import source

    return None if data is None else source(suite, data, notice=partial(say, stream=sys.stderr))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def lines(result: Result, suite: Suite) -> list[str]:
    """A result as text: the routing as a table, then the four answers."""
    titles = {task.name: task.title for task in suite.tasks}
    rows = zip(
        titles.values(),
        result.distances,
        result.similarities,
        result.static_coefficients,
        result.coefficients,
        strict=True,
    )
    wide = max(map(len, titles.values()))
    return rendered("predict.txt", vars(result), rows=rows, titles=titles, wide=wide, shown=SHOWN)


def elsewhere(args: argparse.Namespace) -> int:
    """A command that lives in a module of its own."""
    return int(importlib.import_module(ELSEWHERE[args.command]).run(args) or 0)


def _suite(command: argparse.ArgumentParser) -> None:
    command.add_argument("--suite", required=True, metavar="S", help="a suite's name or folder")


def add_settings(command: argparse.ArgumentParser, sweep: bool = False) -> None:
    """A flag for every field of `Settings` and every option of a method or probe. sweep: for a
    command that runs over labelled data: several methods, "all" of some fields, the head and the
    fast mode left out."""
    group = command.add_argument_group("settings, in place of the suite's defaults")
    readings = command.add_argument_group("readings of the method, in place of the preset's")
    for name, is_ in descriptions().items():
        if sweep and name in ("head", "method", "fast"):
            continue
        flag, about = f"--{name.replace('_', '-')}", is_.about
        if name in ROOMS:
            about += f": {listed(ROOMS[name].names)}"
        into = readings if is_.override else group
        if is_.kind is bool:
            into.add_argument(flag, action="store_true", help=about)
        elif sweep and is_.sweep:
            flags = (flag, "--probes") if name == "probe" else (flag,)  # as --methods is spelled
            into.add_argument(*flags, metavar=f"{is_.metavar or 'P'}|all", help=about)
        else:
            default = getattr(Settings, name)
            into.add_argument(
                flag,
                type=is_.kind,
                default=default,
                choices=is_.fixed or None,
                metavar=None if is_.fixed else is_.metavar,
                help=about,
            )
    _add_options(command, METHODS, PROBES)


def _add_options(command: argparse.ArgumentParser, *registries: Registry[Any]) -> None:
    """A flag for every option of a registry's entries."""
    options = command.add_argument_group("options of a method or probe")
    every = {name: x for one in reversed(registries) for name, x in one.options.items()}
    for name, option in every.items():
        users = [e.name for registry in registries for e in registry if option in e.options]
        about = f"{option.about or name} ({listed(users)}); {option.valid}"
        flag = f"--{name.replace('_', '-')}"
        options.add_argument(flag, dest=f"option_{name}", metavar="X", help=about, default=SKIP)


def settings_of(args: argparse.Namespace) -> Settings:
    """What the flags of `add_settings` say. Raises UserError where there is no such method or
    probe, or it has no such option."""
    values = {name: getattr(args, name) for name in descriptions() if hasattr(args, name)}
    given = _options_of(args)
    probe = values.get("probe")
    of_probe = {o.name for o in PROBES[probe].options} if probe else set()
    return Settings(
        **values,
        method_options={name: x for name, x in given.items() if name not in of_probe},
        probe_options={name: x for name, x in given.items() if name in of_probe},
    )


def _options_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `_add_options` say."""
    return {
        name.removeprefix("option_"): value
        for name, value in vars(args).items()
        if name.startswith("option_")
    }
