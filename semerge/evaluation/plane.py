"""The map of a suite: representations of the probed merged model, on their two principal axes.

The plane is fixed once, by the test samples of a suite's report (`hypothesis.task_map`), so that
any other input has its place on the same map. Where a report has no axes, some samples make a plane
of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from semerge.evaluation.measure import each_batch, represent
from semerge.models import Point
from semerge.settings import Settings

if TYPE_CHECKING:
    from semerge.backbones import Batch
    from semerge.engine import Engine
    from semerge.evaluation.inspection import Inspection

AXES = 2


@dataclass(frozen=True)
class Plane:
    """mean (K,) and axes (2, K), orthonormal rows, float64; explained: the axes' shares of the
    variance of the rows that it was made of."""

    mean: Tensor
    axes: Tensor
    explained: tuple[float, float]

    @classmethod
    def of(cls, rows: Tensor) -> Plane:
        """The principal plane of rows (N, K). Each axis points to where its largest loading is
        positive, so that a map is always the same; an axis that the rows do not have is zero."""
        rows = rows.double()
        mean = rows.mean(0)
        _, values, found = torch.linalg.svd(rows - mean, full_matrices=False)
        found = found[:AXES]
        signs = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()  # (2, 1)
        axes = torch.zeros(AXES, rows.shape[1], dtype=torch.float64)
        axes[: len(found)] = found * signs
        variances = [*values.square().tolist(), 0.0]
        total = float(values.square().sum())
        first, second = (value / total if total > 0 else 0.0 for value in variances[:AXES])
        return cls(mean, axes, (first, second))

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Plane | None:
        """That of a report's map; None where the report is of before maps had axes. Raises
        ValueError, LookupError or TypeError where they are no axes."""
        if "axes" not in found:
            return None
        mean = torch.tensor(found["mean"], dtype=torch.float64)
        axes = torch.tensor(found["axes"], dtype=torch.float64)
        first, second = map(float, found["explained"])
        if mean.dim() != 1 or axes.shape != (AXES, len(mean)) or not axes.isfinite().all():
            raise ValueError("a map has two axes as long as its mean")
        return cls(mean, axes, (first, second))

    def stored(self) -> dict[str, list[Any]]:
        """As a report keeps it."""
        return {"mean": self.mean.tolist(), "axes": self.axes.tolist()}

    def places(self, rows: Tensor) -> Tensor:
        """Rows (B, K) on the map, (B, 2)."""
        return (rows.double() - self.mean) @ self.axes.mT

    def share(self, row: Tensor) -> float:
        """How much of a row's squared distance from the mean lies in the plane."""
        whole = float((row.double() - self.mean).square().sum())
        seen = float(self.places(row[None]).square().sum())
        return min(1.0, seen / whole) if whole > 0 else 1.0


@dataclass(frozen=True)
class Looks:
    """What a map looks at: the merged model that the suite probes, at a (layer, pool). With pooling
    `all` the mean over the tokens, as sentences differ in length."""

    engine: Engine
    point: Point
    probe_lambda: float

    @classmethod
    def usual(cls, engine: Engine) -> Looks:
        """At the suite's defaults."""
        resolved = Settings().resolve(engine.suite)
        return cls(engine, shown((resolved.layer, resolved.pool)), resolved.probe_lambda)

    @torch.inference_mode()
    def at(self, batch: Batch) -> Tensor:
        """Representations (B, K) of a batch where the weights are, on the CPU."""
        stage = self.engine.models.probed(self.probe_lambda)
        return represent(self.engine, stage, batch, self.point).cpu()


def shown(point: Point) -> Point:
    """The (layer, pool) that stands for one that is probed."""
    return point[0], "mean" if point[1] == "all" else point[1]


@torch.inference_mode()
def spread(
    looks: Looks, plane: Plane, inspection: Inspection, most: int
) -> list[tuple[int, float, float]]:
    """(number, x, y) of an inspection's rows, evenly cut to `most` where there are more."""
    count = len(inspection.rows)
    numbers = range(0, count, max(1, -(-count // most)))
    by_set: dict[int, list[int]] = {}
    for number in numbers:
        by_set.setdefault(inspection.places[number][0], []).append(number)
    found = []
    for which, own in by_set.items():
        rows = torch.tensor([inspection.places[number][1] for number in own])
        sets = [inspection.sets.sets[which].take(rows.numpy())]
        for _, at, batch in each_batch(looks.engine, sets):
            places = plane.places(looks.at(batch)).tolist()
            found += [(own[i], x, y) for i, (x, y) in zip(at.tolist(), places, strict=True)]
    return sorted(found)
