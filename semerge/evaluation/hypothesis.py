"""The paper's hypothesis on labelled samples, and how far experts move an input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semerge.common import rendered
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.figures import wilson
from semerge.evaluation.measure import Cancelled, Measurement, each_batch, represent, tasks_of
from semerge.evaluation.plane import Looks, Plane, shown
from semerge.models import Point
from semerge.registry import Key
from semerge.routing import margin as margin_of
from semerge.routing import nearest
from semerge.suites import Suite

# ---- shares with their uncertainty ---------------------------------------------------------------


def share(right: Tensor) -> dict[str, Any]:
    """bool (N,) -> {"share", "low", "high", "n"}; the share is None where N is 0."""
    n, hits = len(right), int(right.sum())
    low, high = wilson(hits, n)
    return {"share": hits / n if n else None, "low": low, "high": high, "n": n}


def auroc(low: Tensor, high: Tensor) -> float | None:
    """P(a value of `high` is above one of `low`), ties as halves; None where one is empty."""
    if not len(low) or not len(high):
        return None
    ordered = low.sort().values
    below = torch.searchsorted(ordered, high, right=False)
    upto = torch.searchsorted(ordered, high, right=True)
    return float((below + upto).double().mean() / (2 * len(low)))


def pooled(shares: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several of `share` as one, over all of their samples."""
    rows = [(round(row["share"] * row["n"]), row["n"]) for row in shares if row["n"]]
    hits, n = sum(h for h, _ in rows), sum(m for _, m in rows)
    return share(torch.arange(n) < hits)


# ---- is the expert of x's own task the nearest? --------------------------------------------------

BINS = 20
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def nearest_shares(measured: Measurement, keys: Iterable[Key]) -> list[dict[str, Any]]:
    """For each probe, λ, layer and pooling the share of samples whose own expert is nearest, with
    its 95 % interval."""
    return [
        key._asdict() | share(nearest(measured.distances[key]) == measured.tasks) for key in keys
    ]


def margins(distances: Tensor, tasks: Tensor) -> dict[str, Any]:
    """How clear the choice was: the margin's histogram for well routed and misrouted samples.
    distances (N, T), tasks (N,). The bins are equal parts of [0, 1]."""
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
    """
    gaps = {name: torch.empty(len(coefficients)) for name in ("base", "static", "se")}
    tasks = tasks_of(engine, sets)
    for own, at, batch in each_batch(engine, sets, cancelled):
        right = engine.expert_embedding(batch, own).float()  # (B, D)
        size = torch.linalg.vector_norm(right, dim=1)
        embeddings = {
            "base": engine.base_embedding(batch),
            "static": engine.static_embedding(batch),
            "se": engine.merged_embedding(batch, coefficients[at]),
        }
        for name, z in embeddings.items():
            gaps[name][at] = (torch.linalg.vector_norm(z.float() - right, dim=1) / size).cpu()

    def means(mask: Tensor) -> dict[str, float]:
        return {name: float(gap[mask].double().mean()) for name, gap in gaps.items()}

    return {
        "n": len(tasks),
        "average": means(tasks >= 0),
        "tasks": {engine.suite.tasks[t].name: means(tasks == t) for t in tasks.unique().tolist()},
        "se_nearer": share(gaps["se"] < gaps["static"]),
    }


@torch.inference_mode()
def task_map(
    engine: Engine,
    sets: Sequence[LabelledSet],
    point: Point,
    probe_lambda: float,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """The probed merged model's representations of labelled samples in the plane: each one's task
    and place, and the plane itself. point: the (layer, pool) that is probed."""
    looks = Looks(engine, shown(point), probe_lambda)
    # a task's samples in the order of its batches, which is all the same to a map
    found = torch.cat([looks.at(batch) for _, _, batch in each_batch(engine, sets, cancelled)])
    plane = Plane.of(found)
    x, y = plane.places(found).T.tolist()
    return {
        "layer": looks.point[0],
        "pool": looks.point[1],
        "n": len(found),
        "explained": list(plane.explained),
        "tasks": [engine.suite.task_names[t] for t in tasks_of(engine, sets).tolist()],
        "x": [round(value, 4) for value in x],
        "y": [round(value, 4) for value in y],
        **plane.stored(),
    }


# ---- how far each expert moves an input from where the base has it -------------------------------
# Write Δt(x) = f(x; θt) − f(x; θ0) at the probe layer. To first order in λ the merged model lies
# at f(x; θ0) + λ Σk Δk, so its distance to expert t is |λ Σk Δk − Δt|. For a small λ the nearest
# expert is the one that moves x least: routing works where experts leave their own data alone and
# move everything else. For a larger λ the sum pulls the merged model along what the drifts have in
# common, away from the expert that did not drift. Both are seen from the products Δj · Δk.
#
# Where experts stay on what is not their own, Δk is small for all but the own one, and the merged
# model goes the share α = λ of its move: d_own² − d_k² is about (1 − 2α) |Δown|² − |Δk|², so from
# α = 1/2 on the own expert, the one that moves x most, is the nearest.

CURVE = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
"""λ at which the share of well routed samples is predicted."""
HALF = 0.5
"""The share of an expert's move from which on the one that moves a sample most is the nearest."""
GOOD = 0.8
"""The share of well routed samples from which the hypothesis is said to hold."""


