"""RegMean++: RegMean on what the merged model makes of the samples.

"RegMean++: Enhancing Effectiveness and Generalization of Regression Mean for Model Merging",
https://arxiv.org/abs/2508.03121, by its code. First all ahead of the blocks is averaged. Then block
by block: expert t's own block runs on what the merge so far makes of the samples of task t, and Xt
is what its matrices see there; they are solved as RegMean does, all else in the block is averaged;
the samples then go through the merged block. `offdiagonal` is .95. λ is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method
from semerge.methods.matrices import Others
from semerge.methods.regmean import Offdiagonal, regress
from semerge.methods.samples import COUNT, Count

if TYPE_CHECKING:
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors


@method(
    "regmean_pp", title="RegMean++", paper="arXiv 2508.03121", needs="inputs", scale=1.0, place=42
)
def regmean_pp(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    offdiagonal: Offdiagonal = 0.95,
    others: Others = "mean",
) -> TaskVectors:
    """RegMean block by block, on what the blocks that are merged already make of the samples."""
    return regress(vectors, samples, per_task, offdiagonal, others, on_merged=True)
