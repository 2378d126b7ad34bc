"""What methods share that learn coefficients by gradient descent: merges that can be
differentiated, the loss by task, and Adam.

Coefficients belong to tensors: one row of T for each tensor that some expert changes, or one row
for all. Nothing that is shared is written: a step makes a model's parameters anew, runs it, and
goes back from the gradient of the parameters to that of the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from semerge.common import tell
from semerge.registry import Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Updates = Annotated[int, Within(1, 10_000), "steps of the descent"]
Rate = Annotated[float, Within(1e-6, 1.0), "learning rate of Adam"]

Rows = Sequence[int]
Loss = Callable[[int, "Params", Rows], "Tensor"]
"""(task, a model, rows of the task's samples) -> a scalar."""

SIZE = 16  # samples of each task in a step
BETAS, NOUGHT = (0.9, 0.999), 1e-8  # Adam's


def tensors(vectors: TaskVectors) -> list[str]:
    """The names of the tensors that some expert changes: what rows of coefficients stand for."""
    return [name for segment in vectors.segments for name in segment.own]


def combined(vectors: TaskVectors, coefficients: Tensor) -> dict[str, Tensor]:
    """θ0 + Σt λt τt by name, with coefficients (P, T) for the P `tensors`, or (1, T) for all alike;
    can be differentiated by them."""
    rows = iter(vectors.rows(coefficients.expand(len(tensors(vectors)), -1)))
    params = {}
    for segment in vectors.segments:
        for name, x in segment.unflatten(segment.weights).items():
            own = name in segment.own
            params[name] = (next(rows) @ x.flatten(1)).view(x.shape[1:]) if own else x[0]
    return params


def scaled(vectors: TaskVectors, coefficients: Tensor) -> TaskVectors:
    """The terms λt τt of `combined`."""
    rows = iter(coefficients.expand(len(tensors(vectors)), -1))

    def change(deltas: Tensor) -> Tensor:
        return deltas * next(rows).to(deltas).view(-1, *[1] * (deltas.dim() - 1))

    return vectors.mapped_by_tensor(change)


def descend(
    samples: Samples,
    merge: Callable[..., Params],
    start: Sequence[Tensor],
    loss: Loss,
    *,
    updates: int,
    rate: float,
    per_task: int,
    draw: int,
    penalty: Callable[..., Tensor] | None = None,
) -> list[Tensor]:
    """Lower Σt loss + penalty by Adam, with some samples of every task in each step.

    merge: numbers like `start` -> a model. penalty: the same -> a scalar. draw: seeds the choice of
    samples; a task's draws depend on it and the task's number alone. Says how far it is.
    """
    import torch

    numbers = [x.clone() for x in start]
    firsts, seconds = [torch.zeros_like(x) for x in start], [torch.zeros_like(x) for x in start]
    choices = [
        drawn(min(per_task, task.count), draw * 2**16 + t) for t, task in enumerate(samples.tasks)
    ]
    for step in range(1, updates + 1):
        tell(step - 1, updates, "steps of the descent")
        rows = [next(choice) for choice in choices]
        slopes = gradient(merge, numbers, loss, [*enumerate(rows)], penalty)
        for x, slope, first, second in zip(numbers, slopes, firsts, seconds, strict=True):
            first.lerp_(slope, 1 - BETAS[0])
            second.lerp_(slope.square(), 1 - BETAS[1])
            size = (second / (1 - BETAS[1] ** step)).sqrt() + NOUGHT
            x.sub_(rate * first / (1 - BETAS[0] ** step) / size)
    tell(updates, updates, "steps of the descent")
    return numbers


def gradient(
    merge: Callable[..., Params],
    numbers: Sequence[Tensor],
    loss: Loss,
    parts: Sequence[tuple[int, Rows]],
    penalty: Callable[..., Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """That of the losses of all parts (task, rows) and the penalty by the numbers. One part's
    activations are held at a time."""
    import torch

    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in numbers]
        params = merge(*leaves)
        own = {name: x.detach().requires_grad_() for name, x in params.items() if x.requires_grad}
        slopes = {name: torch.zeros_like(x) for name, x in own.items()}
        for t, of in parts:
            value = loss(t, {**params, **own}, of)
            found = torch.autograd.grad(value, [*own.values()], allow_unused=True)
            for name, slope in zip(own, found, strict=True):
                if slope is not None:
                    slopes[name] += slope
        ends, outer = [params[name] for name in own], [*slopes.values()]
        if penalty is not None:
            ends.append(penalty(*leaves))
            outer.append(torch.ones_like(ends[-1]))
        return torch.autograd.grad(ends, leaves, outer)


def drawn(count: int, seed: int, size: int = SIZE) -> Iterator[list[int]]:
    """Without end: `size` of `count` rows, or all where there are fewer; each once before any comes
    again."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    left: list[int] = []
    while True:
        if len(left) < min(size, count):
            left = torch.randperm(count, generator=generator).tolist()
        yield left[:size]
        left = left[size:]
