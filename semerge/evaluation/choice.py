"""The automatic choice for a user's own samples: probe, λ, layer and pooling without a label."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

import semerge
from semerge.checkpoints.files import locate
from semerge.common import UserError, read_json, rendered, say, tell, write_text
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.diagnosis import candidates
from semerge.evaluation.measure import Cancelled, Plan, Progress, measure
from semerge.evaluation.selection import NOTHING, Candidate, every_key, rank
from semerge.models import Point
from semerge.probes import PROBES
from semerge.probes.displacement import relative
from semerge.registry import Key
from semerge.routing import margin, nearest
from semerge.settings import FINAL, Settings
from semerge.suites import Suite, read_suite

FEWEST = 2
"""Samples for each task of the suite: with fewer, candidates agree by chance."""


@dataclass(frozen=True)
class Choice:
    """Every candidate, best first, over n samples. default: the rank of the suite's own one.
    chosen: how many samples the pick sends to each expert. curve: see `agreements`."""

    suite: str
    n: int
    ranked: tuple[Candidate, ...]
    default: int
    chosen: dict[str, int]
    curve: list[dict[str, float]]
    weights_sha256: str
    displacements: dict[Point, tuple[float, ...]]  # of the experts, means over these samples

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
            "curve": self.curve,
            "ranked": [candidate.to_dict() for candidate in self.ranked],
            "version": semerge.__version__,
            "weights_sha256": self.weights_sha256,
        }


def choose(
    engine: Engine,
    sets: Sequence[LabelledSet],
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Choice:
    """Rank every way to measure distances that the suite offers by `selection.rank`, and the probe
    `displacement` by these samples' own displacements where the suite has none.

    sets: of all tasks, or of all together, as `unlabelled_sets` reads them; labels are not looked
    at. Raises UserError where there are too few samples, or all of them seem to belong to one
    expert.
    """
    count = sum(map(len, sets))
    suite, keys = engine.suite, candidates(engine)
    fewest = FEWEST * len(suite.tasks)
    if count < fewest:
        raise UserError(
            f"A choice among {len(suite.tasks)} experts needs {fewest} samples or more, of all "
            f"tasks; these are {count}."
        )
    # of answers there is no use
    measured = measure(engine, sets, Plan(keys, own_only=True), progress, cancelled)
    distances = measured.distances
    moved = {key.point: d for key, d in distances.items() if key.probe == "base"}
    if not suite.displacements:
        distances |= {
            Key("displacement", *point): relative(d, d.mean(0)) for point, d in moved.items()
        }
    ranked = rank(distances)
    if ranked[0].score < NOTHING:
        raise UserError(
            "Every candidate sends all of these samples to one expert, so there is nothing to "
            "choose by; use samples of several tasks."
        )
    counts = nearest(distances[ranked[0].key]).bincount(minlength=len(suite.tasks))
    usual = Settings().resolve(suite).probing
    return Choice(
        suite=suite.name,
        n=count,
        ranked=tuple(ranked),
        default=1 + [candidate.key for candidate in ranked].index(usual),
        chosen=dict(zip(suite.task_names, counts.tolist(), strict=True)),
        curve=agreements(distances, ranked[0].key.point),
        weights_sha256=engine.weights_sha256(),
        displacements=means(moved),
    )


def agreements(distances: Mapping[Key, Tensor], point: Point) -> list[dict[str, float]]:
    """By λ of the probe `experts` at a (layer, pool): the share of samples whose nearest expert is
    the one that moves them farthest, by the probe `displacement`, and the mean margin.

    Without a label it shows the threshold that the theory has: where experts stay where the base is
    on what is not their own, the share is small below λ = 1/2 and nears one above.
    """
    moved = distances[Key("base", *point)]
    farthest = nearest(relative(moved, moved.mean(0)))
    at = {k.probe_lambda: k for k in distances if k.probe == "experts" and k.point == point}
    return [
        {
            "lambda": scale,
            "agrees": float((nearest(distances[key]) == farthest).double().mean()),
            "margin": float(margin(distances[key]).mean()),
        }
        for scale, key in sorted(at.items())
    ]


def mean_displacements(
    engine: Engine, samples: Sequence[LabelledSet]
) -> dict[Point, tuple[float, ...]]:
    """How far each of T experts moves a sample from the base, as a mean over all samples: (T,) by
    (layer, pool). Labels are not looked at."""
    keys = tuple(key for key in every_key(engine.suite, ()) if key.probe == "base")
    measured = measure(engine, samples, Plan(keys, own_only=True))
    return means({key.point: d for key, d in measured.distances.items()})


def means(moved: Mapping[Point, Tensor]) -> dict[Point, tuple[float, ...]]:
    """Of distances (N, T) from the base, over the samples."""
    return {point: tuple(d.mean(0).tolist()) for point, d in moved.items()}


def options(key: Key) -> str:
    """What `predict` and `evaluate` are to be given to probe at a key."""
    text = f"--probe {key.probe} --layer {key.layer}"
    if key.layer != FINAL:
        text += f" --pool {key.pool}"
    # statistics know one λ alone, and where no merged model runs there is none
    free = key.probe_lambda and not PROBES[key.probe].stored
    return f"{text} --probe-lambda {key.probe_lambda}" if free else text


# ---- the command ---------------------------------------------------------------------------------

SHOWN = 10
"""Candidates in the table; --json has all."""


def run(args: argparse.Namespace) -> int:
    """Choose and print. Returns the exit code."""
    suite = locate(read_suite(args.suite))

    from semerge.data.sets import unlabelled_sets

    sets = unlabelled_sets(  # before any weight
        suite,
        args.samples,
        args.limit,
        args.seed,
        args.skip_damaged,
        notice=partial(say, stream=sys.stderr),
    )

    from semerge.engine import load_engine

    engine = load_engine(suite)
    tell(0, sum(map(len, sets)), "samples")
    found = choose(engine, sets, partial(tell, what="samples"))
    if args.write:
        write(suite, found)
    if args.json:
        print(json.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print("\n".join(lines(found, suite)))
    return 0


def write(suite: Suite, found: Choice) -> None:
    """Store in suite.json how far the experts move the samples: what the probe `displacement`
    compares with. Raises UserError where the file can't be written."""
    path = suite.folder / "suite.json"
    raw = read_json(path)
    raw["displacements"] = stored(found.displacements, suite)
    write_text(path, json.dumps(raw, indent=1, ensure_ascii=False) + "\n")


def stored(displacements: Mapping[Point, Sequence[float]], suite: Suite) -> dict[str, Any]:
    """Displacements as suite.json has them."""
    return {
        f"{layer}/{pool}": dict(zip(suite.task_names, row, strict=True))
        for (layer, pool), row in displacements.items()
    }


def lines(found: Choice, suite: Suite) -> list[str]:
    """The best candidates as a table, the pick as options, and where it sends the samples."""
    pick, shown = options(found.pick.key), found.ranked[:SHOWN]
    chosen = {suite.task_title(task): count for task, count in found.chosen.items()}
    return rendered("choice.txt", vars(found), options=pick, shown=shown, chosen=chosen)
