"""The automatic choice for a user's own samples: probe, λ, layer and pooling without a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import semerge
from semerge.engine import Engine
from semerge.errors import UserError
from semerge.evaluation import criterion
from semerge.evaluation.criterion import Candidate
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.diagnosis import candidates
from semerge.evaluation.measure import Cancelled, Key, Plan, Progress, key_of, measure
from semerge.settings import FINAL, Settings
from semerge.unfit import nearest

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
    """Rank every way to measure distances that the suite offers by `criterion.rank`.

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
    caches = {("cache", suite.defaults.probe_lambda): engine.models.statistics}
    plan = Plan(keys, own_only=True, caches=caches)  # of answers there is no use
    measured = measure(engine, [samples], plan, progress, cancelled)
    ranked = criterion.rank(measured.distances)
    if ranked[0].score < criterion.NOTHING:
        raise UserError(
            "Every candidate sends all of these samples to one expert, so there is nothing to "
            "choose by; use samples of several tasks."
        )
    counts = nearest(measured.distances[ranked[0].key]).bincount(minlength=len(suite.tasks))
    usual = key_of(Settings().resolve(suite))
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
    # `base` has no merged model, and the statistics of `cache` know one λ alone
    return text + (f" --probe-lambda {key.probe_lambda}" if key.probe == "experts" else "")
