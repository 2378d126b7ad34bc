"""Which labelled sets a suite is run on: a folder, rendered tasks, examples, the hub, a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from semerge.common import UserError, listed, quoted, reading
from semerge.data.hub import HUB, check_hub_data, hub_set
from semerge.data.labelled import (
    LabelledSet,
    Sets,
    balanced_rows,
    check_limit,
    check_pairs,
    check_split,
    read_set,
    tasks_in,
)
from semerge.data.uploads import unlabelled_set, uploaded_sets
from semerge.suites import Suite, Task
from semerge.suites.class_names import Notice, in_suite_order
from semerge.suites.examples import Examples, load_examples

GENERATED = "generated"
"""What `--data` says for the rendered tasks alone."""

GENERATED_COUNT = {"train": 4000, "validation": 500, "test": 1000}
"""Samples a rendered task has in each split."""

_RENDER_SPLIT = {"train": "train", "validation": "val", "test": "test"}


def suite_sets(
    suite: Suite,
    data: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    notice: Notice = lambda text: None,
) -> Sets:
    """The sets of a suite's tasks, in the suite's order.

    data: a folder, "generated" for the tasks that the project renders, or "hub" for the sets that a
    published suite names. Where a folder holds every real task of the suite, the rendered ones are
    added. Folders of tasks that the suite does not know are skipped with a notice. limit: at most
    so many samples a task, with the classes as even as they can be, seeded. Raises UserError where
    there is no such folder or split, nothing of this suite in it, or other classes.
    """
    check_split(split)
    check_limit(limit)
    rendered = rendered_tasks(suite)
    if str(data) == GENERATED:
        if not rendered:
            raise UserError(f"Suite {suite.name} has no rendered tasks; name a data folder.")
        in_folder: list[str] = []
        made, words = rendered, GENERATED
    elif str(data) == HUB:
        check_hub_data(suite, split, notice)
        in_folder, made, words = [], [], HUB
    else:
        folder = Path(data)
        in_folder = _known(suite, folder, notice)
        real = {t.name for t in suite.tasks if t.name not in rendered}
        made = [t for t in rendered if t not in in_folder] if real <= set(in_folder) else []
        words = f"{data} + {GENERATED}: {', '.join(made)}" if made else str(data)
    sets, rows = [], []
    for task in suite.tasks:
        if task.name in in_folder:
            names = Path(data) / task.name / "classes.json"
            read = read_set(Path(data), task.name, split)
            whole = _renumbered(read, task, str(names), notice)
        elif task.name in made:
            whole = generated_set(task.name, split, suite.side, limit)
        elif words == HUB and task.data:
            found = hub_set(task, split, suite.modality, notice)
            whole = _renumbered(found, task, task.data["id"], notice)
        else:
            continue
        if whole.visual != (suite.modality == "image"):
            wanted = "images" if suite.modality == "image" else "sentences"
            raise UserError(f"{whole.task}: suite {suite.name} needs {wanted}.")
        check_pairs(task, whole)
        keep = np.arange(len(whole)) if limit is None else balanced_rows(whole.labels, limit, seed)
        # named as in suite.json, whose class names may be worded for people
        sets.append(replace(whole.take(keep), classes=task.classes))
        rows.append(keep)
    complete = len(sets) == len(suite.tasks) and limit is None
    return Sets(words, split, tuple(sets), tuple(rows), complete)


def generated_set(task: str, split: str, side: int, limit: int | None = None) -> LabelledSet:
    """A rendered task's split. A smaller set is the beginning of the whole one."""
    from semerge.data import rendered

    count = min(GENERATED_COUNT[split], limit or GENERATED_COUNT[split])
    x, y = rendered.dataset(task, count, rendered.split_seed(_RENDER_SPLIT[split]), side)
    return LabelledSet(task, split, rendered.CLASSES[task], y, images=x)


def rendered_tasks(suite: Suite) -> list[str]:
    """Names of the suite's tasks that the project renders: what "generated" is made of."""
    if suite.modality != "image":
        return []
    from semerge.data import rendered

    return [t.name for t in suite.tasks if not t.real and t.name in rendered.GENERATED]


def _known(suite: Suite, folder: Path, notice: Notice) -> list[str]:
    found = tasks_in(folder)
    known = [name for name in found if name in suite.task_names]
    for name in found:
        if name not in known:
            notice(f"{name}: no task of {suite.name}, skipped.")
    if not known:
        own = (
            ""
            if suite.modality == "image"
            else "; sentences of your own are read from a CSV or JSON file"
        )
        raise UserError(
            f"{folder} holds no task of {suite.name}, as TASK/classes.json with TASK/test.npz or "
            f"TASK/test.jsonl.gz; its tasks are {listed(suite.task_names)}{own}."
        )
    return known


