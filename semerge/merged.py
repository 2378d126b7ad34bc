"""Models that are merged while they run, one stage at a time, in memory that is used again.

A merge of a whole model writes as much as one model weighs and reads it back at once. Here a stage
is merged right before it runs, into room that its thread keeps: a request then needs room for one
stage, and no page of it is new.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from semerge.backbones import Backbone, Batch, Params
from semerge.clock import Clock
from semerge.task_vectors import TaskVectors

Stage = Callable[[int], Params]  # segment (0 embedding, 1..L blocks, L + 1 final) -> parameters


class Scratch:
    """Flat room for one stage, each thread its own. It grows to what was asked for at most."""

    def __init__(self) -> None:
        self._own = threading.local()

    def room(self, numbers: int, like: Tensor) -> Tensor:
        """At least `numbers` numbers, with whatever was left in them, as `like` has them."""
        room: Tensor | None = getattr(self._own, "room", None)
        if room is None or room.numel() < numbers:
            self._own.room = None  # let the smaller one go first
            with torch.inference_mode(False):  # so that it can be written to in either mode
                room = torch.empty(numbers, device=like.device, dtype=like.dtype)
            self._own.room = room
        return room


class Merged:
    """θ0 + Σt λt τt for coefficients (T,), or one model a group for (G, T).

    A call answers with one stage's parameters. They are good until the next call on this thread:
    merge, run, and only then merge again.

    clock: told what is spent on merging, as "merge"; what came before it is "predict".
    """

    def __init__(
        self,
        vectors: TaskVectors,
        coefficients: Tensor,
        scratch: Scratch,
        clock: Clock | None = None,
    ) -> None:
        self._vectors, self._scratch, self._clock = vectors, scratch, clock
        self._rows = vectors.rows(coefficients)  # (1 + T,) or (G, 1 + T)

    def __call__(self, stage: int) -> Params:
        if self._clock:
            self._clock.lap("predict")
        weights = self._vectors.segments[stage].weights
        numbers = weights.shape[1] * self._rows.shape[:-1].numel()
        room = self._scratch.room(numbers, like=weights)
        params = self._vectors.combine(self._rows, stage, room)
        if self._clock:
            self._clock.lap("merge")
        return params

    def embed(self, backbone: Backbone, batch: Batch) -> Tensor:
        """Input of the first block, (B, N, d). Of G groups, group g embeds sample g: B = G.

        Where the embedding is linear in its parameters its outputs are merged, not its tables.
        """
        first = self._vectors.segments[0]
        grouped = self._rows.dim() == 2
        if backbone.linear_embed and first.changing:
            h = backbone.embed(first.unflatten(first.weights), batch)  # (1 + T, B, N, d)
            return torch.einsum("bt,tbnd->bnd" if grouped else "t,tbnd->bnd", self._rows, h)
        params = self(0)
        if not grouped:
            return backbone.embed(params, batch)
        return torch.cat(
            [
                backbone.embed({name: x[g] for name, x in params.items()}, batch[g : g + 1])
                for g in range(len(batch))
            ]
        )
