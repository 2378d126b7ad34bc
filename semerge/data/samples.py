"""The samples that some methods are made from: of each task, and none that is evaluated.

They are those of the split `validation`, which is cut from `train` and enters no training, or of
what is left of `train` where `validation` is evaluated itself; never of `test`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.common import UserError, content_key, listed
from semerge.data.batches import prepared
from semerge.data.labelled import SPLIT_SEED, LabelledSet
from semerge.data.sets import (
    EXAMPLES,
    GENERATED,
    HUB,
    names_no_task,
    rendered_tasks,
    suite_sets,
)
from semerge.methods.samples import Samples, Source, TaskSamples
from semerge.models import Models
from semerge.suites import Suite
from semerge.suites.class_names import Notice


def source(
    suite: Suite,
    data: str | Path,
    evaluated: str = "test",
    notice: Notice = lambda text: None,
) -> Source:
    """What `load_engine` takes for methods that are made from samples. The sets are read now.

    data: as `suite_sets` takes it. evaluated: the split that the samples must not be of. Raises
    UserError where there is no such folder, it has nothing to cut validation from, or it lacks a
    task of the suite.
    """
    split = "train" if evaluated == "validation" else "validation"
    sets = suite_sets(suite, data, split, notice=notice).sets
    missing = set(suite.task_names) - {s.task for s in sets}
    if missing:
        names = [name for name in suite.task_names if name in missing]
        raise UserError(
            f"{data} holds no {listed(names)}, and a method that is made from samples needs some "
            "of every task."
        )
    shuffled = [_shuffled(s) for s in sets]
    return partial(_samples, shuffled, content_key({s.task: s.sha256() for s in shuffled}))


def has_source(suite: Suite, data: str | Path) -> bool:
    """Whether validation can be cut from the data: a folder with `train` of every task, rendered
    tasks or sets of the hub; no examples, and nobody's own labelled files."""
    if str(data) in (GENERATED, HUB):
        return True
    if str(data) == EXAMPLES or names_no_task(suite, data):
        return False
    rendered = rendered_tasks(suite)
    names = [name for name in suite.task_names if name not in rendered]
    return all(any((Path(data) / name).glob("train.*")) for name in names)


def _shuffled(samples: LabelledSet) -> LabelledSet:
    """A file may be sorted by class; the first of a shuffled one are a fair choice."""
    random = np.random.default_rng([SPLIT_SEED, crc32(samples.task.encode())])
    return samples.take(random.permutation(len(samples)))


def _samples(sets: list[LabelledSet], sha256: str, models: Models, labelled: bool) -> Samples:
    def one(samples: LabelledSet) -> TaskSamples:
        def read(rows: object) -> Batch:
            return models.place(prepared(models.backbone, samples, rows))  # type: ignore[arg-type]

        labels: Tensor = torch.from_numpy(samples.labels).to(models.device)
        head = models.heads[samples.task]
        return TaskSamples(len(samples), read, head, labels if labelled else None)

    return Samples(models.backbone, tuple(map(one, sets)), sha256)
