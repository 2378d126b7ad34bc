"""From a suite's description to a backbone and checked weights: what an engine starts from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from semerge.backbones import Backbone
from semerge.backbones.architecture import OWN_LAYOUT
from semerge.backbones.weights import build_backbone, open_suite_base, open_suite_expert, read_heads
from semerge.checkpoints.bundled import Point, Statistics, check_files, read_statistics
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.files import locate
from semerge.common import UserError, naming
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.abstention import Abstention, Usual, read_abstention, read_usual
from semerge.suites.memory import check_memory, give_back
from semerge.suites.report import read_accuracies
from semerge.task_vectors import TaskVectors


@dataclass(frozen=True)
class Loaded:
    """A suite with its weights in memory."""

    suite: Suite
    backbone: Backbone
    vectors: TaskVectors
    heads: Mapping[str, Tensor]  # by task: (C, D)
    statistics: Mapping[Point, Statistics]  # by (layer, pool); empty without a cache probe
    abstention: Abstention | None = None  # the notice "no expert fits", where it was calibrated
    # of each expert on its own test samples, where the suite's report tells them
    accuracies: Mapping[str, float] = field(default_factory=dict)
    usual: Usual | None = None  # what is usual for its own samples, where it was measured


def load(suite: Suite) -> Loaded:
    """Read all weights of a suite. Raises UserError if anything is missing or damaged."""
    with naming(f"{suite.path('suite.json')}: defaults"):
        Settings().resolve(suite)
    suite = locate(suite)
    check_files(suite)
    backbone = build_backbone(suite)
    check_memory(suite)
    # heads first: a text tower is let go before the experts come
    heads = read_heads(suite, backbone)
    give_back()
    base = open_suite_base(suite, backbone)
    experts = _Experts(suite, backbone, base)
    vectors = TaskVectors(base, experts, backbone.segments, backbone.outputs_last)
    if any(task.layout != OWN_LAYOUT for task in suite.tasks):
        check_lineage(vectors, suite.task_names, [suite.path(t.weights) for t in suite.tasks])
    file = suite.statistics
    statistics = read_statistics(suite, suite.path(file)) if file else {}
    told = read_abstention(suite), read_accuracies(suite), read_usual(suite)
    return Loaded(suite, backbone, vectors, heads, statistics, *told)


class _Experts(Sequence[Mapping[str, Tensor]]):
    """The experts of a suite, opened when they are asked for, so that one at a time is held."""

    def __init__(self, suite: Suite, backbone: Backbone, base: Checkpoint) -> None:
        self._suite, self._backbone, self._base = suite, backbone, base

    def __len__(self) -> int:
        return len(self._suite.tasks)

    @overload
    def __getitem__(self, t: int) -> Mapping[str, Tensor]: ...
    @overload
    def __getitem__(self, t: slice) -> Sequence[Mapping[str, Tensor]]: ...
    def __getitem__(self, t: int | slice) -> Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]:
        if isinstance(t, slice):
            return [self[i] for i in range(len(self))[t]]
        return open_suite_expert(self._suite, t, self._backbone, self._base)


# ---- whether experts can come from the base that a suite names -----------------------------------
# Fine-tuning moves weights by a few percent at most; the difference of two models that were
# trained apart is larger than either.
#
# Not seen here: two experts of the same base whose files are swapped. Each is a fine-tuning of it,
# and a file that holds no head says nothing of its task. Only a hash tells them: `sha256` in
# suite.json, which is compared at each load (the bundled suites have it), or that of a source, at
# the download. The published suites come without: their files are held to the hash that the hub
# states at the first download, and on the disk to their size alone. Where a file holds a head, as
# GPT-2's classifiers do, another number of classes is told; the same number is not.

PIECE = 2**22  # numbers that are compared at once
FARTHEST = 0.5  # |τt| / |θ0|; independent models are above 1, fine-tuned ones below 0.1


def check_lineage(vectors: TaskVectors, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Check the task vectors of T experts, of tasks `names` and in files `paths`. Raises UserError
    where an expert is the base itself, is the same as another, or comes from elsewhere."""
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
            if squares[t] == squares[other] and all(
                torch.equal(s.weights[1 + t], s.weights[1 + other]) for s in vectors.segments
            ):
                raise UserError(
                    f"{paths[t]}: the expert of {names[t]} is the same as that of {names[other]}, "
                    f"{paths[other]}."
                )


def _square(one: Tensor, other: Tensor | None = None) -> float:
    """Squared length of a vector, or of a difference, without a copy of the whole of it."""
    pieces: Iterable[Tensor] = one.split(PIECE)
    if other is not None:
        pieces = (a - b for a, b in zip(pieces, other.split(PIECE), strict=True))
    return sum(float(torch.linalg.vector_norm(piece)) ** 2 for piece in pieces)
