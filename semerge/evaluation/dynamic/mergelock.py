"""MergeLock: an expert that answers as before and can't be merged, and what may be made of it.

"Model Unmerging: Making Your Models Unmergeable for Secure Model Sharing", Wang et al.,
https://arxiv.org/abs/2509.01548. In each head of the attention the queries are multiplied by an
invertible M and the keys by its inverse transposed, the values by an N and what reads them by its
inverse: every output stays, the weights are elsewhere. How M and N are drawn is a reading of this
project: P diag(eᵘ) Q, P and Q random rotations and eᵘ from 1 / 10 to 10. The suite's first expert
is locked.

Where the base is public it says how to turn back: the M with M W0 nearest to the locked queries
(least squares) is nearly the one that was drawn, as an expert lies near its base. That is this
project's own observation; the paper tried other ways to restore and says that they fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semerge.common import UserError
from semerge.evaluation.dynamic import Made, dynamic, over

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from semerge.backbones import Backbone, Batch
    from semerge.engine import Engine
    from semerge.task_vectors import Segment, TaskVectors

KEY = 0  # seeds the matrices: who has it can unlock
SPREAD = 100.0  # the largest stretch of a matrix over its smallest
LOCKED = 0  # the expert's position


@dynamic(
    "mergelock",
    title="static merge, one expert locked",
    paper="arXiv 2509.01548",
    model=True,
    head="told",
    note="Task Arithmetic with the first expert protected by MergeLock: it answers as before, and "
    "spoils the merge; told the task",
)
def mergelock(engine: Engine, method: str) -> Made:
    """What the static merge becomes."""
    return static(engine, locked(engine.backbone, engine.models.vectors, LOCKED))


@dynamic(
    "mergelock_back",
    title="static merge, turned back by the base",
    paper="arXiv 2509.01548",
    model=True,
    head="told",
    note="the same after the locked expert was turned to where the public base lies, without its "
    "key: this project's own observation; told the task",
)
def mergelock_back(engine: Engine, method: str) -> Made:
    """What the static merge becomes where somebody turns the expert back."""
    backbone, vectors = engine.backbone, engine.models.vectors
    return static(engine, turned_back(backbone, locked(backbone, vectors, LOCKED), LOCKED))


@dynamic(
    "mergelock_se",
    title="SE-Merging, one expert locked",
    paper="arXiv 2509.01548",
    model=True,
    head="own",
    note="the suite's settings, with the first expert protected by MergeLock: the merge that is "
    "probed is the spoilt one",
)
def mergelock_se(engine: Engine, method: str) -> Made:
    """What SE-Merging becomes, by the suite's defaults."""
    from semerge.evaluation.field.costs import held, passes
    from semerge.settings import Settings

    steps = over(engine, locked(engine.backbone, engine.models.vectors, LOCKED))
    resolved = Settings().resolve(engine.suite)

    def run(batch: Batch, own: int) -> tuple[Tensor, Tensor]:
        routing = steps.route(steps.distances(batch, resolved)[resolved.probing], resolved)
        return steps.merged_embedding(batch, routing.coefficients), routing.chosen

    return Made(run, passes(engine, resolved), held(engine, resolved))


def static(engine: Engine, vectors: TaskVectors) -> Made:
    """Task Arithmetic of these, at the suite's λ."""
    import torch

    coefficients = torch.full((vectors.count,), engine.suite.defaults.static_lambda)
    params = vectors.merge(coefficients.to(vectors.device))

    def run(batch: Batch, own: int) -> tuple[Tensor, None]:
        return engine.models.embedding(lambda stage: params, batch), None

    return Made(run, 1.0, 4 * vectors.numel)


