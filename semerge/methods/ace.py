"""ACE-Merging: regression on what the task vectors themselves say of their inputs.

"ACE-Merging", https://arxiv.org/abs/2603.02945, by its code. Of each matrix, τ̇t is τt less its mean
over the outputs, Σt = τ̇tᵀτ̇t and εt = ridge. Tasks are of unlike size where the variance of
log ‖τt‖² over the square of its mean is above `unlike`: then Σt and εt are divided by the trace of
τ̇tᵀτ̇t. With c, in every row the mean row of Σ Σt (over the mean ‖τt‖² where unlike),

    W = (Σ τ̇t (Σt + εt I)) (Σ (Σt + εt I) + c)⁻¹

and where the tasks are unlike, mean(σ) · Uk Vkᵀ is added, of the top k = ⌊leading · min(m, n)⌋
singular triplets of W + Σ τt (Σt − mean of the Σt + εt I). λ is 1. All else is averaged.

ε and the test are absolute: for small models this comes near the average. c is not symmetric, as
published. The code gives GPT-2's weights the other way around; here they are (out, in) as all.

The terms of W, and those of Uk Vkᵀ = Uk diag(1/σ) Ukᵀ X by the summands of X, are the effective
task vectors. Chosen here: a task vector that is zero has no say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, regression_merge, svd
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Ridge = Annotated[float, Within(1e-8, 1.0), "what is added to the diagonal of each covariance"]
Unlike = Annotated[float, Within(0.0, 10.0), "from which spread of their sizes tasks are unlike"]
Leading = Annotated[
    Share, "share of the directions that are made equally strong", Grid(0.1, 0.3, 0.5)
]
NOUGHT = 1e-12


@method("ace", title="ACE-Merging", paper="arXiv 2603.02945", scale=1.0, dear=FULL_SIZE, place=27)
def ace(
    vectors: TaskVectors,
    *,
    ridge: Ridge = 0.01,
    unlike: Unlike = 0.3,
    leading: Leading = 0.3,
    others: Others = "mean",
) -> TaskVectors:
    """Merge by regression, with covariances of the inputs that are told from the task vectors, and
    even out the leading directions where the tasks are of unlike size."""
    import torch

    def change(stack: Tensor) -> Tensor:
        live = (stack != stack.mean(1, keepdim=True)).flatten(1).any(1)
        if not live.any():
            return stack / len(stack)
        terms = torch.zeros_like(stack)
        terms[live] = merge(stack[live])
        return terms

    def merge(taus: Tensor) -> Tensor:
        count, m, n = taus.shape
        sizes = taus.square().sum((1, 2))
        apart = _spread(sizes) > unlike
        centred = taus - taus.mean(1, keepdim=True)
        traces = centred.square().sum((1, 2)) + NOUGHT if apart else torch.ones_like(sizes)
        identity = torch.eye(n, dtype=taus.dtype, device=taus.device)

        def covariance(t: int) -> Tensor:  # (n, n)
            return centred[t].mT @ centred[t] / traces[t]

        def gram(t: int) -> Tensor:
            return covariance(t) + ridge / traces[t] * identity

        rows = [centred[t].sum(1) @ centred[t] / traces[t] for t in range(count)]
        c = torch.stack(rows).sum(0) / n / (sizes.mean() + NOUGHT if apart else 1.0)
        terms = regression_merge(centred, gram, prior=c.expand(n, n))
        top = int(leading * min(m, n))
        if not (apart and top):
            return terms
        mean = sum(map(gram, range(count))) / count
        parts = terms + torch.stack([taus[t] @ (covariance(t) - mean) for t in range(count)])
        u, sigma, _ = svd(parts.sum(0), top)
        return terms + sigma.sum() / top * ((u / sigma) @ (u.mT @ parts))

    return by_matrix(vectors, change, others)


def _spread(sizes: Tensor) -> float:
    """Variance of the logarithms over their squared mean; 0 of a single one."""
    logs = (sizes + NOUGHT).log()
    return float(logs.var() / (logs.mean() ** 2 + NOUGHT)) if len(logs) > 1 else 0.0
