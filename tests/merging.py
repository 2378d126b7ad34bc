"""Task vectors of numbers, for tests of merging methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from semerge.methods import METHODS
from semerge.task_vectors import TaskVectors


def vectors_of(taus: Tensor, frozen: int = 0) -> TaskVectors:
    """Task vectors (T, d) over two stages, and `frozen` numbers that no expert changes."""
    half = taus.shape[1] // 2
    base = {"a": torch.zeros(half), "b": torch.ones(taus.shape[1] - half), "c": torch.ones(frozen)}
    experts = [{"a": tau[:half], "b": 1 + tau[half:]} for tau in taus]
    return TaskVectors(base, experts, [["a"], ["b", "c"]])


def of_tensors(
    *stages: Mapping[str, Tensor],
    base: Mapping[str, Tensor] | None = None,
    outputs_last: bool = False,
) -> TaskVectors:
    """Task vectors by tensor, (T, *shape) each, over a base, or one of zeros. Stages are the
    embedding, the blocks and the end."""
    every = {name: x for stage in stages for name, x in stage.items()}
    base = base or {name: torch.zeros(x.shape[1:]) for name, x in every.items()}
    count = len(next(iter(every.values())))
    experts = [{name: base[name] + x[t] for name, x in every.items()} for t in range(count)]
    return TaskVectors(base, experts, [list(stage) for stage in stages], outputs_last)


def effective(vectors: TaskVectors) -> Tensor:
    """(T, M) over all stages."""
    return torch.cat(list(vectors.deltas()), dim=1)


def merged(
    name: str, vectors: TaskVectors, scale: float = 1.0, **options: Any
) -> dict[str, Tensor]:
    """What the method adds to the base, by tensor, at another scale than its own."""
    made = METHODS[name].function(vectors, **options)
    if isinstance(made, TaskVectors):
        made = made.merge(torch.full((made.count,), scale))
    base = vectors.base()
    return {tensor: x - base[tensor] for tensor, x in made.items()}


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """(d,), tensors in the order of their names."""
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def random_taus(tasks: int, shape: Sequence[int], seed: int) -> Tensor:
    """(T, *shape), normally distributed."""
    return torch.randn(tasks, *shape, generator=torch.Generator().manual_seed(seed))
