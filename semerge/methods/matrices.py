"""What the methods share that see a weight as a matrix: which weights these are, and their algebra.

The matrices are the 2-D weights of the blocks (attention and MLP), as they are stored: q, k and v
are one matrix, whose spectrum is not that of three. They are (out, in) here; what a backbone stores
(in, out), as GPT-2's `Conv1D` does, is turned and turned back. Norms, biases, embeddings and the
final projection are the `others`. Heads are of the tasks, and in no method.

Task vectors are differences of float32 numbers: small matrices are computed in float64, but what
float32 can't tell from zero is zero in either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semerge.common import tell
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import Segment, TaskVectors

Others = Annotated[
    Literal["mean", "sum", "base"],
    "norms, biases and embeddings: the mean or the sum of what the experts change, or the base's",
]
Strength = Annotated[
    float, Within(0.0, 3.0), "factor on all that the merge changes", Grid(0.5, 1.0, 1.5, 2.0)
]

SMALL = 512  # of rows or columns; below it a matrix is computed in float64
EPSILON = 2.0**-23  # float32's
TINY = 1e-8  # an eigenvalue below it divides as it


def by_matrix(
    vectors: TaskVectors, change: Callable[[Tensor], Tensor], others: str = "mean"
) -> TaskVectors:
    """Effective task vectors: of each matrix what `change` makes of τ1 .. τT, (T, out, in) to
    (T, out, in); of all others τt / T, τt or 0, as `others` says."""
    from semerge.task_vectors import TaskVectors

    share = share_of(vectors, others)
    made = [
        one_stage(segment, lambda name, stack: change(stack), share)
        for segment in each_stage(vectors)
    ]
    return TaskVectors.of(made, vectors.count)


def one_stage(segment: Segment, change: Callable[[str, Tensor], Tensor], share: float) -> Segment:
    """`by_matrix` of one stage; `change` is told the matrix's name too. share: of all others."""
    weights = segment.weights.clone()
    scale(weights, share)
    room = segment.unflatten(weights)
    for name, stack in stacks(segment):
        base, rows = room[name][:1], room[name][1:]
        rows.copy_(base + turned(segment, change(name, stack)))
    return replace(segment, weights=weights)


def one_model(
    vectors: TaskVectors,
    merge: Callable[[Tensor], Tensor],
    others: str = "mean",
    strength: float = 1.0,
) -> dict[str, Tensor]:
    """One merged model: of each matrix θ0 + strength · what `merge` makes of τ1 .. τT, (T, out, in)
    to (out, in); of all others θ0 + strength · their mean, their sum, or 0."""
    import torch

    coefficients = torch.full((vectors.count,), strength * share_of(vectors, others))
    params: dict[str, Tensor] = {}
    for stage, segment in enumerate(each_stage(vectors)):
        params |= vectors.merge(coefficients, stage)
        base = vectors.base(stage)
        for name, stack in stacks(segment):
            params[name].copy_(base[name] + strength * turned(segment, merge(stack)))
    return params


def each_stage(vectors: TaskVectors) -> Iterator[Segment]:
    """The stages, one after the other; how many are done is told."""
    for stage, segment in enumerate(vectors.segments):
        tell(stage, len(vectors.segments), "parts of the model merged")
        yield segment
    tell(len(vectors.segments), len(vectors.segments), "parts of the model merged")


def scale(weights: Tensor, factor: float) -> None:
    """Multiply the task vectors of new weights (1 + T, M), in place."""
    if factor != 1:
        weights[1:].sub_(weights[:1]).mul_(factor).add_(weights[:1])


def stacks(segment: Segment) -> Iterator[tuple[str, Tensor]]:
    """A stage's matrices by name, as τ1 .. τT: (T, out, in), in the precision to compute in."""
    weights = segment.unflatten(segment.weights)
    for name in segment.matrices:
        taus = turned(segment, weights[name][1:] - weights[name][:1])
        yield name, taus.double() if min(taus.shape[1:]) < SMALL else taus


def turned(segment: Segment, x: Tensor) -> Tensor:
    """Matrices (.., a, b) of a stage from the order in which they are stored to (out, in), or from
    that to the other."""
    return x.mT if segment.outputs_last else x


