"""python -m semerge choose: probe, λ, layer and pooling from a user's own unlabelled samples."""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING

from semerge.checkpoints.hub import locate
from semerge.progress import tell
from semerge.suites import read_suite

if TYPE_CHECKING:
    from semerge.evaluation.choice import Choice

SHOWN = 10
"""Candidates in the table; --json has all."""


def run(args: argparse.Namespace) -> int:
    """Choose and print. Returns the exit code."""
    suite = read_suite(args.suite)
    locate(suite)

    from semerge.evaluation.unlabelled import unlabelled_set

    samples = unlabelled_set(suite, args.samples, args.limit, args.seed)  # before any weight

    from semerge.engine import load_engine
    from semerge.evaluation.choice import choose

    engine = load_engine(args.suite)
    tell(0, len(samples), "samples")
    found = choose(engine, samples, partial(tell, what="samples"))
    if args.json:
        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print("\n".join(lines(found)))
    return 0


def lines(found: Choice) -> list[str]:
    """The best candidates as a table, the pick as options, and where it sends the samples."""
    from semerge.evaluation.choice import options

    rows = []
    for place, candidate in enumerate(found.ranked[:SHOWN], 1):
        key = candidate.key
        scale = f"{key.probe_lambda:g}" if key.probe_lambda else ""
        rows.append(
            f"{place:>4}  {key.probe:8} {key.layer!s:>5}  {key.pool:6} {scale:>6} "
            f"{candidate.margin:>7.3f} {candidate.agreement:>10.3f} {candidate.score:>6.3f}"
        )
    counts = ", ".join(f"{task} {count}" for task, count in found.chosen.items())
    return [
        f"{found.suite}: {found.n:,} unlabelled samples, {len(found.ranked)} candidates",
        f"      {'probe':8} layer  {'pool':6} {'λ':>6}  margin  agreement  score",
        *rows,
        f"pick: {options(found.pick.key)}",
        f"it sends the samples to: {counts}",
        f"the suite's own default is number {found.default}",
    ]
