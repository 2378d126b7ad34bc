"""Fisher merging: the mean of the experts, each number weighed by how much its expert's answers
depend on it.

"Merging Models with Fisher-Weighted Averaging", Matena and Raffel,
https://arxiv.org/abs/2111.09832. Ft is the diagonal of expert t's Fisher information on samples of
its task, with the answers as the expert gives them, and ε `smoothing`; over all of the backbone

    θ = Σt ct (Ft + ε) θt / Σt ct (Ft + ε),  ct = 1 / (‖Ft‖ + ε), or 1 without `balance`

    exact     E_x Σ_y p(y|x) (∂ log p(y|x))²
    batched   Σ over batches of 32 of (∂ Σ_x Σ_y √p(y|x) log p(y|x))² / n, √p held: as the code of
              FusionBench has it; what the samples of a batch have in common adds up in it

The default is the diagonal itself. Of logits z it is Σk λk (∂ qkᵀz)² with the eigenvectors qk of
diag(p) − ppᵀ, so a sample costs as many gradients as its answer leaves directions open: those of
1e-5 of the largest and more. λ is 1; the terms ct (Ft + ε) τt / Σ.. are the effective task vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from semerge.common import tell
from semerge.methods import method
from semerge.methods.samples import COUNT, SIZE, Count
from semerge.registry import Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch, Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Estimate = Annotated[
    Literal["exact", "batched"], "the diagonal itself, or squared sums of batches as published"
]
Balance = Annotated[bool, "whether the tasks' informations are brought to one length"]
Smoothing = Annotated[float, Within(0.0, 1.0), "what is added to the information of each number"]
SMALLEST = 1e-5  # of the largest eigenvalue; below it a direction adds next to nothing


@method(
    "fisher", title="Fisher merging", paper="arXiv 2111.09832", needs="inputs", scale=1.0, place=40
)
def fisher(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    estimate: Estimate = "exact",
    balance: Balance = True,
    smoothing: Smoothing = 1e-6,
) -> TaskVectors:
    """Average the experts, each number weighed by how much its expert's answers to some samples of
    its task depend on it."""
    import torch

    rows = [torch.empty_like(segment.weights[1:]) for segment in vectors.segments]
    lengths, done = [], 0
    total = sum(min(per_task, task.count) for task in samples.tasks)
    for t in range(vectors.count):
        found = {name: torch.zeros_like(x) for name, x in vectors.expert(t).items()}
        count = 0
        for batch in samples.tasks[t].first(per_task, 1 if estimate == "exact" else SIZE):
            tell(done + count, total, "samples looked at")
            _add_squares(found, vectors.expert(t), samples, t, batch, estimate)
            count += len(batch)
        done += count
        for x in found.values():
            x.div_(count)
        lengths.append(torch.stack([x.norm() for x in found.values()]).norm())
        for row, segment in zip(rows, vectors.segments, strict=True):
            views = segment.unflatten(row[t])
            for name in segment.own:
                views[name].copy_(found[name])
    tell(done, total, "samples looked at")
    return weighed(vectors, rows, lengths if balance else None, smoothing)


def _add_squares(
    found: dict[str, Tensor],
    expert: Params,
    samples: Samples,
    t: int,
    batch: Batch,
    estimate: str,
) -> None:
    """Add the squared gradients of one sample, or of the sum over a batch."""
    import torch

    with torch.enable_grad():
        params = {name: x.detach().requires_grad_() for name, x in expert.items()}
        logits = samples.logits(params, t, batch)
        for value in open_directions(logits[0]) if estimate == "exact" else [_sum(logits)]:
            gradients = torch.autograd.grad(
                value, [*params.values()], retain_graph=True, allow_unused=True
            )
            for name, gradient in zip(params, gradients, strict=True):
                if gradient is not None:
                    found[name].add_(gradient.square())


def weighed(
    vectors: TaskVectors,
    information: Sequence[Tensor],
    lengths: Sequence[Tensor] | None,
    smoothing: float,
) -> TaskVectors:
    """The terms of the weighed mean. information: Ft of each stage's changing numbers, (T, M),
    written to. lengths: ‖Ft‖ over all of the model, or None for ct = 1."""
    import torch

    count = vectors.count
    shares = torch.ones(count) if lengths is None else 1 / (torch.stack([*lengths]) + smoothing)
    shares = shares / shares.sum()
    for rows, segment in zip(information, vectors.segments, strict=True):
        first = segment.weights[0]
        rows.add_(smoothing).mul_(shares.to(rows)[:, None])
        total = rows.sum(0)
        rows.div_(torch.where(total > 0, total, 1.0))
        rows[:, total == 0] = 1 / count
        rows.mul_(segment.weights[1:] - first).add_(first)
    return vectors.with_experts(information)


def open_directions(z: Tensor) -> Iterator[Tensor]:
    """Of one sample's logits (C,) the √λk qkᵀz, whose squared gradients add up to its share."""
    import torch

    p = z.detach().double().softmax(0)
    values, q = torch.linalg.eigh(p.diag() - torch.outer(p, p))
    for value, direction in zip(values, q.mT, strict=True):
        if value > SMALLEST * values[-1]:
            yield value.sqrt() * (direction @ z.double())


def _sum(z: Tensor) -> Tensor:
    """Σ √p log p over a batch's logits (B, C), √p held."""
    log_p = z.log_softmax(-1)
    return ((log_p / 2).exp().detach() * log_p).sum()
