"""Choosing probe, λ, layer and pooling without a label (the paper has no such rule; this is ours).

A candidate is one way to measure distances. Over unlabelled samples it is good where

    margin        its choices are clear: the mean of (d2 − d1) / d2;
    agreement     the other candidates tell the same story: the mutual information of its choices
                  with each other candidate's, over log T, averaged over all of them.

The score is the product. A probe that sends everything to one expert has clear margins and no
information; one that is random has neither; a broken layer disagrees with the rest. Mutual
information asks for no uniform mix of tasks: it shrinks alike for every candidate where one task
is rare. Labels are used nowhere but in `against_labels`, which says how good the pick was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semerge.evaluation.measure import BASE, Measurement
from semerge.models import Point
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.routing import margin as margin_of
from semerge.routing import nearest
from semerge.settings import valid_layers, valid_pools
from semerge.suites import Suite

PROBE_LAMBDAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
NOTHING = 1e-6
"""A score below it is rounding: nothing speaks for such a candidate."""


def every_key(suite: Suite, scales: Iterable[float]) -> Iterable[Key]:
    """All probes at every layer and pooling; one that runs no merged model has no λ, and one of
    displacements is where the suite has some."""
    for probe in PROBES:
        for layer in valid_layers(suite):
            for pool in valid_pools(suite, probe.name, layer):
                if "displacements" in probe.needs and (layer, pool) not in suite.displacements:
                    continue
                for scale in scales if "merged" in probe.needs else [BASE]:
                    yield Key(probe.name, layer, pool, scale)


@dataclass(frozen=True)
class Candidate:
    """One way to measure distances, and its figures over the unlabelled samples."""

    key: Key
    margin: float
    agreement: float

    @property
    def score(self) -> float:
        """What candidates are ranked by."""
        return self.margin * self.agreement

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        figures = {"margin": self.margin, "agreement": self.agreement, "score": self.score}
        return self.key._asdict() | figures


def rank(distances: Mapping[Key, Tensor]) -> list[Candidate]:
    """Candidates best first; of equals the first given. distances (N, T) each, unlabelled. Raises
    ValueError for fewer than two candidates, or no samples."""
    if len(distances) < 2 or not all(len(d) for d in distances.values()):
        raise ValueError("an agreement needs two candidates and some samples")
    margins = [float(margin_of(d).mean()) for d in distances.values()]
    choices = torch.stack([nearest(d) for d in distances.values()])
    agreement = mutual_information(choices, next(iter(distances.values())).shape[1])
    mean = agreement.fill_diagonal_(0.0).sum(1) / (len(choices) - 1)
    found = map(Candidate, distances, margins, mean.tolist())
    return sorted(found, key=lambda c: -c.score)


def mutual_information(choices: Tensor, tasks: int) -> Tensor:
    """Choices (C, N) of C candidates among T tasks -> mutual information (C, C) over log T."""
    count, n = choices.shape
    hot = torch.nn.functional.one_hot(choices, tasks).float()  # (C, N, T)
    flat = hot.transpose(0, 1).reshape(n, count * tasks)
    joint = (flat.mT @ flat / n).double().view(count, tasks, count, tasks)
    entropy = torch.special.entr(hot.double().mean(1)).sum(1)  # (C,)
    together = torch.special.entr(joint).sum((1, 3))  # (C, C)
    found = (entropy[:, None] + entropy[None] - together) / math.log(tasks)
    return found.clamp(min=0.0)


def against_labels(ranked: list[Candidate], measured: Measurement) -> dict[str, Any]:
    """The pick beside the candidate with the best routing accuracy, both on these samples.
    Accuracies are means over tasks: routing, and SE-Merging's with preset `hard` under the task's
    head and under the chosen expert's."""
    found = {c.key: accuracy(measured, c.key) for c in ranked}
    routing = {key: figures["routing"] for key, figures in found.items()}
    order = sorted(found, key=lambda key: -routing[key])
    best, pick = order[0], ranked[0].key
    return {
        "n": len(measured),
        "candidates": len(ranked),
        "pick": ranked[0].to_dict() | found[pick],
        "best": best._asdict() | found[best],
        "gap": routing[best] - routing[pick],
        "rank_of_pick": order.index(pick) + 1,
        "rank_correlation": spearman([c.score for c in ranked], [*routing.values()]),
    }


def accuracy(measured: Measurement, key: Key) -> dict[str, float]:
    """Routing and the preset `hard` at one key, as means over tasks."""
    chosen = nearest(measured.distances[key])
    answers = measured.expert_of(chosen)
    return {
        "routing": measured.macro(chosen == measured.tasks),
        "hard_oracle": measured.macro(measured.oracle(answers)),
        "hard_routed": measured.macro(measured.routed(answers, chosen)),
    }


def over_lambda(measured: Measurement, names: Sequence[str], at: Point | None) -> dict[str, Any]:
    """What one λ is worth for the static merge and the probe `experts` alike, as means over tasks.

    names: of the suite's tasks. at: the (layer, pool) that is probed; without one, at each λ the
    one that routes best.

    Returns base, expert, both by task, and `rows`, one for each λ that was measured: `static` with
    the given head; `nearest`, the share of samples whose own expert is nearest, and where that was
    probed; preset `hard` there with the given and with the routed head; and the first two by task.
    """
    seen = measured.tasks.unique().tolist()
    keys = [k for k in measured.distances if k.probe == "experts" and at in (None, k.point)]

    def by_task(right: Tensor) -> dict[str, float]:
        return {names[t]: round(measured.macro(right, [t]), 4) for t in seen}

    rows = []
    for scale in sorted({key.probe_lambda for key in keys} & set(measured.answers)):
        figures = {key: accuracy(measured, key) for key in keys if key.probe_lambda == scale}
        key = max(figures, key=lambda k: (figures[k]["routing"], figures[k]["hard_routed"]))
        static = measured.oracle(measured.answers[scale])
        rows.append(
            {
                "lambda": scale,
                "static": measured.macro(static),
                "nearest": figures[key]["routing"],
                "layer": key.layer,
                "pool": key.pool,
                "hard_given": figures[key]["hard_oracle"],
                "hard_routed": figures[key]["hard_routed"],
                "static_by_task": by_task(static),
                "nearest_by_task": by_task(nearest(measured.distances[key]) == measured.tasks),
            }
        )
    base = measured.oracle(measured.answers[BASE])
    expert = measured.oracle(measured.expert_of(measured.tasks))
    return {
        "samples": len(measured),
        "base": measured.macro(base),
        "expert": measured.macro(expert),
        "base_by_task": by_task(base),
        "expert_by_task": by_task(expert),
        "rows": rows,
    }


def spearman(a: list[float], b: list[float]) -> float | None:
    """Rank correlation, equals sharing their mean rank; None where one list is all alike."""
    values = torch.tensor([a, b], dtype=torch.float64)  # (2, C)
    below = (values[:, :, None] > values[:, None]).sum(2)
    alike = (values[:, :, None] == values[:, None]).sum(2)
    ranks = below + (alike - 1) / 2
    if (ranks.std(1, correction=0) == 0).any():
        return None
    return float(torch.corrcoef(ranks)[0, 1])
