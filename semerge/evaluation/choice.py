"""The automatic choice for a user's own samples: probe, λ, layer and pooling without a label."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import semerge
from semerge.checkpoints.files import locate
from semerge.common import UserError, tell
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.diagnosis import candidates
from semerge.evaluation.measure import Cancelled, Plan, Progress, measure
from semerge.evaluation.selection import NOTHING, Candidate, rank
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.routing import nearest
from semerge.settings import FINAL, Settings
from semerge.suites import read_suite

FEWEST = 2
"""Samples for each task of the suite: with fewer, candidates agree by chance."""


@dataclass(frozen=True)
class Choice:
    """Every candidate, best first, over n samples. default: where the suite's own one ranks.
    chosen: how many samples the pick sends to each expert."""

    suite: str
    n: int
    ranked: tuple[Candidate, ...]
    default: int
    chosen: dict[str, int]
    weights_sha256: str

    @property
    def pick(self) -> Candidate:
        """The best candidate."""
        return self.ranked[0]

    def to_dict(self) -> dict[str, Any]:
        """The object of `choose --json`."""
        return {
            "suite": self.suite,
            "n": self.n,
            "candidates": len(self.ranked),
            "pick": self.pick.to_dict(),
            "options": options(self.pick.key),
            "chosen": self.chosen,
            "rank_of_default": self.default,
            "ranked": [candidate.to_dict() for candidate in self.ranked],
            "version": semerge.__version__,
            "weights_sha256": self.weights_sha256,
        }


def choose(
    engine: Engine,
    samples: LabelledSet,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Choice:
    """Rank every way to measure distances that the suite offers by `selection.rank`.

    samples: of all tasks together, as `unlabelled_set` reads them; labels are not looked at.

    Raises:
        UserError: there are too few samples, or all of them seem to belong to one expert.
        Interrupted: `cancelled` said so.
    """
    suite, keys = engine.suite, candidates(engine)
    fewest = FEWEST * len(suite.tasks)
    if len(samples) < fewest:
        raise UserError(
            f"A choice among {len(suite.tasks)} experts needs {fewest} samples or more, of all "
            f"tasks; these are {len(samples)}."
        )
    # of answers there is no use
    measured = measure(engine, [samples], Plan(keys, own_only=True), progress, cancelled)
    ranked = rank(measured.distances)
    if ranked[0].score < NOTHING:
        raise UserError(
            "Every candidate sends all of these samples to one expert, so there is nothing to "
            "choose by; use samples of several tasks."
        )
    counts = nearest(measured.distances[ranked[0].key]).bincount(minlength=len(suite.tasks))
    usual = Settings().resolve(suite).probing
    return Choice(
        suite=suite.name,
        n=len(samples),
        ranked=tuple(ranked),
        default=1 + [candidate.key for candidate in ranked].index(usual),
        chosen=dict(zip(suite.task_names, counts.tolist(), strict=True)),
        weights_sha256=engine.weights_sha256(),
    )


def options(key: Key) -> str:
    """What `predict` and `evaluate` are to be given to probe at a key."""
    text = f"--probe {key.probe} --layer {key.layer}"
    if key.layer != FINAL:
        text += f" --pool {key.pool}"
    # statistics know one λ alone, and where no merged model runs there is none
    free = key.probe_lambda and not PROBES[key.probe].stored
    return text + (f" --probe-lambda {key.probe_lambda}" if free else "")


# ---- the command ---------------------------------------------------------------------------------

SHOWN = 10
"""Candidates in the table; --json has all."""


def run(args: argparse.Namespace) -> int:
    """Choose and print. Returns the exit code."""
    suite = locate(read_suite(args.suite))

    from semerge.data.uploads import unlabelled_set

    samples = unlabelled_set(suite, args.samples, args.limit, args.seed)  # before any weight

    from semerge.engine import load_engine

    engine = load_engine(suite)
    tell(0, len(samples), "samples")
    found = choose(engine, samples, partial(tell, what="samples"))
    if args.json:
        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print("\n".join(lines(found)))
    return 0


def lines(found: Choice) -> list[str]:
    """The best candidates as a table, the pick as options, and where it sends the samples."""
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
