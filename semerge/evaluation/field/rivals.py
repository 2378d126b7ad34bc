"""Rows of a table that no request can ask for: what knows everything, nothing, or merges nothing.

They are measured beside a method's own rows, on the same samples. `oracle` is told each sample's
task, so it shows the most that a perfect routing could make of a method; `random` knows nothing of
the sample, so it shows what the second pass makes of coefficients that mean nothing. They are no
probes: a probe sees what models make of a sample, and neither looks at that.

`ensemble` asks all experts and merges none: its answer under a head is the class with the largest
mean of the experts' probabilities under that head. Every head reads every expert's embedding, so
under one head all experts speak of the same classes. Which head answers, no mean of outputs can
say, as heads differ in their classes: that is left to the routing that a request would have.

All others are the dynamic methods of `semerge.evaluation.dynamic`, one a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from semerge.data.labelled import LabelledSet
from semerge.evaluation.dynamic import DYNAMICS, Dynamic, Made
from semerge.registry import Key
from semerge.settings import Resolved

RANDOM, ORACLE, ENSEMBLE = "random", "oracle", "ensemble"
NOTES = {
    RANDOM: "placebo: distances by chance",
    ORACLE: "ceiling: told the task",
    ENSEMBLE: "mean of all experts' outputs; nothing is merged",
}
"""What a reader must know of each."""


@dataclass(frozen=True)
class Rival:
    """One such row. resolved: the method and the preset that it has; the ensemble's routing too.
    made: of a dynamic method what runs, once it is made."""

    name: str
    resolved: Resolved
    made: Made | None = field(default=None, compare=False, repr=False)

    @property
    def method(self) -> str:
        """The spec of what is merged, in whose group of rows it stands."""
        return self.resolved.method

    @property
    def entry(self) -> Dynamic | None:
        """Of a dynamic method."""
        return DYNAMICS[self.name] if self.name in DYNAMICS else None  # noqa: SIM401, no mapping

    @property
    def alone(self) -> bool:
        """Whether it answers without any static merge or second pass."""
        return self.name == ENSEMBLE or (self.entry is not None and self.entry.model)

    @property
    def told(self) -> bool:
        """Whether it knows each sample's task."""
        return self.name == ORACLE or (self.entry is not None and self.entry.told)

    @property
    def title(self) -> str:
        """What it is called where it stands alone."""
        return "output ensemble" if self.entry is None else self.entry.title

    @property
    def note(self) -> str:
        """What a reader must know of it."""
        return NOTES[self.name] if self.entry is None else self.entry.note

    @property
    def keys(self) -> tuple[Key, ...]:
        """Where distances must be measured for it."""
        routed = self.entry is None or self.entry.head == "routed"
        return (self.resolved.probing,) if self.alone and routed else ()

    @property
    def running(self) -> Made:
        """What runs. Raises ValueError where it is not made, or is no dynamic method."""
        if self.made is None:
            raise ValueError(f"{self.name} is not made")
        return self.made

    def distances(self, sets: Sequence[LabelledSet], tasks: Tensor, count: int) -> Tensor:
        """Of N samples to `count` experts, (N, count) float32, without any model. tasks (N,): the
        position of each sample's own. Raises ValueError for one whose are measured."""
        if self.name == ORACLE:
            return 1.0 - torch.nn.functional.one_hot(tasks, count).float()
        if self.name == RANDOM:
            return torch.stack([by_chance(one, count) for own in sets for one in contents(own)])
        raise ValueError(f"{self.name} has no distances of its own")


def by_chance(content: bytes, count: int) -> Tensor:
    """Distances (count,) in (0, 1] that follow from the hash of an input alone: the same in every
    run, whatever stands beside it in its batch."""
    seed = int.from_bytes(hashlib.sha256(content).digest(), "big")
    return torch.from_numpy(1.0 - np.random.default_rng(seed).random(count)).float()


def contents(samples: LabelledSet) -> Iterator[bytes]:
    """Each sample as bytes: other pixels or sentences, other bytes."""
    for i in range(len(samples)):
        if samples.visual:
            pixels = samples.pixels(i)
            yield f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()
        else:
            yield json.dumps([samples.texts[i], samples.texts_b[i]]).encode()


Way = Resolved | Rival
"""What a column of a table is measured by."""


def settings_of(way: Way) -> Resolved:
    """What a way chose; of a rival, the settings beside its own distances."""
    return way.resolved if isinstance(way, Rival) else way


def keys_of(way: Way) -> tuple[Key, ...]:
    """Where a way's distances are measured; nowhere where they come from no model."""
    return way.keys if isinstance(way, Rival) else (way.probing,)