def share_of(vectors: TaskVectors, others: str) -> float:
    """What `others` means as a factor on each task vector."""
    return {"mean": 1 / vectors.count, "sum": 1.0, "base": 0.0}[others]


# ---- algebra -------------------------------------------------------------------------------------


def svd(
    x: Tensor, most: int | None = None, size: Tensor | float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The thin SVD x = U diag(σ) Vᵀ of (m, n) without null directions: U (m, r), σ (r,) descending,
    V (n, r). most: keep no more than so many triplets. size: the length of what x is a difference
    or a sum of, as what is small beside it is rounding."""
    import torch

    u, s, vh = _sure(torch.linalg.svd, x, full_matrices=False)
    least = EPSILON * math.sqrt(max(x.shape)) * s[:1].clamp(min=size)
    r = int((s > least).sum())
    r = r if most is None else min(r, most)
    return u[:, :r], s[:r], vh[:r].mT


def cut(stack: Tensor, rank: int) -> Tensor:
    """Each of (T, m, n) by its first `rank` singular triplets alone."""
    import torch

    triplets = [svd(x, rank) for x in stack]
    return torch.stack([(u * sigma) @ v.mT for u, sigma, v in triplets])


def polar(parts: Sequence[Tensor]) -> list[Tensor]:
    """The orthonormal columns nearest to those of all parts (m, k_t) side by side, P Qᵀ of their
    SVD P D Qᵀ, cut into the parts again."""
    import torch

    u, _, v = svd(torch.cat(list(parts), dim=1))
    return list((u @ v.mT).split([part.shape[1] for part in parts], dim=1))


def regression_merge(
    stack: Tensor,
    gram: Callable[[int], Tensor],
    response: Callable[[Tensor], Tensor] | None = None,
    rest: Tensor | None = None,
    prior: Tensor | None = None,
) -> Tensor:
    """The terms Wt Gt (Σ G)⁻¹ of the merge (Σ Wt Gt)(Σ Gt)⁻¹, which solves Σt ‖(M − Wt) Xt‖² with
    Gt = Xt Xtᵀ: (T, out, in), whose sum is the merge.

    RegMean, RegMean++, WUDI's optimum, the core of ACE and the average are this with a Gram matrix
    of their own. It gives the same of θt as of θ0 + τt, where Σ G is regular.

    stack: Wt, (T, out, in). gram: t -> Gt, (in, in), symmetric; made anew when it is asked for, so
    that one at a time is held. response: eigenvalues of ΣG, ascending, (in,) -> how far to go in
    each direction, from 0 to 1; by default 1, and 0 where the eigenvalue is numerically zero.
    rest: (T, out, in), what is taken as far as the response does not go; zero by default. prior: is
    added to Σ G, (in, in); the sum must be regular, and no response is asked for.
    """
    import torch

    count = len(stack)
    total = gram(0).clone()
    for t in range(1, count):
        total += gram(t)
    if prior is not None:
        total = total + prior
        products = torch.stack([stack[t] @ gram(t) for t in range(count)])
        return torch.linalg.solve(total, products, left=False)
    values, q = _sure(torch.linalg.eigh, total)
    values = values.clamp(min=0)
    share = (response or solvable)(values)
    inverse = (q * (share / values.clamp(min=TINY))) @ q.mT
    terms = torch.stack([stack[t] @ gram(t) @ inverse for t in range(count)])
    if rest is not None:
        terms += rest - rest @ ((q * share) @ q.mT)
    return terms


def solvable(values: Tensor) -> Tensor:
    """Eigenvalues (n,), none negative -> 1, or 0 where one is numerically zero: the response of the
    pseudo-inverse."""
    return (values > len(values) * EPSILON * values.max()).to(values)


def _sure(factorise: Callable[..., Any], x: Tensor, **options: Any) -> tuple[Tensor, ...]:
    """A factorisation, in float64 where it does not converge."""
    import torch

    try:
        factors: tuple[Tensor, ...] = factorise(x, **options)
    except torch.linalg.LinAlgError:
        factors = tuple(part.to(x) for part in factorise(x.double(), **options))
    return factors
