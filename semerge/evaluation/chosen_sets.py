"""Every labelled set that can be asked for, by one word: what `--data` and the Inspect tab take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from semerge.errors import UserError
from semerge.evaluation.bundled_sets import EXAMPLES, example_sets
from semerge.evaluation.class_names import Notice
from semerge.evaluation.data import balanced_rows
from semerge.evaluation.sets import Sets, check_limit, suite_sets
from semerge.evaluation.uploads import uploaded_sets
from semerge.examples import load_examples
from semerge.suites import Suite


def chosen_sets(
    suite: Suite,
    data: str | Path,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    task: str | None = None,
    notice: Notice = lambda text: None,
) -> Sets:
    """The samples of `data`: "examples" for the bundled ones, a file as `uploads` reads it, else
    what `suite_sets` takes: a data folder, "generated", or "hub".

    split: of a data folder. task: of a file's samples; None to infer it. limit: at most so many
    samples a task, class-balanced and seeded.

    Raises:
        UserError: there is no such set, or it does not fit the suite.
    """
    try:
        file = Path(data).is_file()
    except OSError as error:  # too long a name, or no right to look
        raise UserError(f"{data} can't be read: {error.strerror}.") from None
    if task is not None and not file:
        raise UserError("A task can be named for a file alone; a folder says its tasks itself.")
    if str(data) == EXAMPLES:
        found = example_sets(suite, load_examples())
    elif file:
        found = uploaded_sets(suite, data, task)
    else:
        return suite_sets(suite, data, split, limit, seed, notice)
    check_limit(limit)
    return found if limit is None else subsample(found, limit, seed)


def subsample(sets: Sets, limit: int, seed: int) -> Sets:
    """At most `limit` samples a task, class-balanced and seeded."""
    kept = [balanced_rows(s.labels, limit, seed) for s in sets.sets]
    return replace(
        sets,
        sets=tuple(s.take(rows) for s, rows in zip(sets.sets, kept, strict=True)),
        rows=tuple(rows[k] for rows, k in zip(sets.rows, kept, strict=True)),
        complete=False,
    )
