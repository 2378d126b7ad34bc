"""What a method gets that needs data: samples of each task, and what runs models on them.

A model is its parameters by name, as everywhere: a run is a call of the backbone's pure functions,
so a method may differentiate by whatever the parameters are made of, and writes to nothing shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from semerge.registry import Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Backbone, Batch, Params
    from semerge.models import Models

Count = Annotated[int, Within(1, 10_000), "samples of each task that it looks at"]
"""A method's option `per_task`; where there are fewer, all of them."""
COUNT = 256  # as published for Fisher merging and RegMean
SIZE = 32  # samples that are run at once


@dataclass(frozen=True)
class TaskSamples:
    """N samples of one task, in an order of chance that is always the same.

    read: rows -> a batch, made ready when it is asked for, where the weights are. head: the task's,
    (C, D). labels: (N,) int64; None for a method that needs no labels.
    """

    count: int
    read: Callable[[Sequence[int]], Batch]
    head: Tensor
    labels: Tensor | None = None

    def first(self, most: int, size: int = SIZE) -> Iterator[Batch]:
        """The first `most` samples, or all where there are fewer, as batches of `size`."""
        return map(self.read, self.parts(most, size))

    def parts(self, most: int, size: int = SIZE) -> Iterator[range]:
        """The rows of these batches."""
        stop = min(most, self.count)
        for start in range(0, stop, size):
            yield range(start, min(start + size, stop))


@dataclass(frozen=True)
class Samples:
    """Samples of every task, in the order of the task vectors. sha256: of all of them, with their
    labels where the method needs these."""

    backbone: Backbone
    tasks: tuple[TaskSamples, ...]
    sha256: str

    def states(self, params: Params, batch: Batch) -> list[Tensor]:
        """What a model's embedding and its blocks 1 .. L give: (B, N, d) each."""
        found = [self.backbone.embed(params, batch)]
        for layer in range(1, self.backbone.depth + 1):
            found.append(self.backbone.block(params, layer, found[-1], batch))
        return found

    def answers(self, params: Params, t: int, batch: Batch, last: Tensor) -> Tensor:
        """Logits (B, C) by the head of task t, from what the last block gave."""
        return self.backbone.logits(self.backbone.final(params, last, batch), self.tasks[t].head)

    def logits(self, params: Params, t: int, batch: Batch) -> Tensor:
        """What a model answers with the head of task t: (B, C)."""
        return self.answers(params, t, batch, self.states(params, batch)[-1])

    def loss(self, params: Params, t: int, rows: Sequence[int]) -> Tensor:
        """The mean cross-entropy of a model on labelled samples of task t over that of guessing,
        log C: so that tasks are of one scale. A scalar."""
        from torch.nn.functional import cross_entropy

        task = self.tasks[t]
        assert task.labels is not None  # a method that asks says that it needs labels
        logits = self.logits(params, t, task.read(rows))
        return cross_entropy(logits, task.labels[list(rows)]) / math.log(len(task.head))

    def mean_loss(self, params: Params, t: int, most: int) -> float:
        """`loss` over the first `most` samples, without a gradient."""
        import torch

        parts = list(self.tasks[t].parts(most))
        with torch.no_grad():
            total = sum(len(rows) * float(self.loss(params, t, rows)) for rows in parts)
        return total / sum(map(len, parts))


Source = Callable[["Models", bool], Samples]
"""Where samples come from: (models that will run them, whether labels are needed) -> samples."""


def real_tokens(x: Tensor, batch: Batch) -> Tensor:
    """Activations (B, N, n) of a batch without padding: (tokens, n)."""
    return x.flatten(0, -2) if batch.lengths is None else x[batch.real()]


@contextmanager
def watching(weights: Mapping[str, Tensor], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside, `see` is told the name of each of these weights that a linear map of this thread is
    made with, and that map's input (.., n)."""
    import torch
    from torch.overrides import TorchFunctionMode

    names = {weight.data_ptr(): name for name, weight in weights.items()}

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # a transposed weight is the same memory
            if function is torch.nn.functional.linear and args[1].data_ptr() in names:
                see(names[args[1].data_ptr()], args[0])
            return function(*args, **(kwargs or {}))

    with Watch():
        yield
