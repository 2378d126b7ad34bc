"""What the Compare tab is asked at one moment, and the link that brings it back. No gradio here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semerge.evaluation.bundled_sets import EXAMPLES
from semerge.suites import Suite
from semerge.ui import compare_sides
from semerge.ui.compare_pair import Pair, pair_of
from semerge.ui.compare_rows import FIRST
from semerge.ui.compare_sides import Sides
from semerge.ui.inspect_choice import FOLDER, OWN_UPLOAD, UPLOAD
from semerge.ui.inspect_look import Look
from semerge.ui.links import button, of_source
from semerge.ui.sources import Source


@dataclass(frozen=True)
class Asked:
    """suite: of the input. source: empty where a row of a set is shown that is no example. key: of
    the comparison on screen, or "". pair: the set that the form names."""

    suite: Suite
    source: Source
    key: str
    look: Look
    sides: Sides
    pair: Pair

    @classmethod
    def of(
        cls, suite: Suite, source: Source, key: str, look: Look, sides: Sides, form: Sequence[Any]
    ) -> Asked:
        return cls(suite, source, key, look, sides, pair_of(sides, *form))


def row_source(pair: Pair, row: str) -> Source:
    """The example that a row is of; empty where the set is another one."""
    number = row.rpartition("/")[2]
    if pair.a.kind == EXAMPLES and number.isdecimal():
        return {"example": int(number)}
    return {}


def link_of(tab: str, asked: Asked, ran: bool) -> str:
    """The tab's "Copy link" button. ran: the comparison on screen is of this set and sides."""
    values, note = of_source(asked.source)
    choice = asked.pair.a
    values |= {"suite": asked.suite.name, **compare_sides.link_of(asked.sides)}
    values |= {"set": choice.kind, "limit": choice.limit or 0, **asked.look.link()}
    values["under"] = asked.look.head if asked.look.head != FIRST.head else None
    if choice.kind == FOLDER:
        values["data"] = choice.place.strip()
    if choice.kind == UPLOAD and choice.place:
        note = note or OWN_UPLOAD
    return button(tab, {**values, "run": 1 if ran else None}, note)
