"""python -m semerge: the same engine and the same Result as the app.

Answers go to stdout. Bad input is one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from semerge.errors import UserError
from semerge.settings import AUTO, MASSES, NORMALISERS, PRESETS, PROBES, SIMILARITIES, Settings
from semerge.suites import available_suites, read_suite

if TYPE_CHECKING:
    from semerge.result import Result

ELSEWHERE = {  # command -> module whose run(args) does it; imported when it is asked for
    "evaluate": "semerge.evaluation.command",
    "train": "semerge.training.command",
}
SHOWN = 5  # predictions a column, where no JSON is asked for


class Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; here an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. `argv` is without the program's name."""
    try:
        args = parser().parse_args(argv)
        if args.command == "suites":
            return suites(args)
        if args.command == "predict":
            return predict(args)
        return elsewhere(args)
    except UserError as error:
        print(f"semerge: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def parser() -> Parser:
    """All commands and options."""
    root = Parser(prog="semerge", description="SE-Merging: per-sample dynamic model merging.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("suites", help="list the suites", allow_abbrev=False)
    one.add_argument("--json", action="store_true", help="print JSON")

    one = commands.add_parser("predict", help="answer for one input", allow_abbrev=False)
    _suite(one)
    one.add_argument("input", metavar="IMAGE_OR_SENTENCE", help="an image file, or a sentence")
    one.add_argument("--text-b", metavar="S2", help="the second sentence of a pair")
    one.add_argument("--probe", choices=PROBES)
    one.add_argument("--layer", metavar="L", help="1..L, or final")
    one.add_argument("--pool", metavar="P", help="all, cls or mean; text: all, mean or last")
    one.add_argument("--preset", choices=tuple(PRESETS))
    one.add_argument("--head", default=AUTO, metavar="auto|TASK", help="whose head answers")
    one.add_argument("--method", default="task_arithmetic", metavar="M")
    one.add_argument("--json", action="store_true", help="print the whole result as JSON")
    _overrides(one)

    one = commands.add_parser("evaluate", help="measure on labelled data", allow_abbrev=False)
    _suite(one)
    one.add_argument("--data", required=True, metavar="DIR", help="a data folder, or: generated")
    one.add_argument("--split", default="test", help="default: test")
    one.add_argument("--limit", type=int, metavar="N", help="N samples a task, class-balanced")
    one.add_argument("--seed", type=int, default=0, metavar="N", help="of the limit's choice")
    one.add_argument("--methods", default="task_arithmetic", metavar="a,b")
    one.add_argument("--probe", metavar="P|all")
    one.add_argument("--pool", metavar="P|all")
    one.add_argument("--layer", metavar="L|all")
    one.add_argument("--preset", metavar="P|all")
    one.add_argument("--json", metavar="F", help="write the report; - prints it")
    one.add_argument("--csv", metavar="F", help="write the table; - prints it")
    _overrides(one)

    one = commands.add_parser("train", help="rebuild a bundled suite", allow_abbrev=False)
    _suite(one)
    one.add_argument("--data", required=True, metavar="DIR", help="a data folder")
    one.add_argument("--out", required=True, metavar="DIR", help="where the suite goes")
    one.add_argument("--seed", type=int, metavar="N", help="default: the recipe's own")
    one.add_argument("--smoke", action="store_true", help="every stage, tiny and fast")
    return root


def suites(args: argparse.Namespace) -> int:
    """List the bundled suites."""
    known = [read_suite(name) for name in available_suites()]
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
            }
            for suite in known
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for suite in known:
        print(f"{suite.name}  {suite.modality}, {len(suite.tasks)} tasks: {suite.title}")
        for task in suite.tasks:
            print(f"  {task.name}  {len(task.classes)} classes: {task.title}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Answer for one image or sentence."""
    suite = read_suite(args.suite)
    settings = Settings(
        probe=args.probe,
        layer=args.layer,
        pool=args.pool,
        preset=args.preset,
        head=args.head,
        method=args.method,
        probe_lambda=args.probe_lambda,
        similarity=args.similarity,
        normalise=args.normalise,
        temperature=args.temperature,
        mass=args.mass,
    )
    settings.resolve(suite)  # a wrong option is told before torch is imported
    if suite.modality == "image" and args.text_b is not None:
        raise UserError(f"suite {suite.name} reads images; --text-b belongs to text.")

    from semerge.inputs import clean_text, decode_image

    image = suite.modality == "image"
    sample = decode_image(args.input) if image else clean_text(args.input, args.text_b)

    from semerge.engine import load_engine

    result = load_engine(args.suite).predict(sample, settings)
    if args.json:
        print(json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print("\n".join(lines(result)))
    return 0


def lines(result: Result) -> list[str]:
    """A result as text: the routing as a table, then the four answers."""
    at = f"layer {result.layer}" if result.layer != result.pool else "the final embedding"
    rows = zip(
        result.tasks,
        result.distances,
        result.similarities,
        result.static_coefficients,
        result.coefficients,
        strict=True,
    )
    wide = max(len(task) for task in result.tasks)
    text = [
        f"nearest expert at {at}: {result.chosen} (margin {result.margin:.1%})",
        f"head: {result.head}",
        f"{'task':{wide}}  distance  similarity  before  after",
        *(
            f"{task:{wide}}  {d:8.4g}  {s:10.4f}  {before:6.3f}  {after:5.3f}"
            for task, d, s, before, after in rows
        ),
    ]
    for kind, answers in result.predictions.items():
        best = ", ".join(f"{p.label} {p.score:.3f}" for p in answers[:SHOWN])
        text.append(f"{kind:6}  {best}")
    return [*text, *(f"note: {notice}" for notice in result.notices)]


def elsewhere(args: argparse.Namespace) -> int:
    """A command that lives in a module of its own."""
    return int(importlib.import_module(ELSEWHERE[args.command]).run(args) or 0)


def _suite(command: argparse.ArgumentParser) -> None:
    command.add_argument("--suite", required=True, metavar="S", help="a suite's name or folder")


def _overrides(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("readings of the method, in place of the preset's")
    group.add_argument("--probe-lambda", type=float, metavar="F")
    group.add_argument("--similarity", choices=SIMILARITIES)
    group.add_argument("--normalise", choices=NORMALISERS)
    group.add_argument("--temperature", type=float, metavar="F")
    group.add_argument("--mass", choices=MASSES)
