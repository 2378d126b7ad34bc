"""Whether experts can come from the base that a suite names, seen in the weights themselves.

Fine-tuning moves weights by a few percent at most; the difference of two models that were trained
apart is larger than either.

Not seen here: two experts of the same base whose files are swapped. Each is a fine-tuning of it,
and a file that holds no head says nothing of its task. Only a hash tells them: `sha256` in
suite.json, which is compared at each load (the bundled suites have it), or that of a source, at the
download. The published suites come without: their files are held to the hash that the hub states
at the first download, and on the disk to their size alone. Where a file holds a head, as GPT-2's
classifiers do, another number of classes is told; the same number is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from semerge.errors import UserError
from semerge.task_vectors import TaskVectors

PIECE = 2**22  # numbers that are compared at once
FARTHEST = 0.5  # |τt| / |θ0|; independent models are above 1, fine-tuned ones below 0.1


def check_lineage(vectors: TaskVectors, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Check the task vectors of T experts, of tasks `names` and in files `paths`.

    Raises:
        UserError: an expert is the base itself, is the same as another, or comes from elsewhere.
    """
    size = sum(_square(s.weights[0]) + _square(s.rest) for s in vectors.segments)
    squares = [
        sum(_square(s.weights[1 + t], s.weights[0]) for s in vectors.segments)
        for t in range(vectors.count)
    ]
    lengths = [math.sqrt(square / size) for square in squares]
    for t, length in enumerate(lengths):
        if length == 0:
            raise UserError(f"{paths[t]}: the expert of {names[t]} is the base itself.")
        if length > FARTHEST:
            raise UserError(
                f"{paths[t]}: the expert of {names[t]} is {length:.2f} times the base's own size "
                "away from it: it was tuned from another base."
            )
        for other in range(t):
            if squares[t] == squares[other] and _same(vectors, t, other):
                raise UserError(
                    f"{paths[t]}: the expert of {names[t]} is the same as that of {names[other]}, "
                    f"{paths[other]}."
                )


def _square(one: Tensor, other: Tensor | None = None) -> float:
    """Squared length of a vector, or of a difference, without a copy of the whole of it."""
    pieces = one.split(PIECE) if other is None else _differences(one, other)
    return sum(float(torch.linalg.vector_norm(piece)) ** 2 for piece in pieces)


def _differences(one: Tensor, other: Tensor) -> Iterator[Tensor]:
    for a, b in zip(one.split(PIECE), other.split(PIECE), strict=True):
        yield a - b


def _same(vectors: TaskVectors, one: int, other: int) -> bool:
    return all(torch.equal(s.weights[1 + one], s.weights[1 + other]) for s in vectors.segments)
