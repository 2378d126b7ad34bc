"""Cross-task linearity: are the features of a merged pair the mean of the two experts' features?

"On the Emergence of Cross-Task Linearity in the Pretraining-Finetuning Paradigm", Zhou et al.,
https://arxiv.org/abs/2402.03660, and its code. With f_ℓ the output of block ℓ for one input, all
tokens side by side, and z_ℓ(x) = ½ f_ℓ(x; θ1) + ½ f_ℓ(x; θ2),

    cosine       cos(f_ℓ(x; ½ θ1 + ½ θ2), z_ℓ(x))
    coefficient  f_ℓ(x; ½ θ1 + ½ θ2) · z_ℓ(x) / ‖z_ℓ(x)‖²

Where both are 1 the merge of weights is the mean of features. The cosine says little where the two
experts' features are alike anyway, so theirs, cos(f_ℓ(x; θ1), f_ℓ(x; θ2)), stands beside it. No
label is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.field.disentanglement import pairwise
from semerge.evaluation.measure import each_batch
from semerge.models import Point
from semerge.settings import FINAL, valid_layers

SHARE = 0.5  # of either expert
FIGURES = ("cosine", "coefficient", "experts")


@torch.inference_mode()
def linearity(engine: Engine, sets: Sequence[LabelledSet]) -> dict[str, list[float]]:
    """`cosine`, `coefficient` and the cosine of the two `experts`, for each block and the final
    embedding: means over the samples of each of the two tasks, then of both. sets: samples of the
    two. Raises ValueError where there are not two."""
    if len(sets) != 2:
        raise ValueError("two tasks are compared")
    models = engine.models
    pair = [engine.suite.index(one.task) for one in sets]
    coefficients = torch.zeros(models.vectors.count)
    coefficients[pair] = SHARE
    points = points_of(engine)
    found = torch.zeros(len(FIGURES), len(points), dtype=torch.float64)
    for own, _, batch in each_batch(engine, sets):
        start = models.start(batch, 1)  # no block is left out
        stages = [models.merged(coefficients), *map(models.stage, pair)]
        runs = [models.representations(stage, batch, points, start) for stage in stages]
        weight = 1 / (2 * len(sets[pair.index(own)]))
        for layer, of in enumerate(zip(*runs, strict=True)):  # one layer is held at a time
            merged, first, second = (h.double() for _, h in of)  # (B, K) each
            mean = SHARE * (first + second)
            squares = mean.square().sum(1)
            for row, values in enumerate(
                (
                    cosines(merged, mean),
                    torch.where(squares > 0, (merged * mean).sum(1) / squares, 1.0),
                    cosines(first, second),
                )
            ):
                found[row, layer] += weight * float(values.sum())
    return dict(zip(FIGURES, found.tolist(), strict=True))


def points_of(engine: Engine) -> list[Point]:
    """Where features are compared: every block over all tokens, and the final embedding."""
    every = valid_layers(engine.suite)
    return [(layer, FINAL if layer == FINAL else "all") for layer in every]


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Of rows (B, K): (B,). Two that are both 0 are alike."""
    lengths = torch.linalg.vector_norm(a, dim=1), torch.linalg.vector_norm(b, dim=1)
    size = lengths[0] * lengths[1]
    alike = ((lengths[0] == 0) & (lengths[1] == 0)).to(a)
    return torch.where(size > 0, (a * b).sum(1) / size, alike)


def of_pairs(
    engine: Engine,
    sets: Sequence[LabelledSet],
    pairs: Iterable[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """For JSON: the `layers`, and by `pairwise` the figures of `linearity` of each pair."""
    layers = [layer for layer, _ in points_of(engine)]
    figures = partial(linearity, engine)
    return {"layers": layers, **pairwise(sets, pairs, figures, "pairs of tasks, by block")}
