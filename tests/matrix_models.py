"""A model of one matrix with a vector beside it in a block, for methods that see weights as
matrices.

    vectors = task_vectors(taus)              # (T, out, in)
    merge("tsv_m", taus, others="sum")        # (out, in): what the static merge changes
"""

from __future__ import annotations

from typing import Any

import torch
from merging import merged
from torch import Tensor

from semerge.methods import METHODS
from semerge.task_vectors import TaskVectors

BIAS = 0.5  # what expert t changes in the block's bias, times t + 1; in the embedding twice that


def task_vectors(taus: Tensor, outputs_last: bool = False, bias: float = BIAS) -> TaskVectors:
    """Experts whose one matrix changes by (T, out, in). The embedding is 2-D too, and no matrix."""
    taus = taus.float()
    stored = taus.mT if outputs_last else taus
    base = {"wte": torch.ones(2, 2), "w": torch.zeros_like(stored[0]), "b": torch.ones(2)}
    experts = [
        {
            "wte": torch.full((2, 2), 1 + 2 * bias * (t + 1)),
            "w": w,
            "b": torch.full((2,), 1 + bias * (t + 1)),
        }
        for t, w in enumerate(stored)
    ]
    stages = [["wte"], ["w", "b"], ["end"]]
    return TaskVectors(base | {"end": torch.ones(1)}, experts, stages, outputs_last)


def made(name: str, vectors: TaskVectors, **options: Any) -> TaskVectors | dict[str, Tensor]:
    """What a method makes, with its own defaults where no option says otherwise."""
    entry = METHODS[name]
    chosen = METHODS.chosen(METHODS.spec(name, options))
    with torch.no_grad():
        result: TaskVectors | dict[str, Tensor] = entry.function(vectors, **chosen)
    return result


def merge(name: str, taus: Tensor, outputs_last: bool = False, **options: Any) -> Tensor:
    """What the static merge changes in the matrix, where no expert changes anything else:
    (T, out, in) -> (out, in)."""
    w = merged(name, task_vectors(taus, outputs_last, bias=0.0), **options)["w"].double()
    return w.mT if outputs_last else w


def terms(name: str, taus: Tensor, **options: Any) -> Tensor:
    """The effective task vectors of the matrix, (T, out, in) to the same."""
    result = made(name, task_vectors(taus, bias=0.0), **options)
    assert isinstance(result, TaskVectors)
    return torch.stack([result.expert(t)["w"] for t in range(len(taus))]).double()


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def agree(found: Tensor, expected: Tensor, to: float = 1e-5) -> None:
    """Hold two tensors equal, to a share of the largest entry."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=to * float(expected.abs().max().clamp(min=1))
    )
