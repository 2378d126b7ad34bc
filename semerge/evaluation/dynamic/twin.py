"""Twin-Merging: a shared model, what each expert has beside it, and a router that is trained.

"Twin-Merging: Dynamic Integration of Modular Expertise in Model Merging", Lu et al.,
https://arxiv.org/abs/2406.15479, and its code. θ* is Task Arithmetic; v_t is θt − θ*, each matrix
cut to its leading singular triplets; θ(x) = θ* + Σ softmax(r(x))_t v_t. The router r is an MLP
d → 2d → 2d → T with batch norm, leaky ReLU and dropout .5 on the mean token of the shared model's
last block, trained to tell the task by cross-entropy. Published, it has 5,500 samples a task, in
batches of 1,024, and its best epoch is chosen on the test set; here it has the samples that all
methods have, in batches of 64 as they are fewer, and its last epoch.
Chosen here: the suite's own λ for θ*, and a tenth of the triplets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from semerge.common import tell
from semerge.evaluation.dynamic import Made, dynamic, samples_of
from semerge.methods.matrices import stacks, svd, turned
from semerge.task_vectors import Segment, TaskVectors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from semerge.backbones import Batch
    from semerge.engine import Engine

SAMPLES, EPOCHS, ROWS, RATE = 512, 50, 64, 5e-4
SHARE = 0.1
SEED = 0


@dynamic(
    "twin",
    title="Twin-Merging",
    paper="arXiv 2406.15479",
    model=True,
    head="own",
    needs="inputs",
    note="its router is trained, on samples of which the task is known",
)
def twin(engine: Engine, method: str) -> Made:
    """The static merge plus what each expert has beside it, weighed by a router that is trained to
    tell the task."""
    import torch

    models, suite = engine.models, engine.suite
    vectors = exclusive(models.vectors, suite.defaults.static_lambda)
    point = (engine.backbone.depth, "mean")

    def seen(batch: Batch) -> Tensor:
        return dict(models.representations(vectors.base, batch, {point}))[point].float()

    with torch.inference_mode():
        rows = [
            torch.cat([seen(batch) for batch in task.first(SAMPLES)])
            for task in samples_of(engine).tasks
        ]
    router = trained(rows)

    def run(batch: Batch, own: int) -> tuple[Tensor, Tensor]:
        weights = router(seen(batch)).softmax(1)
        return models.each(batch, weights, vectors), weights.argmax(1)

    numbers = vectors.numel + sum(p.numel() for p in router.parameters())
    return Made(run, 2.0, 4 * (numbers + sum(map(compressed, vectors.segments))))


def exclusive(vectors: TaskVectors, scale: float, share: float = SHARE) -> TaskVectors:
    """θ* = θ0 + scale · Σ τt as the base, and v_t in place of τt: τt − scale · Σ τ, each matrix of
    a block cut to its first `share` of singular triplets."""
    import torch

    made = []
    for segment in vectors.segments:
        deltas = segment.weights[1:] - segment.weights[:1]
        shared = scale * deltas.sum(0)
        left = deltas - shared  # (T, M)
        views = segment.unflatten(left)
        for name, taus in stacks(segment):
            own = taus - scale * taus.sum(0)
            cut = torch.stack([leading(x, rank_of(x.shape, share)) for x in own])
            views[name].copy_(turned(segment, cut))
        weights = torch.cat([shared[None], shared + left]) + segment.weights[:1]
        made.append(replace(segment, weights=weights))
    return TaskVectors.of(made, vectors.count)


def rank_of(shape: Sequence[int], share: float = SHARE) -> int:
    """How many triplets of a matrix stay: one at least."""
    return max(1, int(share * min(shape)))


def leading(x: Tensor, rank: int) -> Tensor:
    """The first `rank` singular triplets of a matrix."""
    u, sigma, v = svd(x, rank)
    return (u * sigma) @ v.mT


def compressed(segment: Segment) -> int:
    """Numbers of the v_t of one stage, matrices by their triplets."""
    shapes = dict(zip(segment.names, segment.shapes, strict=True))
    matrices = [shapes[name] for name in segment.matrices]
    triplets = sum(rank_of(shape) * (1 + sum(shape)) for shape in matrices)
    others = segment.changing - sum(map(prod, matrices))
    return (len(segment.weights) - 1) * (triplets + others)


def trained(rows: Sequence[Tensor], epochs: int = EPOCHS, seed: int = SEED) -> nn.Module:
    """The router, of features (n, d) of each task; without a gradient from then on."""
    import torch
    from torch import nn

    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.cat([part.clone() for part in rows])
        y = torch.cat([torch.full((len(part),), t) for t, part in enumerate(rows)]).to(x.device)
        d, count = x.shape[1], len(rows)

        def layer(wide: int) -> list[nn.Module]:
            parts = nn.Linear(wide, 2 * d), nn.BatchNorm1d(2 * d), nn.LeakyReLU(), nn.Dropout(0.5)
            return list(parts)

        router = nn.Sequential(*layer(d), *layer(2 * d), nn.Linear(2 * d, count)).to(x.device)
        adam = torch.optim.Adam(router.parameters(), lr=RATE)
        for epoch in range(epochs):
            tell(epoch, epochs, "epochs of the router")
            for part in torch.randperm(len(x)).tensor_split(-(-len(x) // ROWS)):
                adam.zero_grad()
                nn.functional.cross_entropy(router(x[part]), y[part]).backward()
                adam.step()
        tell(epochs, epochs, "epochs of the router")
    return router.eval().requires_grad_(False)
