"""θ0, the task vectors τt = θt − θ0, and their linear combinations.

"Editing Models with Task Arithmetic", Ilharco et al., arXiv 2212.04089.

Weights are kept as flat matrices, one a segment (a stage of the forward pass), so that a merge is
one matrix product and can be done stage by stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """The parameters of one stage: names and shapes, θ0 as (P,), the τt as (T, P).

    deltas is None where every expert equals the base: nothing to merge there.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    base: Tensor
    deltas: Tensor | None

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """(P,) or (G, P) -> views by name, (\\*shape) or (G, \\*shape)."""
        parts = flat.split([prod(s) for s in self.shapes], dim=-1)
        lead = flat.shape[:-1]
        return {
            n: p.view(*lead, *s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)
        }


class TaskVectors:
    """The base and T task vectors. Nothing here is written after construction."""

    def __init__(
        self,
        base: Mapping[str, Tensor],
        experts: Sequence[Mapping[str, Tensor]],
        segments: Sequence[Sequence[str]],
    ) -> None:
        """base: every parameter; experts: those that differ from the base's (others are shared)."""
        self.count = len(experts)
        self.segments = tuple(self._segment(base, experts, tuple(names)) for names in segments)

    @staticmethod
    def _segment(
        base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], names: tuple[str, ...]
    ) -> Segment:
        shapes = tuple(tuple(base[n].shape) for n in names)
        flat = torch.cat([base[n].reshape(-1) for n in names]).float()
        deltas = None
        if any(n in expert for expert in experts for n in names):
            deltas = torch.zeros(len(experts), flat.numel())
            for row, expert in zip(deltas, experts, strict=True):
                start = 0
                for n, shape in zip(names, shapes, strict=True):
                    stop = start + prod(shape)
                    if n in expert:
                        row[start:stop] = expert[n].reshape(-1).float() - flat[start:stop]
                    start = stop
        return Segment(names, shapes, flat, deltas)

    def merge(self, coefficients: Tensor, segment: int | None = None) -> dict[str, Tensor]:
        """θ0 + Σt λt τt, by name.

        coefficients: (T,), or (G, T) for G sets of weights with a leading axis G.
        segment: one stage alone (0 embedding, 1..L blocks, L + 1 final), or None for all.
        """
        if coefficients.shape[-1] != self.count:
            raise ValueError(f"{coefficients.shape[-1]} coefficients for {self.count} task vectors")
        if segment is None:
            parts = [self.merge(coefficients, s) for s in range(len(self.segments))]
            return {name: tensor for part in parts for name, tensor in part.items()}
        s = self.segments[segment]
        lead = coefficients.shape[:-1]
        if s.deltas is None:
            return s.unflatten(s.base.expand(*lead, -1))
        rows = coefficients.reshape(-1, self.count).to(s.deltas.dtype)
        flat = torch.addmm(s.base.unsqueeze(0), rows, s.deltas)  # (G or 1, P)
        return s.unflatten(flat.view(*lead, -1))

    def base(self, segment: int | None = None) -> dict[str, Tensor]:
        """θ0, as views: of one stage, or of all."""
        chosen = self.segments if segment is None else self.segments[segment : segment + 1]
        return {n: p for s in chosen for n, p in s.unflatten(s.base).items()}

    def expert(self, t: int, segment: int | None = None) -> dict[str, Tensor]:
        """θt = θ0 + τt: of one stage, or of all."""
        chosen = self.segments if segment is None else self.segments[segment : segment + 1]
        flat = [s.base if s.deltas is None else s.base + s.deltas[t] for s in chosen]
        return {n: p for s, f in zip(chosen, flat, strict=True) for n, p in s.unflatten(f).items()}

    def tensors(self) -> list[Tensor]:
        """Everything held, in a fixed order: to hash, to count, to move."""
        return [x for s in self.segments for x in (s.base, s.deltas) if x is not None]