@dataclass(frozen=True)
class Displacements:
    """tasks (N,) int64, positions in the suite; gram (N, T, T) float64, the Δj(x) · Δk(x); along
    (N, T), the Δt(x) · (f(x; θM) − f(x; θ0)) with the merged model that is probed."""

    tasks: Tensor
    gram: Tensor
    along: Tensor

    def sizes(self) -> Tensor:
        """|Δt(x)|, (N, T)."""
        return self.gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()

    def alphas(self) -> Tensor:
        """The share of Δt along which the merged model has gone, (N, T); 0 where an expert does
        not move x at all. From 1/2 on, an expert that moves x is nearer than one that does not."""
        squares = self.gram.diagonal(dim1=1, dim2=2)
        return torch.where(squares > 0, self.along / squares.clamp(min=1e-300), 0.0)

    def cosines(self) -> Tensor:
        """cos(Δj(x), Δk(x)), (N, T, T); 0 where an expert does not move x at all."""
        sizes = self.sizes()
        scale = sizes[:, :, None] * sizes[:, None, :]
        return torch.where(scale > 0, self.gram / scale.clamp(min=1e-300), 0.0)

    def distances(self, scale: float) -> Tensor:
        """|λ Σk Δk − Δt|, (N, T): the probe's distances at λ = `scale`, to first order."""
        rows = self.gram.sum(2)  # (N, T)
        squares = self.gram.diagonal(dim1=1, dim2=2) - 2 * scale * rows
        squares = squares + scale * scale * rows.sum(1, keepdim=True)
        return squares.clamp(min=0).sqrt()


@torch.inference_mode()
def displacements(
    engine: Engine,
    sets: Sequence[LabelledSet],
    point: Point,
    probe_lambda: float,
    cancelled: Cancelled | None = None,
) -> Displacements:
    """Run base, experts and the merged model as far as `point`, a (layer, pool)."""
    models, count = engine.models, engine.models.vectors.count
    tasks = tasks_of(engine, sets)
    gram = torch.empty(len(tasks), count, count, dtype=torch.float64)
    along = torch.empty(len(tasks), count, dtype=torch.float64)
    probed = models.probed(probe_lambda)
    for _, at, batch in each_batch(engine, sets, cancelled):
        experts = [represent(engine, partial(models.expert, t), batch, point) for t in range(count)]
        base = represent(engine, models.base, batch, point)
        moved = torch.stack(experts, dim=1) - base[:, None]  # (B, T, K)
        merged = represent(engine, probed, batch, point) - base  # (B, K)
        gram[at] = (moved @ moved.mT).cpu().double()
        along[at] = torch.einsum("btk,bk->bt", moved, merged).cpu().double()
    return Displacements(tasks, gram, along)


def describe(
    suite: Suite, found: Displacements, point: Point, measured: Mapping[float, Tensor]
) -> dict[str, Any]:
    """The displacement view of a suite. By task: how far its own expert and, on average, the others
    move its samples, both ratios of these (rho is 0 where experts stay elsewhere), and alpha, the
    share of the own expert's move along which the merged model has gone.

    measured: distances (N, T) of the probe `experts` at this point by λ, to set beside the
    prediction. Matrices are by tasks seen (rows, the samples') and experts (columns).
    """
    sizes, cosines, alphas = found.sizes(), found.cosines(), found.alphas()
    count = len(suite.tasks)
    own = sizes.gather(1, found.tasks[:, None])[:, 0]  # (N,)
    others = (sizes.sum(1) - own) / (count - 1)
    apart = ~torch.eye(count, dtype=torch.bool)

    def routed(distances: Tensor) -> dict[str, Any]:
        return share(nearest(distances) == found.tasks)

    curve = []
    for scale in sorted({*CURVE, *measured}):
        row: dict[str, Any] = {"lambda": scale, "predicted": routed(found.distances(scale))}
        if scale in measured:
            row["measured"] = routed(measured[scale])
        curve.append(row)
    tasks, by_task = {}, []
    for t in found.tasks.unique().tolist():
        mine = found.tasks == t
        moved, rest = float(own[mine].mean()), float(others[mine].mean())
        tasks[suite.tasks[t].name] = {
            "own": moved,
            "others": rest,
            "ratio": moved / rest if rest > 0 else None,
            "alpha": float(alphas[mine, t].mean()),
            "rho": rest / moved if moved > 0 else None,
            "moves_least": share(sizes[mine].argmin(1) == t),
        }
        by_task.append(sizes[mine].mean(0).tolist())
    return {
        "layer": point[0],
        "pool": point[1],
        "n": len(found.tasks),
        "tasks": tasks,
        "moves_least": routed(sizes),
        "alpha": float(alphas.gather(1, found.tasks[:, None]).mean()),
        "sizes": by_task,
        "drift_correlation": float(cosines[:, apart].mean()),
        "correlations": cosines.mean(0).tolist(),
        "curve": curve,
    }


def verdict(described: Mapping[str, Any], probe_lambda: float) -> str:
    """One sentence for the owner of a suite: can the nearest expert be the right one? Read from
    what was measured at the λ that is probed where there is such, else from the prediction; `GOOD`
    is a reading of ours."""
    least = described["moves_least"]["share"]
    shares = {
        row["lambda"]: row.get("measured", row["predicted"])["share"] for row in described["curve"]
    }
    at, good = shares.get(probe_lambda, least), [s for s, value in shares.items() if value >= GOOD]
    most = max(good, default=None)
    values = {"at": at, "good": at >= GOOD, "most": most, "scale": probe_lambda, "half": HALF}
    return " ".join(rendered("verdict.txt", described, **values))
