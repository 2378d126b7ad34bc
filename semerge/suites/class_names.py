"""Class names as different hands write them: which class of a suite a name means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from semerge.common import UserError
from semerge.suites.suite import Task

Notice = Callable[[str], None]
Label = str | int
SEPARATORS = "_-/"
"""Read as spaces: a folder can't be called "50 km/h"."""
_NUMBER = re.compile(r"(label_)?0*(\d{1,9})(\.0*)?", re.ASCII | re.IGNORECASE)


def find_class(classes: Sequence[str], name: str) -> int | None:
    """The place of `name` in `classes`, by the same name or else by the only one that differs in
    nothing but case, accents' spelling, spaces and separators; None where there is none."""
    if classes.count(name) == 1:
        return classes.index(name)
    names = [_plain(other) for other in classes]
    plain = _plain(name)
    return names.index(plain) if names.count(plain) == 1 else None


def class_of(task: Task, name: str) -> int | None:
    """As `find_class`; or the class that has this as another name."""
    place = find_class(task.classes, name)
    if place is not None or not task.aliases:
        return place
    alias = find_class(tuple(task.aliases), name)
    return None if alias is None else task.classes.index(tuple(task.aliases.values())[alias])


def find_label(task: Task, label: Label, numbers: bool = True) -> int | None:
    """The class that a label of a table means: by its name, 1.0 standing for 1; or by its place, as
    LABEL_1, or, if `numbers`, as 1 where no class is called by a number. None where there is none.
    """
    text = str(label).strip()
    place, number = class_of(task, text), _NUMBER.fullmatch(text)
    if place is not None or number is None:
        return place
    if not number[1]:
        place = class_of(task, number[2])
        numbers &= isinstance(label, int) or not any(c.strip().isdecimal() for c in task.classes)
    if place is None and numbers and int(number[2]) < len(task.classes):
        place = int(number[2])
    return place


def in_suite_order(names: Sequence[str], task: Task, where: str, notice: Notice) -> tuple[int, ...]:
    """The place in the suite of each class of a labelled set, in the order of the set's labels.

    Other names than the suite's say nothing of the order, so theirs is taken to be the suite's,
    and `notice` is told; unless one that is the suite's shows that it is not.

    where: the file or the set that names the classes. Raises UserError for another count, a name
    twice, or other names in another order.
    """
    count = len(task.classes)
    if len(names) != count:
        raise UserError(
            f"{where} names {len(names)} classes and {task.name} has {count} in the suite."
        )
    places = [class_of(task, name) for name in names]
    if None not in places:
        known = tuple(place for place in places if place is not None)
        if len(set(known)) < count:
            raise UserError(f"{where} names a class of {task.name} twice.")
        return known
    if any(place not in (None, i) for i, place in enumerate(places)):
        raise UserError(f"{where} names its classes otherwise than suite.json, in another order.")
    other = places.index(None)
    notice(
        f"{where} calls the class {task.classes[other]!r} {names[other][:40]!r}; its order is "
        "taken to be the suite's."
    )
    return tuple(range(count))


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c not in SEPARATORS and not c.isspace())
