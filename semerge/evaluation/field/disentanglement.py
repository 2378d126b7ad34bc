"""How far two task vectors get in each other's way: the weight-disentanglement error ξ(α1, α2).

"Task Arithmetic in the Tangent Space", Ortiz-Jimenez et al., https://arxiv.org/abs/2305.12827:

    ξ(α1, α2) = Σ_t E_{x of task t} [ f(x; θ0 + αt τt) ≠ f(x; θ0 + α1 τ1 + α2 τ2) ],

f being the class under the head of task t. It is 0 where either task vector leaves the inputs of
the other task alone, and 2 at most. No label is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.common import tell
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.measure import each_batch

ALPHAS = (-0.5, 0.0, 0.5, 1.0, 1.5)


@torch.inference_mode()
def disentanglement(
    engine: Engine, sets: Sequence[LabelledSet], alphas: Sequence[float] = ALPHAS
) -> list[list[float]]:
    """ξ over a grid, a row for each α of the first of two tasks, a column for each of the second.
    sets: samples of the two. Raises ValueError where there are not two."""
    if len(sets) != 2:
        raise ValueError("two tasks are compared")
    models, names = engine.models, [one.task for one in sets]
    places = [engine.suite.index(name) for name in names]
    found = torch.zeros(len(alphas), len(alphas), dtype=torch.float64)

    def classes(own: int, batch: Batch, first: float = 0.0, second: float = 0.0) -> Tensor:
        coefficients = torch.zeros(models.vectors.count)
        coefficients[places] = torch.tensor([first, second])
        z = models.embedding(models.merged(coefficients), batch, models.start(batch))
        return engine.logits(z, names[own]).argmax(1)

    for own, samples in enumerate(sets):
        for _, _, batch in each_batch(engine, [samples]):
            side = ("first", "second")[own]
            alone = {alpha: classes(own, batch, **{side: alpha}) for alpha in alphas}
            for i, first in enumerate(alphas):
                for j, second in enumerate(alphas):
                    mine, other = (first, second) if own == 0 else (second, first)
                    if other:  # or else it is the task's own vector alone, on either side
                        differ = alone[mine] != classes(own, batch, first, second)
                        found[i, j] += float(differ.sum()) / len(samples)
    return [[float(x) for x in row] for row in found]


def of_pairs(
    engine: Engine,
    sets: Sequence[LabelledSet],
    pairs: Iterable[tuple[str, str]] | None = None,
    alphas: Sequence[float] = ALPHAS,
) -> dict[str, Any]:
    """For JSON: `alphas`, and by `pairwise` the grid `error` of each pair."""

    def figures(both: Sequence[LabelledSet]) -> dict[str, Any]:
        return {"error": disentanglement(engine, both, alphas)}

    return {"alphas": list(alphas), **pairwise(sets, pairs, figures, "pairs of tasks")}


def pairwise(
    sets: Sequence[LabelledSet],
    pairs: Iterable[tuple[str, str]] | None,
    figures: Callable[[Sequence[LabelledSet]], Mapping[str, Any]],
    what: str,
) -> dict[str, Any]:
    """The number of `samples` by task, and for each pair of tasks, or of all where pairs is None,
    its two `tasks` and their figures. what: is counted, in the progress that is told. Raises
    KeyError where a task has no samples."""
    known = {one.task: one for one in sets}
    chosen = list(combinations(known, 2)) if pairs is None else list(pairs)
    rows = []
    for number, (a, b) in enumerate(chosen):
        tell(number, len(chosen), what)
        rows.append({"tasks": [a, b], **figures([known[a], known[b]])})
    tell(len(chosen), len(chosen), what)
    return {"samples": {name: len(one) for name, one in known.items()}, "pairs": rows}