# ---- turning attention ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Attention:
    """The attention of one block of one model, to be written to: views, float32. q, k, v: by head,
    weights (heads, d, in) and biases (heads, d). out: (out, heads, d), what reads the heads."""

    q: tuple[Tensor, Tensor]
    k: tuple[Tensor, Tensor]
    v: tuple[Tensor, Tensor]
    out: Tensor

    @classmethod
    def of(cls, backbone: Backbone, segment: Segment, params: Mapping[str, Tensor]) -> Attention:
        """Of a block's parameters by name."""
        weight, bias, out = (
            next(x for name, x in params.items() if name.endswith(end))
            for end in backbone.attention
        )
        if segment.outputs_last:
            weight, out = weight.mT, out.mT
        q, k, v = (
            (w.unflatten(0, (backbone.heads, -1)), b.unflatten(0, (backbone.heads, -1)))
            for w, b in zip(weight.chunk(3), bias.chunk(3), strict=True)
        )
        return cls(q, k, v, out.unflatten(1, (backbone.heads, -1)))

    def turn(self, m: Tensor, n: Tensor) -> None:
        """Queries by M, keys by its inverse transposed, values by N, and back: (heads, d, d) in
        float64. What the block gives stays as it is."""
        import torch

        for (weight, bias), by in (
            (self.q, m),
            (self.k, torch.linalg.inv(m).mT),
            (self.v, n),
        ):
            weight.copy_(by @ weight.double())
            bias.copy_((by @ bias.double()[..., None])[..., 0])
        self.out.copy_(torch.einsum("ohd,hde->ohe", self.out.double(), torch.linalg.inv(n)))


def locked(backbone: Backbone, vectors: TaskVectors, t: int, key: int = KEY) -> TaskVectors:
    """The same experts, expert t locked. Raises UserError where its attention is the base's in
    part: what all models share can't be turned in one of them."""
    import torch

    generator = torch.Generator().manual_seed(key)

    def turns(own: Attention, base: Attention) -> tuple[Tensor, Tensor]:
        (heads, d), device = own.q[1].shape, own.out.device
        m, n = (invertible(heads, d, generator) for _ in range(2))
        return m.to(device), n.to(device)

    return turned(backbone, vectors, t, turns)


def turned_back(backbone: Backbone, vectors: TaskVectors, t: int) -> TaskVectors:
    """Expert t turned to where the base lies: by the inverses of the M and N that bring the base's
    queries and values nearest to its own."""
    import torch

    def turns(own: Attention, base: Attention) -> tuple[Tensor, Tensor]:
        found = [
            one[0].double() @ torch.linalg.pinv(other[0].double())
            for one, other in ((own.q, base.q), (own.v, base.v))
        ]
        return torch.linalg.inv(found[0]), torch.linalg.inv(found[1])

    return turned(backbone, vectors, t, turns)


def turned(
    backbone: Backbone,
    vectors: TaskVectors,
    t: int,
    turns: Callable[[Attention, Attention], tuple[Tensor, Tensor]],
) -> TaskVectors:
    """The same experts, but for expert t, each of whose blocks is turned by what `turns` gives for
    it and the base's."""
    rows = []
    for segment in vectors.segments:
        own = segment.weights[1:].clone()
        if segment.outputs_last is not None:
            if not all(any(n.endswith(end) for n in segment.own) for end in backbone.attention):
                raise UserError("Its attention is the base's in part, and can't be turned alone.")
            base = Attention.of(backbone, segment, segment.unflatten(segment.weights[0]))
            mine = Attention.of(backbone, segment, segment.unflatten(own[t]))
            mine.turn(*turns(mine, base))
        rows.append(own)
    return vectors.with_experts(rows)


def invertible(heads: int, d: int, generator: torch.Generator) -> Tensor:
    """P diag(eᵘ) Q for each head, (heads, d, d) float64; u uniform, its range the logarithm of
    SPREAD."""
    import torch

    noise = torch.randn(2, heads, d, d, generator=generator, dtype=torch.float64)
    p, q = torch.linalg.qr(noise)[0]
    u = (torch.rand(heads, d, generator=generator, dtype=torch.float64) - 0.5) * math.log(SPREAD)
    return p * u.exp()[:, None] @ q
