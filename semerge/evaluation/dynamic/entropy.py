"""DaWin's coefficients: the surer an expert is of its own answer, the more it counts.

"DaWin: Training-free Dynamic Weight Interpolation for Robust Adaptation", Oh et al.,
https://arxiv.org/abs/2410.03782, and its code: λt(x) = T λ softmax_t(−H(p_t(x))). There the task
is given, so that all experts speak of the classes of one head, and by default the coefficients are
averaged over a test set that holds one task. Here no task is given: each expert answers with its
own head, and its entropy is over log C, as heads differ in their number of classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import PLAIN, Made, dynamic

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine


@dynamic(
    "entropy",
    title="DaWin, each expert with its own head",
    paper="arXiv 2410.03782",
    note="DaWin a sample at a time, and not told the task; runs every expert to its end",
    published=PLAIN,
)
def entropy(engine: Engine, method: str) -> Made:
    """The entropy of each expert's own answer, as a share of the largest."""
    import torch

    names = engine.suite.task_names

    def run(batch: Batch) -> Tensor:
        start = engine.models.start(batch)
        ends = [engine.expert_embedding(batch, t, start) for t in range(len(names))]
        logits = [engine.logits(z, name) for z, name in zip(ends, names, strict=True)]
        return torch.stack([unsureness(x) for x in logits], dim=1)

    return Made(run, float(len(names)), 0)


def unsureness(logits: Tensor) -> Tensor:
    """The entropy of softmax of logits (B, C) over that of guessing, log C: (B,), from 0 to 1."""
    import torch

    p = logits.double().softmax(1)
    return torch.special.entr(p).sum(1) / math.log(logits.shape[1])
