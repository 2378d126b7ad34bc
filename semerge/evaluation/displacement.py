"""Why a suite routes as it does: how far each expert moves an input from where the base has it.

Write Δt(x) = f(x; θt) − f(x; θ0) at the probe layer. To first order in λ the merged model lies at
f(x; θ0) + λ Σk Δk, so its distance to expert t is |λ Σk Δk − Δt|. For a small λ the nearest expert
is the one that moves x least: routing works where experts leave their own data alone and move
everything else. For a larger λ the sum pulls the merged model along what the drifts have in
common, away from the expert that did not drift. Both are seen from the products Δj · Δk.

Relies on `Engine.models`: `base`, `expert`, `place` and `representations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semerge.engine import Engine
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.intervals import share
from semerge.evaluation.measure import Cancelled, each_batch, tasks_of
from semerge.evaluation.represent import represent
from semerge.models import Point
from semerge.suites import Suite
from semerge.unfit import nearest

CURVE = (0.0, 0.02, 0.05, 0.1, 0.125, 0.2, 0.3, 0.4, 0.5)
"""λ at which the share of well routed samples is predicted."""
GOOD = 0.8
"""The share of well routed samples from which the hypothesis is said to hold."""


@dataclass(frozen=True)
class Displacements:
    """tasks (N,) int64, positions in the suite; gram (N, T, T) float64, the Δj(x) · Δk(x)."""

    tasks: Tensor
    gram: Tensor

    def sizes(self) -> Tensor:
        """|Δt(x)|, (N, T)."""
        return self.gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()

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
    cancelled: Cancelled | None = None,
) -> Displacements:
    """Run base and experts as far as `point`, a (layer, pool).

    Raises:
        Interrupted: `cancelled` said so.
    """
    models, count = engine.models, engine.models.vectors.count
    total = sum(len(s) for s in sets)
    gram = torch.empty(total, count, count, dtype=torch.float64)
    for _, at, batch in each_batch(engine, sets, cancelled):
        placed = models.place(batch)
        of_base = represent(engine, models.base, placed, point)
        moved = torch.stack(
            [
                represent(engine, partial(models.expert, t), placed, point) - of_base
                for t in range(count)
            ],
            dim=1,
        )  # (B, T, K)
        gram[at] = (moved @ moved.mT).cpu().double()
    return Displacements(tasks_of(engine, sets), gram)


def describe(
    suite: Suite, found: Displacements, point: Point, measured: Mapping[float, Tensor]
) -> dict[str, Any]:
    """The displacement view of a suite.

    measured: distances (N, T) of the probe `experts` at this point by λ, to set beside the
    prediction. Matrices are by tasks seen (rows, the samples') and experts (columns).
    """
    sizes, cosines = found.sizes(), found.cosines()
    seen = found.tasks.unique().tolist()
    count = len(suite.tasks)
    own = sizes.gather(1, found.tasks[:, None])[:, 0]  # (N,)
    others = (sizes.sum(1) - own) / (count - 1)
    apart = ~torch.eye(count, dtype=torch.bool)
    curve = []
    for scale in sorted({*CURVE, *measured}):
        row: dict[str, Any] = {"lambda": scale, "predicted": _routed(found, found.distances(scale))}
        if scale in measured:
            row["measured"] = _routed(found, measured[scale])
        curve.append(row)
    tasks = {}
    for t in seen:
        mine = found.tasks == t
        moved, rest = float(own[mine].mean()), float(others[mine].mean())
        tasks[suite.tasks[t].name] = {
            "own": moved,
            "others": rest,
            "ratio": moved / rest if rest > 0 else None,
            "moves_least": share(sizes[mine].argmin(1) == t),
        }
    return {
        "layer": point[0],
        "pool": point[1],
        "n": len(found.tasks),
        "tasks": tasks,
        "moves_least": _routed(found, sizes),
        "sizes": [sizes[found.tasks == t].mean(0).tolist() for t in seen],
        "drift_correlation": float(cosines[:, apart].mean()),
        "correlations": cosines.mean(0).tolist(),
        "curve": curve,
    }


def verdict(described: Mapping[str, Any], probe_lambda: float) -> str:
    """One sentence for the owner of a suite: can the nearest expert be the right one?

    Read from what was measured at the λ that is probed where there is such, else from the
    prediction; `GOOD` is a reading of ours.
    """
    rows = [row for row in described["curve"] if row["lambda"] == probe_lambda]
    row = rows[0] if rows else {"predicted": described["moves_least"]}
    at, least = row.get("measured", row["predicted"])["share"], described["moves_least"]["share"]
    good = [
        r["lambda"]
        for r in described["curve"]
        if r.get("measured", r["predicted"])["share"] >= GOOD
    ]
    if at >= GOOD:
        return (
            f"The own expert is the nearest for {at:.0%} of the samples at λ {probe_lambda:g}: it "
            f"moves its own data less than the others do, and their drifts do not pile up yet."
        )
    if good:
        below = f"at λ {max(good):g} or below, or " if max(good) > 0 else ""
        return (
            f"At λ {probe_lambda:g} the own expert is the nearest for {at:.0%} of the samples; the "
            f"drifts of the others pile up (mean cosine {described['drift_correlation']:.2f}). "
            f"Probe {below}with the probe base."
        )
    return (
        f"The own expert moves its data least for {least:.0%} of the samples only, so the nearest "
        "expert is mostly a wrong one at any λ: these experts were not kept close to the base on "
        "their own data. Use the probe cache, or fine-tune with a representation-preserving term."
    )


def _routed(found: Displacements, distances: Tensor) -> dict[str, Any]:
    return share(nearest(distances) == found.tasks)
