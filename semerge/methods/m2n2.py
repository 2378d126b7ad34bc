"""M2N2: a small population of merges, in which what few can do counts more.

"Competition and Attraction Improve Model Fusion", https://arxiv.org/abs/2508.16204, by its code.
The archive begins with the experts and holds 20. Right answers are a resource that those who give
them share: with sij = 1 where model i answers labelled sample j rightly, and 0 elsewhere,
fij = sij / (Σi sij)^sharing and fi = Σj fij. In each round

    parent 1 is drawn by fi, parent 2 by Σj max(0, fij − f1j): strong where the first is weak
    a child is their slerp, by a weight w before a point that is drawn and 1 − w after it
    the child comes in, and where there are more than 20 the model with the least fi goes

The result is the model with the most right answers, each task alike: one merged model, chosen on
the samples that it is scored on. As published that takes 50,000 rounds on a tiny network.

Chosen here: individuals are task vectors, as weights themselves are nearly parallel; the angle is
that of whole vectors; where parent 1 dominates, parent 2 is drawn by fi; vectors without an angle
between them are mixed linearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.common import UserError, gigabytes, tell
from semerge.methods import method
from semerge.methods.samples import COUNT, Count
from semerge.registry import Seed, Within

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Children = Annotated[int, Within(1, 50_000), "how many merges are made and scored"]
Sharing = Annotated[
    float, Within(0.0, 2.0), "how much less a right answer counts that others give too"
]
ARCHIVE = 20
ROOM = 4 * 10**9  # bytes that the archive may take
PARALLEL = 1e-6  # sine of an angle that is none


@method("m2n2", title="M2N2", paper="arXiv 2508.16204", needs="labels", scale=1.0, place=49)
def m2n2(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    children: Children = 300,
    sharing: Sharing = 1.0,
    draw: Seed = 0,
) -> dict[str, Tensor]:
    """Breed merges in a small population, in which right answers count more that few give, and take
    the one with the most right answers to labelled samples. For small models."""
    import torch

    sizes = [segment.changing for segment in vectors.segments]
    wanted = 4 * (ARCHIVE + 1) * sum(sizes)
    if wanted > ROOM:
        raise UserError(f"M2N2 holds {ARCHIVE} models, {gigabytes(wanted)} here: too many.")
    batches = [list(task.first(per_task)) for task in samples.tasks]

    def model(tau: Tensor) -> dict[str, Tensor]:
        pairs = zip(vectors.segments, tau.split(sizes), strict=True)
        return {n: x for s, t in pairs for n, x in s.unflatten(s.weights[0] + t).items()}

    def score(tau: Tensor) -> Tensor:  # (N,), of all tasks
        params, right = model(tau), []
        for t, (task, of) in enumerate(zip(samples.tasks, batches, strict=True)):
            assert task.labels is not None  # this method needs them
            found = torch.cat([samples.logits(params, t, batch).argmax(-1) for batch in of])
            right.append(found == task.labels[: len(found)])
        return torch.cat(right).float()

    random = torch.Generator().manual_seed(draw)
    archive = [torch.cat([*vectors.deltas(t)]) for t in range(vectors.count)]
    scores = torch.stack([score(tau) for tau in archive])  # (A, N)
    for child in range(children):
        tell(child, children, "merges scored")
        first, second = parents(scores, sharing, random)
        w = float(torch.rand((), generator=random))
        split = int(torch.randint(1, max(sum(sizes), 2), (), generator=random))
        archive.append(crossed(archive[first], archive[second], w, split))
        scores = torch.cat([scores, score(archive[-1])[None]])
        if len(archive) > ARCHIVE:
            worst = int(shares(scores, sharing).sum(1).argmin())
            del archive[worst]
            scores = torch.cat([scores[:worst], scores[worst + 1 :]])
    tell(children, children, "merges scored")
    counts = [sum(map(len, of)) for of in batches]
    accuracy = torch.stack([part.mean(1) for part in scores.split(counts, dim=1)]).mean(0)
    return model(archive[int(accuracy.argmax())])


def shares(scores: Tensor, sharing: float) -> Tensor:
    """fij of right and wrong answers (A, N)."""
    return scores / scores.sum(0).clamp(min=1).pow(sharing)


def parents(scores: Tensor, sharing: float, random: Generator) -> tuple[int, int]:
    """Two numbers of models, drawn; scores (A, N)."""
    f = shares(scores, sharing).cpu()
    first = _drawn(f.sum(1), random)
    gains = (f - f[first]).clamp(min=0).sum(1)
    return first, _drawn(gains if gains.any() else f.sum(1), random)


def _drawn(weights: Tensor, random: Generator) -> int:
    weights = weights if weights.any() else weights + 1
    return int(weights.multinomial(1, generator=random))


def crossed(a: Tensor, b: Tensor, w: float, split: int) -> Tensor:
    """The slerp of two vectors (M,) by w up to `split`, and by 1 − w from there on."""
    import torch

    lengths = float(a.norm()), float(b.norm())
    cosine = float(a @ b) / (lengths[0] * lengths[1]) if all(lengths) else 1.0
    angle = torch.tensor(cosine, dtype=torch.float64).clamp(-1, 1).arccos()
    sine = float(angle.sin())

    def mixed(x: Tensor, y: Tensor, w: float) -> Tensor:
        if sine < PARALLEL:
            return (1 - w) * x + w * y
        return float(((1 - w) * angle).sin()) / sine * x + float((w * angle).sin()) / sine * y

    return torch.cat([mixed(a[:split], b[:split], w), mixed(a[split:], b[split:], 1 - w)])
