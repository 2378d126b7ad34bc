"""The project's own examples as labelled sets of a suite."""

from __future__ import annotations

import numpy as np

from semerge.errors import UserError
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.pictures import Pictures
from semerge.evaluation.sets import Sets
from semerge.examples import Examples
from semerge.suites import Suite

EXAMPLES = "examples"
"""The split that bundled examples are said to be of."""


def example_sets(suite: Suite, examples: Examples) -> Sets:
    """Every bundled example of the suite's tasks, in the suite's order.

    A sample is called after the example's place in its section, as `examples/vision/3`.

    Raises:
        UserError: there is no example for this suite, or one has a label that its task has not.
    """
    section = "vision" if suite.modality == "image" else "text"
    sets = []
    for task in suite.tasks:
        found = [e for e in examples.of(suite.modality) if e.task == task.name]
        if not found:
            continue
        for e in found:
            if e.label not in task.classes:
                raise UserError(f"examples/{section}/{e.index}: {task.name} has no {e.label!r}.")
        files = tuple(e.file for e in found if e.file is not None)
        sets.append(
            LabelledSet(
                task.name,
                EXAMPLES,
                task.classes,
                np.array([task.classes.index(e.label) for e in found], dtype=np.int64),
                texts=() if files else tuple(e.text for e in found),
                texts_b=() if files else tuple(e.text_b for e in found),
                files=Pictures(files) if files else None,
                names=tuple(f"{EXAMPLES}/{section}/{e.index}" for e in found),
            )
        )
    if not sets:
        raise UserError(f"There are no bundled examples for {suite.name}.")
    rows = tuple(np.arange(len(s)) for s in sets)
    return Sets(f"bundled {EXAMPLES}", EXAMPLES, tuple(sets), rows, False)
