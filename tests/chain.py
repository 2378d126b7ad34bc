"""A model of linear maps, one after the other, whose merges can be worked out by hand.

vectors, samples = chain([[w1, w2], [v1, v2]], [x, y])    # two experts of two maps over a base 0
METHODS["regmean"].function(vectors, samples)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from semerge.backbones import Batch, Params
from semerge.backbones.base import linear
from semerge.methods.samples import Samples, TaskSamples
from semerge.task_vectors import TaskVectors


class Chain:
    """Maps w1 .. wL of points (B, n), without residuals; what they give is what the head reads."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def embed(self, params: Params, batch: Batch) -> Tensor:
        return batch.data[:, None]  # (B, 1, n)

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        return linear(h, params[f"w{layer}"])

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        return h[:, 0]

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        return embedding @ head.mT


def chain(
    experts: Sequence[Sequence[Any]],
    inputs: Sequence[Any],
    labels: Sequence[Sequence[int]] | None = None,
    heads: Sequence[Any] | None = None,
) -> tuple[TaskVectors, Samples]:
    """experts: of each its maps (out, in). inputs: of each task its points (N, n). heads: (C, out)
    each, by default the identity."""
    maps = [[torch.as_tensor(w, dtype=torch.float32) for w in expert] for expert in experts]
    depth = len(maps[0])
    stages = [["e"], *([f"w{i}"] for i in range(1, depth + 1)), ["end"]]
    base = {"e": torch.zeros(1), "end": torch.zeros(1)}
    base |= {f"w{i}": torch.zeros_like(w) for i, w in enumerate(maps[0], 1)}
    own = [{f"w{i}": w for i, w in enumerate(expert, 1)} for expert in maps]
    tasks = []
    for t, x in enumerate(inputs):
        points = torch.as_tensor(x, dtype=torch.float32)
        head = torch.eye(len(maps[0][-1])) if heads is None else torch.as_tensor(heads[t])
        marks = None if labels is None else torch.tensor(labels[t])

        def read(rows: Sequence[int], points: Tensor = points) -> Batch:
            return Batch(points[list(rows)])

        tasks.append(TaskSamples(len(points), read, head.float(), marks))
    vectors = TaskVectors(base, own, stages)
    return vectors, Samples(cast(Any, Chain(depth)), tuple(tasks), "made")


def merged(vectors: TaskVectors, scale: float = 1.0) -> dict[str, Tensor]:
    """The static merge of what a method made."""
    return vectors.merge(torch.full((vectors.count,), scale))
