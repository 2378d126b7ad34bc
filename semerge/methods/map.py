"""MAP: each task's loss as a quadratic of the coefficients, and the best place for all tasks.

"MAP: Low-compute Model Merging with Amortized Pareto Fronts", https://arxiv.org/abs/2406.07529. For
coefficients c in [0, 1]^T the merge θ0 + Σt ct τt is scored on labelled samples of every task: at
the base, the T experts, and at places that are drawn, twice as many in all as a quadratic of c has
numbers, (T + 1)(T + 2) / 2. Through each task's scores a quadratic is laid by least squares. The
merge is where the sum over the tasks is least, each task alike, by descent from every place.

Chosen here: the score is the loss itself, the cross-entropy over log C, where the authors lay the
quadratic inside a sigmoid or softplus; instead of a Pareto front by an evolutionary search the one
point of it is sought that prefers all tasks alike; coefficients stay in the box that was sampled.
λ is 1; the terms ct τt are the effective task vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.common import tell
from semerge.methods import method
from semerge.methods.samples import COUNT, Count
from semerge.registry import Seed, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Scored = Annotated[
    float, Within(1.0, 10.0), "merges that are scored, for each number of the quadratic"
]
STEPS = 2000  # of the descent, which costs nothing
FLAT = 1e-9  # curvature of what has none


@method("map", title="MAP", paper="arXiv 2406.07529", needs="labels", scale=1.0, place=50)
def map_(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    scored: Scored = 2.0,
    draw: Seed = 0,
) -> TaskVectors:
    """Score merges with drawn coefficients on labelled samples, lay a quadratic through each task's
    loss, and take the coefficients where their sum is least."""
    import torch

    places = drawn(vectors.count, scored, draw)
    losses = torch.zeros(len(places), vectors.count, dtype=torch.float64)
    for i, c in enumerate(places):
        tell(i, len(places), "merges scored")
        params = vectors.merge(c)
        for t in range(vectors.count):
            losses[i, t] = samples.mean_loss(params, t, per_task)
    tell(len(places), len(places), "merges scored")
    best = lowest(fitted(places, losses).sum(1), places)
    return vectors.mapped(lambda deltas: deltas * best.to(deltas)[:, None])


def drawn(count: int, scored: float, draw: int) -> Tensor:
    """Coefficients to score: 0, the unit vectors, and others uniform in the box, (N, T)."""
    import torch

    generator = torch.Generator().manual_seed(draw)
    corners = torch.cat([torch.zeros(1, count), torch.eye(count)])
    number = max(int(scored * (count + 1) * (count + 2) / 2), len(corners))
    return torch.cat([corners, torch.rand(number - len(corners), count, generator=generator)])


def terms(c: Tensor) -> Tensor:
    """Of coefficients (N, T) all products of two, themselves, and 1: (N, (T + 1)(T + 2) / 2)."""
    import torch

    more = torch.cat([c, torch.ones_like(c[:, :1])], dim=1)
    i, j = torch.triu_indices(more.shape[1], more.shape[1])
    return more[:, i] * more[:, j]


def fitted(places: Tensor, scores: Tensor) -> Tensor:
    """The numbers of the quadratics through scores (N, T), by least squares: (.., T), float64."""
    import torch

    return torch.linalg.lstsq(terms(places.double()), scores.double(), driver="gelsd").solution


def lowest(quadratic: Tensor, places: Tensor) -> Tensor:
    """Where a quadratic is least in the box [0, 1]^T: the best end of descents from all places and
    from the middle of the box, (T,)."""
    import torch

    count = places.shape[1]
    form = torch.zeros(count + 1, count + 1, dtype=torch.float64)  # f(c) = (c, 1) form (c, 1)ᵀ
    i, j = torch.triu_indices(*form.shape)
    form[i, j] = quadratic
    form = form + form.mT  # twice the symmetric one, so that its rows are slopes
    step = 1 / torch.linalg.matrix_norm(form[:-1, :-1], 2).clamp(min=FLAT)
    c = torch.cat([places, torch.full_like(places[:1], 0.5)]).double()
    for _ in range(STEPS):
        c = (c - step * (c @ form[:-1, :-1] + form[-1, :-1])).clamp(0, 1)
    return c[int((terms(c) @ quadratic).argmin())]
