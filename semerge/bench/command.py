"""python -m semerge bench: what an answer costs, against what it can't avoid."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from semerge.common import FIGURES, UserError, read_json, rendered, write_text
from semerge.registry import split_specs
from semerge.suites import published_suites, read_suite
from semerge.suites.report import machine

ROUNDS, LARGE_ROUNDS = 15, 5
INPUTS = 16
POINT = ("probe", "layer", "pool", "preset", "probe_lambda")  # what tells where exact measures
LIMIT = 200  # samples a task of labelled data; 0 stands for all


def run(args: argparse.Namespace, reference: Any = None) -> int:
    """Measure, write or print. Returns the exit code. reference: as in `figures.figures`."""
    found = bench(args, reference)
    if args.write:
        _write(Path(args.write), found)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(lines(found)))
    return 0


def bench(args: argparse.Namespace, reference: Any = None) -> dict[str, Any]:
    """Everything about one suite, as plain numbers, strings, lists and dictionaries."""
    large = args.suite in published_suites()
    if not large:
        read_suite(args.suite)  # a wrong name is told before torch is imported
    if args.data and large:
        raise UserError(f"{args.suite} is measured with random weights; --data means nothing then.")

    from semerge.bench import figures, methods, modes, start, subject

    specs = methods.chosen(split_specs(args.methods)) if args.methods else ()

    inputs, rounds = INPUTS, args.rounds or (LARGE_ROUNDS if large else ROUNDS)
    if args.quick:
        inputs, rounds = INPUTS // 4, min(rounds, 2)
    make = partial(subject.published if large else subject.bundled, args.suite, inputs)
    made, peak = figures.peak(make)
    at = made.settings.resolve(made.suite)
    found: dict[str, Any] = {
        "suite": args.suite,
        "weights": made.weights,
        "weights_sha256": made.engine.weights_sha256(),
        "experts": made.engine.models.vectors.count,
        "exact": {key: getattr(at, key) for key in POINT},
    }
    on = {"machine": machine(str(made.engine.models.device)), "quick": args.quick}
    if specs:
        return found | {"methods": methods.costs(made, specs, rounds, _tell)} | on
    found |= figures.figures(made, rounds, _tell, reference)
    found["figures"]["peak_over_weights"] = peak
    if args.data:
        limit = LIMIT if args.limit is None else args.limit or None
        few = min(rounds, 5)
        found["labelled"] = modes.measured(made, args.data, args.split, limit, few, _tell)
        row = next(m for m in found["labelled"]["modes"] if m["mode"] == modes.NAMED)
        found["figures"]["fast_agreement"] = row["agreement"]
        found["figures"]["fast_default_agreement"] = row["default_agreement"]
        found["figures"]["fast_hit_rate"] = row["alone"]
    found["growth"] = [] if args.quick else figures.growth(made, min(rounds, 3), _tell)
    starts = 1 if args.quick else 3
    found["start_ms"] = None if large else start.start_ms(args.suite, starts)
    if not large:
        found["figures"]["page_ms"] = start.page_ms(starts)
    found["acceptance"] = figures.acceptance(found, large)
    found["about"] = {name: words["about"] for name, words in FIGURES.items()}
    return found | on


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as text."""
    template = "bench_methods.txt" if "methods" in found else "bench.txt"
    return rendered(template, {"labelled": None} | found)


def _write(path: Path, found: dict[str, Any]) -> None:
    """Put the figures of this suite beside those of others in a JSON file. What was measured on
    another split than test has a place of its own there, and so have methods."""
    split = found.get("labelled", {}).get("split", "test")
    name = found["suite"] if split == "test" else f"{found['suite']}, {split}"
    name += ", methods" if "methods" in found else ""
    known = read_json(path) if path.exists() else {}
    write_text(path, json.dumps(known | {name: found}, indent=1, ensure_ascii=False) + "\n")


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"semerge: {text}", file=sys.stderr)