def _renumbered(found: LabelledSet, task: Task, where: str, notice: Notice) -> LabelledSet:
    """Labels as places of their classes in the suite; `where` is what names the classes."""
    if found.classes == task.classes:
        return found
    places = in_suite_order(found.classes, task, where, notice)
    return replace(found, labels=np.array(places)[found.labels], classes=task.classes)


# ---- the bundled examples ------------------------------------------------------------------------

EXAMPLES = "examples"
"""The split that bundled examples are said to be of."""


def example_sets(suite: Suite, examples: Examples) -> Sets:
    """Every bundled example of the suite's tasks, in the suite's order. A sample is called after
    the example's place in its section, as `examples/vision/3`. Raises UserError where there is no
    example for this suite, or one has a label that its task has not."""
    section = "vision" if suite.modality == "image" else "text"
    sets = []
    for task in suite.tasks:
        found = [e for e in examples.of(suite.modality) if e.task == task.name]
        if not found:
            continue
        for e in found:
            if e.label not in task.classes:
                raise UserError(
                    f"examples/{section}/{e.index}: {task.name} has no {quoted(e.label)}."
                )
        labels = [task.classes.index(e.label) for e in found]
        names = [f"{EXAMPLES}/{section}/{e.index}" for e in found]
        samples = [(e.text, e.text_b) if e.file is None else e.file for e in found]
        sets.append(LabelledSet.of(task, EXAMPLES, labels, names, samples))
    if not sets:
        raise UserError(f"There are no bundled examples for {suite.name}.")
    rows = tuple(np.arange(len(s)) for s in sets)
    return Sets(f"bundled {EXAMPLES}", EXAMPLES, tuple(sets), rows, False)


# ---- every labelled set, by one word -------------------------------------------------------------


def chosen_sets(
    suite: Suite,
    data: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    task: str | None = None,
    skip_damaged: bool = False,
    notice: Notice = lambda text: None,
) -> Sets:
    """The samples of `data`: "examples" for the bundled ones, a file or a folder of class folders
    as `uploads` reads them, else what `suite_sets` takes: a data folder, "generated", or "hub".

    split: where there are several. task: of the samples of a file or of class folders; None to
    infer it. limit: at most so many samples a task, class-balanced and seeded. skip_damaged: pass
    over pictures of theirs that can't be read. Raises UserError where there is no such set, or it
    does not fit the suite.
    """
    check_limit(limit)
    own = names_no_task(suite, data)
    if task is not None and not own:
        raise UserError("A task can be named for a file or class folders; others say their own.")
    if own:
        check_split(split)
        return uploaded_sets(
            suite,
            data,
            task,
            split=split,
            limit=limit,
            seed=seed,
            skip_damaged=skip_damaged,
            notice=notice,
        )
    if str(data) == EXAMPLES:
        found = example_sets(suite, load_examples())
        return found if limit is None else subsample(found, limit, seed)
    return suite_sets(suite, data, split, limit, seed, notice)


def names_no_task(suite: Suite, data: str | Path) -> bool:
    """Whether `data` is a file, or a folder of class folders: the labels tell the task."""
    if str(data) in (EXAMPLES, GENERATED, HUB):
        return False
    with reading(data):
        folder = suite.modality == "image" and Path(data).is_dir()
        return Path(data).is_file() or (folder and not tasks_in(Path(data)))


def unlabelled_sets(
    suite: Suite,
    place: str | Path,
    limit: int | None = None,
    seed: int = 0,
    skip_damaged: bool = False,
    notice: Notice = lambda text: None,
) -> tuple[LabelledSet, ...]:
    """Samples for what asks for no label: the split `test` of a data folder, or what
    `uploads.unlabelled_set` reads. limit: at most so many in all, of the tasks alike, seeded."""
    with reading(place):
        data_folder = Path(place).is_dir() and tasks_in(Path(place))
    if not data_folder:
        return (unlabelled_set(suite, place, limit, seed, skip_damaged, notice),)
    check_limit(limit)
    sets = suite_sets(suite, place, notice=notice).sets
    of = np.repeat(np.arange(len(sets)), [len(s) for s in sets])
    rows = np.concatenate([np.arange(len(s)) for s in sets])
    chosen = balanced_rows(of, limit or len(of), seed)
    taken = [s.take(rows[chosen][of[chosen] == i]) for i, s in enumerate(sets)]
    return tuple(s for s in taken if len(s))


def subsample(sets: Sets, limit: int, seed: int) -> Sets:
    """At most `limit` samples a task, class-balanced and seeded."""
    kept = [balanced_rows(s.labels, limit, seed) for s in sets.sets]
    return replace(
        sets,
        sets=tuple(s.take(rows) for s, rows in zip(sets.sets, kept, strict=True)),
        rows=tuple(rows[k] for rows, k in zip(sets.rows, kept, strict=True)),
        complete=False,
    )
