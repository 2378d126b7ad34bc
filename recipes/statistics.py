"""What the cache probe compares with: means of the probed model's representations, by task.

For each layer and pooling: `mean_t` over n training samples of task t, and a metric from the
spread within the tasks, pooled over them. With class token, mean, last token and final embedding it
is the covariance, shrunk as in Ledoit and Wolf (2004, "A well-conditioned estimator for
large-dimensional covariance matrices"); with pooling `all`, where there are more numbers than
samples, the variances alone, a tenth of each taken from their mean. Distances are Mahalanobis
distances under that metric.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from semerge.checkpoints.bundled import Statistics
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.models import Point
from semerge.settings import valid_layers, valid_pools

SAMPLES = 256
"""Training samples a task, n."""
SHRINKAGE = 0.1
"""Share of each variance that is replaced by the mean variance, with pooling `all`."""
ESTIMATOR = (
    "task means; pooled within-task covariance, Ledoit-Wolf shrinkage (pool all: variances, "
    f"{SHRINKAGE} of each replaced by their mean)"
)

CACHE = "cache"
CACHE_OWN = "cache_own"
"""The variant whose means are each expert's own representations of its task, not the merged
model's. For the report alone."""


def points(suite_engine: Engine) -> tuple[Point, ...]:
    """Every (layer, pool) at which the cache probe is on offer."""
    suite = suite_engine.suite
    return tuple(
        (layer, pool)
        for layer in valid_layers(suite)
        for pool in valid_pools(suite, "cache", layer)
    )


def build(
    engine: Engine,
    samples: Sequence[LabelledSet],
    probe_lambdas: Sequence[float],
    own: bool = False,
) -> dict[tuple[str, float], dict[Point, Statistics]]:
    """Statistics by (name, probe_lambda) and (layer, pool).

    samples: training samples of every task of the suite, in its order.
    own: also the variant CACHE_OWN, the same at every λ.

    Raises:
        ValueError: a task is missing.
    """
    if tuple(s.task for s in samples) != engine.suite.task_names:
        raise ValueError("statistics need samples of every task, in the suite's order")
    wanted = set(points(engine))
    spreads = {(CACHE, scale): _Spreads(len(samples)) for scale in probe_lambdas}
    if own:
        spreads[CACHE_OWN, 0.0] = _Spreads(len(samples))
    with torch.inference_mode():
        for t, task in enumerate(samples):
            for _, batch in batches(engine.backbone, task):
                placed = engine.models.place(batch)
                for (name, scale), spread in spreads.items():
                    stage = (
                        engine.models.probed(scale)
                        if name == CACHE
                        else partial(engine.models.expert, t)
                    )
                    for point, r in engine.models.representations(stage, placed, wanted):
                        spread.add(point, t, r)
        made = {key: spread.finish() for key, spread in spreads.items()}
    if own:
        alike = made.pop((CACHE_OWN, 0.0))
        made |= {(CACHE_OWN, scale): alike for scale in probe_lambdas}
    return made


class _Spreads:
    """Collects representations of T tasks, point by point."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.rows: dict[Point, list[list[Tensor]]] = {}  # wide ones as sums, see `add`

    def add(self, point: Point, task: int, r: Tensor) -> None:
        """r (B, K) of one task. Of pooling `all` only count, sum and sum of squares are kept."""
        kept = self.rows.setdefault(point, [[] for _ in range(self.tasks)])[task]
        if point[1] != "all":
            kept.append(r.clone())
            return
        r = r.double()
        sums = torch.stack([torch.full_like(r[0], len(r)), r.sum(0), r.square().sum(0)])
        kept[:] = [kept[0] + sums] if kept else [sums]

    def finish(self) -> dict[Point, Statistics]:
        """The statistics of every point that was added, on the CPU."""
        return {
            point: self._variances(tasks) if point[1] == "all" else self._covariance(tasks)
            for point, tasks in self.rows.items()
        }

    def _covariance(self, tasks: list[list[Tensor]]) -> Statistics:
        rows = [torch.cat(kept).cpu().double() for kept in tasks]  # (n, K) each
        means = torch.stack([r.mean(0) for r in rows])  # (T, K)
        centred = torch.cat([r - m for r, m in zip(rows, means, strict=True)])
        return Statistics(means.float(), whitening(centred).float())

    def _variances(self, tasks: list[list[Tensor]]) -> Statistics:
        n, total, squares = torch.stack([kept[0] for kept in tasks]).cpu().unbind(1)  # (T, K) each
        means = total / n
        variance = ((squares - n * means.square()).sum(0) / n.sum(0)).clamp(min=0)  # (K,)
        variance = (1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean()
        scale = variance.clamp(min=torch.finfo(torch.float32).tiny).rsqrt()
        # half precision on disk for the means, so they are rounded before they are ever used
        return Statistics(means.half().float(), scale.float())


def whitening(centred: Tensor) -> Tensor:
    """Centred rows (N, K) -> W (K, K) with W Wᵀ the inverse of the shrunk covariance."""
    n, k = centred.shape
    covariance = centred.mT @ centred / n
    size = covariance.diagonal().mean()
    if size <= 0:
        return torch.eye(k, dtype=centred.dtype)
    target = size * torch.eye(k, dtype=centred.dtype)
    distance = (covariance - target).square().sum()
    fourth = centred.square().sum(1).square().sum()
    noise = (fourth / n - covariance.square().sum()) / n
    share = float((noise / distance).clamp(0, 1)) if distance > 0 else 1.0
    values, vectors = torch.linalg.eigh((1 - share) * covariance + share * target)
    # with fewer samples than numbers and no noise, a direction may be left without any spread
    return vectors * values.clamp(min=1e-6 * size).rsqrt()


def tensors(statistics: Mapping[Point, Statistics]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) pairs as they are stored: `mean/{layer}/{pool}` and `whiten` or `scale`."""
    for (layer, pool), s in statistics.items():
        at = f"{layer}/{pool}"
        scales = s.by.dim() == 1
        yield f"mean/{at}", s.mean.half() if scales else s.mean
        yield f"{'scale' if scales else 'whiten'}/{at}", s.by


def record(samples: Sequence[LabelledSet], probe_lambda: float) -> dict[str, str]:
    """What the statistics were made from, for the file's metadata and the report."""
    digest = hashlib.sha256("".join(s.sha256() for s in samples).encode())
    return {
        "samples_per_task": str(max(len(s) for s in samples)),
        "estimator": ESTIMATOR,
        "probe_lambda": repr(probe_lambda),
        "split": "train",
        "samples_sha256": digest.hexdigest(),
    }


def save(path: Path, statistics: Mapping[Point, Statistics], about: Mapping[str, str]) -> None:
    """Write statistics.safetensors."""
    found = {name: tensor.contiguous() for name, tensor in tensors(statistics)}
    save_file(found, path, metadata={"format": "pt", **about})
