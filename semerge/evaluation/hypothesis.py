"""The paper's hypothesis on labelled samples: the expert of x's own task is the nearest.

Relies on `Measurement` for distances, on `Engine.base_embedding`, `static_embedding`,
`expert_embedding` and `merged_embedding` for the bias, and on `Engine.models.representations` for
the map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semerge.engine import Engine
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.intervals import share
from semerge.evaluation.measure import Cancelled, Key, Measurement, each_batch, tasks_of
from semerge.evaluation.represent import represent
from semerge.models import Point
from semerge.suites import Suite
from semerge.unfit import margin_of, nearest

BINS = 20
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def nearest_shares(measured: Measurement, keys: Iterable[Key]) -> list[dict[str, Any]]:
    """For each probe, λ, layer and pooling the share of samples whose own expert is nearest, with
    its 95 % interval."""
    rows = []
    for key in keys:
        rows.append(key._asdict() | share(nearest(measured.distances[key]) == measured.tasks))
    return rows


def margins(distances: Tensor, tasks: Tensor) -> dict[str, Any]:
    """How clear the choice was: the margin's histogram for well routed and misrouted samples.

    distances (N, T), tasks (N,). The bins are equal parts of [0, 1].
    """
    margin, right = margin_of(distances), nearest(distances) == tasks
    histogram = {
        name: torch.histc(margin[mask], BINS, 0.0, 1.0).long().tolist()
        for name, mask in (("right", right), ("misrouted", ~right))
    }
    quantiles = torch.quantile(margin, torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
    return {
        "n": len(margin),
        "mean": float(margin.mean()),
        "quantiles": {f"{q:g}": value for q, value in zip(QUANTILES, quantiles, strict=True)},
        "bins": BINS,
        **histogram,
    }


@torch.inference_mode()
def representation_bias(
    engine: Engine,
    sets: Sequence[LabelledSet],
    coefficients: Tensor,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """How far base, static merge and SE-Merging lie from the right expert, in final embeddings.

    coefficients (N, T), SE-Merging's. Distances |f(x; θ) − f(x; θ_own)| are over |f(x; θ_own)|.
    Returns means over all samples and by task, and the share of samples that SE-Merging brings
    nearer to the right expert than the static merge.

    Raises:
        Interrupted: `cancelled` said so.
    """
    gaps = {name: torch.empty(len(coefficients)) for name in ("base", "static", "se")}
    tasks = tasks_of(engine, sets)
    for own, at, batch in each_batch(engine, sets, cancelled):
        placed = engine.models.place(batch)
        right = engine.expert_embedding(placed, own).float()  # (B, D)
        size = torch.linalg.vector_norm(right, dim=1)
        for name, z in (
            ("base", engine.base_embedding(placed)),
            ("static", engine.static_embedding(placed)),
            ("se", engine.merged_embedding(placed, coefficients[at])),
        ):
            gap = torch.linalg.vector_norm(z.float() - right, dim=1) / size
            gaps[name][at] = gap.cpu()

    def means(mask: Tensor) -> dict[str, float]:
        return {name: float(gap[mask].double().mean()) for name, gap in gaps.items()}

    everything = torch.ones(len(tasks), dtype=torch.bool)
    return {
        "n": len(tasks),
        "average": means(everything),
        "tasks": {engine.suite.tasks[t].name: means(tasks == t) for t in tasks.unique().tolist()},
        "se_nearer": share(gaps["se"] < gaps["static"]),
    }


@dataclass(frozen=True)
class Map:
    """N representations at a (layer, pool) in the plane: (N, 2), with their tasks (N,) and the two
    axes' shares of the variance."""

    point: Point
    places: Tensor
    tasks: Tensor
    explained: tuple[float, float]

    def to_dict(self, suite: Suite) -> dict[str, Any]:
        """For report.json and charts."""
        return {
            "layer": self.point[0],
            "pool": self.point[1],
            "n": len(self.tasks),
            "explained": list(self.explained),
            "tasks": [suite.tasks[t].name for t in self.tasks.tolist()],
            "x": [round(x, 4) for x in self.places[:, 0].tolist()],
            "y": [round(y, 4) for y in self.places[:, 1].tolist()],
        }


@torch.inference_mode()
def task_map(
    engine: Engine,
    sets: Sequence[LabelledSet],
    point: Point,
    probe_lambda: float,
    cancelled: Cancelled | None = None,
) -> Map:
    """The probed merged model's representations of labelled samples in two dimensions.

    point: the (layer, pool) that is probed. With pooling `all` the mean over the tokens is shown,
    as sentences differ in length.

    Raises:
        Interrupted: `cancelled` said so.
    """
    shown = (point[0], "mean" if point[1] == "all" else point[1])
    stage = engine.models.probed(probe_lambda)
    found = [
        represent(engine, stage, engine.models.place(batch), shown).cpu()
        for _, _, batch in each_batch(engine, sets, cancelled)
    ]  # a task's samples in the order of its batches, which is all the same to a map
    places, explained = principal_plane(torch.cat(found))
    return Map(shown, places, tasks_of(engine, sets), explained)


def principal_plane(rows: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Rows (N, K) on their two principal axes, (N, 2), and these axes' shares of the variance.

    Each axis points to where its largest loading is positive, so that a map is always the same.
    """
    centred = rows.double() - rows.double().mean(0)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    axes, two = axes[:2], values[:2].square()
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # (2, 1)
    places = torch.zeros(len(rows), 2, dtype=torch.float64)
    places[:, : len(axes)] = centred @ (axes * signs).mT
    total = float(values.square().sum())
    shares = [float(v) / total if total > 0 else 0.0 for v in two]
    return places, (shares[0], shares[1] if len(shares) > 1 else 0.0)


def best_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By probe, the row of `nearest_shares` with the largest share; of equals the first."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["probe"] not in best or row["share"] > best[row["probe"]]["share"]:
            best[row["probe"]] = row
    return best
