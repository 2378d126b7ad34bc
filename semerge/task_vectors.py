"""θ0, the experts θt = θ0 + τt, and the merges θ0 + Σt λt τt.

"Editing Models with Task Arithmetic", Ilharco et al., arXiv 2212.04089.

Weights are kept as one flat matrix a segment (a stage of the forward pass) with the base and the
experts as rows. As τt = θt − θ0, a merge is (1 − Σt λt) θ0 + Σt λt θt: one product of the
coefficients with that matrix, done stage by stage, while an expert's own weights are views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

PART = 1_000_000  # numbers of each expert that are looked at in one go where all are compared
BLOCK = 32_768  # numbers of each expert that a thread merges in one go


@dataclass(frozen=True)
class Segment:
    """The parameters of one stage, those that some expert changes first.

    names and shapes: all of them. weights: (1 + T, M), the base's M changing numbers and each
    expert's. rest: (R,), the numbers that are the base's in every model; M + R is the stage's size.
    outputs_last: of a block, whether its 2-D weights are (in, out), or else (out, in); None of a
    stage that is no block: then none of its weights is a matrix to a method.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    weights: Tensor
    rest: Tensor
    outputs_last: bool | None = None

    @cached_property
    def changing(self) -> int:
        """M, the count of numbers in which any expert differs from the base."""
        return self.weights.shape[1]

    @property
    def numel(self) -> int:
        """M + R, the count of numbers in one model."""
        return self.changing + self.rest.numel()

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The names of the tensors that some expert changes."""
        stops = accumulate(map(prod, self.shapes))
        pairs = zip(self.names, stops, strict=True)
        return tuple(name for name, stop in pairs if stop <= self.changing)

    @cached_property
    def matrices(self) -> tuple[str, ...]:
        """Names of the 2-D weights of a block, attention and MLP, that some expert changes."""
        if self.outputs_last is None:
            return ()
        own = zip(self.own, self.shapes, strict=False)
        return tuple(name for name, shape in own if len(shape) == 2)

    def unflatten(self, changed: Tensor) -> dict[str, Tensor]:
        """(M,) or (G, M) -> views by name, (\\*shape) or (G, \\*shape); the base's for the rest."""
        lead = changed.shape[:-1]
        flat, start = changed, 0
        params = {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            if flat is changed and start == self.changing:
                flat, start = self.rest.expand(*lead, -1), 0
            stop = start + prod(shape)
            params[name] = flat[..., start:stop].view(*lead, *shape)
            start = stop
        return params


class TaskVectors:
    """The base and T task vectors. Nothing here is written after construction."""

    def __init__(
        self,
        base: Mapping[str, Tensor],
        experts: Sequence[Mapping[str, Tensor]],
        segments: Sequence[Sequence[str]],
        outputs_last: bool = False,
    ) -> None:
        """Read the base, then one expert after the other, each tensor once.

        base: every parameter. experts: those that may differ from the base's; what an expert does
        not hold is shared. The mappings may read their tensors from files: no more than one tensor
        is held at a time, and one stage of the base. segments: names by stage; all stages but the
        first and the last are blocks. outputs_last: whether their 2-D weights are (in, out).
        """
        self.count = len(experts)
        held = {name for expert in experts for name in expert}
        layouts = [None, *[outputs_last] * (len(segments) - 2), None]
        rooms = [
            replace(_room(base, len(experts), names, held), outputs_last=layout)
            for names, layout in zip(segments, layouts, strict=False)
        ]
        for t, expert in enumerate(experts):
            for room in rooms:
                own = room.unflatten(room.weights[1 + t])
                for name, shared in room.unflatten(room.weights[0]).items():
                    if name in held:
                        own[name].copy_(expert.get(name, shared))
        self.segments = tuple(_trimmed(room) for room in rooms)

    @classmethod
    def of(cls, segments: Sequence[Segment], count: int) -> TaskVectors:
        """From segments with `count` experts, which are taken as they are: nothing is copied."""
        made = cls.__new__(cls)
        made.count, made.segments = count, tuple(segments)
        return made

    def to(self, device: torch.device | str) -> TaskVectors:
        """The same on a device; no copy where they are there."""
        moved = [
            replace(s, weights=s.weights.to(device), rest=s.rest.to(device)) for s in self.segments
        ]
        return TaskVectors.of(moved, self.count)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.segments[0].weights.device

    @property
    def numel(self) -> int:
        """d, the count of numbers in one model."""
        return sum(segment.numel for segment in self.segments)

    def deltas(self, t: int | None = None) -> Iterator[Tensor]:
        """Stage by stage, the numbers in which any expert differs from the base: τ1 .. τT as
        (T, M), or τt alone as (M,). Computed anew; all other entries of a task vector are 0."""
        for segment in self.segments:
            rows = segment.weights[1:] if t is None else segment.weights[1 + t]
            yield rows - segment.weights[0]

    def mapped(self, change: Callable[[Tensor], Tensor]) -> TaskVectors:
        """Other task vectors on the same base: `change` makes new (T, M) of each stage's, which it
        may also write to."""
        made = []
        for segment in self.segments:
            first, weights = segment.weights[0], torch.empty_like(segment.weights)
            weights[0] = first
            deltas = torch.sub(segment.weights[1:], first, out=weights[1:])
            torch.add(first, change(deltas), out=deltas)
            made.append(replace(segment, weights=weights))
        return TaskVectors.of(made, self.count)

    def with_experts(self, rows: Sequence[Tensor]) -> TaskVectors:
        """Other experts on the same base: of each stage their changing numbers, (T, M), copied."""
        made = []
        for segment, own in zip(self.segments, rows, strict=True):
            weights = torch.empty_like(segment.weights)
            weights[0], weights[1:] = segment.weights[0], own.to(weights)
            made.append(replace(segment, weights=weights))
        return TaskVectors.of(made, self.count)

    def mapped_by_tensor(self, change: Callable[[Tensor], Tensor]) -> TaskVectors:
        """`mapped`, tensor by tensor, for methods that look at one at a time: `change` makes new
        (T, \\*shape) of each that some expert changes."""
        segments = iter(self.segments)

        def changed(deltas: Tensor) -> Tensor:
            segment = next(segments)
            views = segment.unflatten(deltas)
            for name in segment.own:
                views[name].copy_(change(views[name]))
            return deltas

        return self.mapped(changed)

    def rows(self, coefficients: Tensor) -> Tensor:
        """Coefficients (.., T) of the τt -> those of the rows θ0, θ1 .. θT: (.., 1 + T). Raises
        ValueError for another number of coefficients than T."""
        if coefficients.shape[-1] != self.count:
            raise ValueError(f"{coefficients.shape[-1]} coefficients for {self.count} task vectors")
        weights = self.segments[0].weights
        c = coefficients.to(weights.dtype).double()  # so that θ0's follows from what is multiplied
        first = 1.0 - c.sum(dim=-1, keepdim=True)
        return torch.cat([first, c], dim=-1).to(weights.device, weights.dtype)

    def merge(
        self, coefficients: Tensor, segment: int | None = None, out: Tensor | None = None
    ) -> dict[str, Tensor]:
        """θ0 + Σt λt τt, by name.

        coefficients: (T,), or (G, T) for G sets of weights with a leading axis G.
        segment: one stage alone (0 embedding, 1..L blocks, L + 1 final), or None for all.
        out: flat room for one stage, G · M numbers or more, that the answer lies in; new if None.
        """
        if segment is None:
            parts = [self.merge(coefficients, s) for s in range(len(self.segments))]
            return {name: tensor for part in parts for name, tensor in part.items()}
        return self.combine(self.rows(coefficients), segment, out)

    def combine(self, rows: Tensor, segment: int, out: Tensor | None = None) -> dict[str, Tensor]:
        """`merge` of one stage, by coefficients (1 + T,) or (G, 1 + T) from `rows`."""
        s, lead = self.segments[segment], rows.shape[:-1]
        if not s.changing:
            return s.unflatten(s.rest.new_empty(*lead, 0))
        c = rows.reshape(-1, self.count + 1)  # (G or 1, 1 + T)
        if out is not None:
            out = out[: len(c) * s.changing].view(len(c), s.changing)
        product = _one_row(c, s.weights, out) if len(c) == 1 else torch.mm(c, s.weights, out=out)
        return s.unflatten(product.view(*lead, s.changing))

    def gram(self) -> Tensor:
        """The inner products τi · τj over all numbers, (T, T) float64: ‖Σt λt τt‖² = λᵀ G λ."""
        found = torch.zeros(self.count, self.count, dtype=torch.float64)
        for segment in self.segments:
            for part in segment.weights.split(PART, dim=1):
                deltas = (part[1:] - part[:1]).double()
                found += (deltas @ deltas.mT).cpu()
        return found

    def base(self, segment: int | None = None) -> dict[str, Tensor]:
        """θ0, as views: of one stage, or of all."""
        return self._row(0, segment)

    def expert(self, t: int, segment: int | None = None) -> dict[str, Tensor]:
        """θt = θ0 + τt, as views: of one stage, or of all."""
        if not 0 <= t < self.count:
            raise IndexError(f"expert {t} of {self.count}")
        return self._row(1 + t, segment)

    def _row(self, row: int, segment: int | None) -> dict[str, Tensor]:
        chosen = self.segments if segment is None else self.segments[segment : segment + 1]
        return {name: x for s in chosen for name, x in s.unflatten(s.weights[row]).items()}

    def tensors(self) -> list[Tensor]:
        """Everything held, in a fixed order: to hash, to count, to move."""
        return [x for s in self.segments for x in (s.weights, s.rest)]


def _one_row(c: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    """c (1, R) @ weights (R, M) -> (1, M), as products of blocks of columns. BLAS leaves a product
    with a single row to one thread; a batch of them goes to all."""
    rows, numbers = weights.shape
    blocks = numbers // BLOCK
    differentiated = torch.is_grad_enabled() and (c.requires_grad or weights.requires_grad)
    if blocks < 2 or weights.device.type != "cpu" or differentiated:
        return torch.mm(c, weights, out=out)
    whole = blocks * BLOCK
    if out is None:
        out = weights.new_empty(1, numbers)
    columns = weights[:, :whole].view(rows, blocks, BLOCK).transpose(0, 1)  # (blocks, R, BLOCK)
    torch.bmm(c.expand(blocks, 1, rows), columns, out=out[:, :whole].view(blocks, 1, BLOCK))
    if whole < numbers:
        torch.mm(c, weights[:, whole:], out=out[:, whole:])
    return out


def _room(base: Mapping[str, Tensor], count: int, names: Sequence[str], held: set[str]) -> Segment:
    """A segment that holds the base, with room for the experts."""
    names = sorted(names, key=lambda name: name not in held)  # stable: else in their order
    tensors = {name: base[name] for name in names}  # of one stage at a time
    shapes = tuple(tuple(x.shape) for x in tensors.values())
    changing = sum(prod(s) for n, s in zip(names, shapes, strict=True) if n in held)
    numbers = sum(prod(s) for s in shapes)
    weights, rest = torch.empty(1 + count, changing), torch.empty(numbers - changing)
    segment = Segment(tuple(names), shapes, weights, rest)
    for name, view in segment.unflatten(weights[0]).items():
        view.copy_(tensors[name])
    return segment


def _trimmed(segment: Segment) -> Segment:
    """The same, without room for experts that all turned out to equal the base."""
    first = segment.weights[:1]
    if not segment.changing or any(not torch.equal(first, row[None]) for row in segment.weights):
        return segment
    rest = torch.cat([first[0], segment.rest])
    return replace(segment, weights=segment.weights[:, :0].clone(), rest=rest)
