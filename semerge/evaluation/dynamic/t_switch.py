"""T-Switch: of each task vector its largest numbers, as signs and one size; and who switches it on.

"Less is More: Efficient Model Merging with Binary Task Switch", Qi et al.,
https://arxiv.org/abs/2412.00054, and its code: of each tensor the largest 40 % of the positive
numbers stay and the largest 40 % of the negative ones, each as its sign times what gives them
their length back. T-Switch is told the task. Auto-Switch adds each task's switch by its share of
the ten nearest samples, see `knn`; the code takes the mean of these shares over a batch of one
task, here each sample has its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, dynamic, over, told
from semerge.evaluation.dynamic.knn import knn

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine
    from semerge.task_vectors import TaskVectors

DROPPED = 0.6  # of the positive and of the negative numbers


@dynamic(
    "t_switch",
    title="T-Switch",
    paper="arXiv 2412.00054",
    model=True,
    head="told",
    note="told the task; of each task vector the signs of its largest numbers, one size a tensor",
)
def t_switch(engine: Engine, method: str) -> Made:
    """Of each task, the base plus its switch."""
    switches = binary(engine.models.vectors)
    return told(engine, switches, size(switches))


@dynamic(
    "auto_switch",
    title="Auto-Switch",
    paper="arXiv 2412.00054",
    model=True,
    head="own",
    needs="inputs",
    note="T-Switch's task vectors, added by the tasks of the ten nearest samples; needs samples of "
    "which the task is known",
)
def auto_switch(engine: Engine, method: str) -> Made:
    """Of each sample the base plus every task's switch, times its share of the neighbours."""
    router, switches = knn(engine, method), binary(engine.models.vectors)
    steps = over(engine, switches)

    def run(batch: Batch, own: int) -> tuple[Tensor, Tensor]:
        shares = 1 - router.run(batch)
        return steps.merged_embedding(batch, shares), shares.argmax(1)

    return Made(run, 1 + router.passes, size(switches) + router.bytes)


def binary(vectors: TaskVectors, dropped: float = DROPPED) -> TaskVectors:
    """The switches in place of τt."""
    import torch

    def switched(deltas: Tensor) -> Tensor:  # (T, *shape) -> (T, *shape)
        rows = []
        for row in deltas.flatten(1):
            largest = torch.zeros_like(row, dtype=torch.bool)
            for side in (row, -row):
                count = int((1 - dropped) * int((side > 0).sum()))
                if not count:  # nothing is dropped of so few
                    largest |= side > 0
                    continue
                largest[side.topk(count).indices] = True
            signs = torch.where(largest, row.sign(), 0.0)
            rows.append(signs * (row[largest].norm() / signs.norm().clamp(min=1.0)))
        return torch.stack(rows).view_as(deltas)

    return vectors.mapped_by_tensor(switched)


def size(switches: TaskVectors) -> int:
    """Bytes of the base, and of each task two bits a number and one size a tensor."""
    changing = sum(segment.changing for segment in switches.segments)
    tensors = sum(len(segment.own) for segment in switches.segments)
    return 4 * (switches.numel + switches.count * tensors) + switches.count * -(-changing // 4)
