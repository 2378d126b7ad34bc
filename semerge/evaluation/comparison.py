"""Two configurations on the same labelled samples: who is right where, and the rows that differ.

    found = compare(Side(engine, sets, hard), Side(engine, sets, literal))
    for i in differing(found):
        a, b = found.rows[i]

Relies on `collect`, which evaluate and inspect run too, so every row is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TextIO

from semerge.data.labelled import Sets
from semerge.engine import Engine
from semerge.evaluation.collect import Collected, collect
from semerge.evaluation.figures import Row
from semerge.evaluation.inspection import ABOUT, Inspection, write_table
from semerge.evaluation.measure import Cancelled, Progress
from semerge.settings import Resolved

ALL, ONLY_A, ONLY_B, WRONG, EXPERT = "all", "only A", "only B", "both wrong", "expert"
KINDS = (ALL, ONLY_A, ONLY_B, WRONG, EXPERT)
"""Ways to differ: any; one is right and the other is not; both are wrong, each in its own way; they
are alike, but by another expert."""
SAME = ""
COLUMNS = {
    "se": "SE-Merging",
    "static": "Static Task Arithmetic",
    "base": "Base model",
    "expert": "The task's expert alone",
    "routing": "Right expert chosen",
}
"""What is counted of each side: the three models under one head, the task's expert, the routing."""
OF_SIDE = ("chosen", "answer", "right", "margin")
HEADER = (
    "id", "task", "label", "difference", "head",
    *(f"{side}_{name}" for side in "ab" for name in OF_SIDE),
    "text", "text_b",
    *(f"{side}_{name}" for side in "ab" for name in ABOUT),
)  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One configuration: an engine, labelled sets of its suite, and settings."""

    engine: Engine
    sets: Sets
    resolved: Resolved


@dataclass(frozen=True)
class Comparison:
    """The rows of both."""

    a: Inspection
    b: Inspection

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Numbers of the rows in `a` and in `b` of the same sample."""
        where = {row.id: i for i, row in enumerate(self.b.rows)}
        return tuple((i, where[row.id]) for i, row in enumerate(self.a.rows) if row.id in where)

    @cached_property
    def rows(self) -> tuple[tuple[Row, Row], ...]:
        """A's row and B's row of each pair."""
        return tuple((self.a.rows[a], self.b.rows[b]) for a, b in self.pairs)

    @property
    def sets(self) -> Sets:
        """The samples, as A's suite has them."""
        return self.a.sets

    @property
    def complete(self) -> bool:
        """Nothing was left out by a cancel."""
        return self.a.complete and self.b.complete


def compare(
    a: Side,
    b: Side,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    so_far: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Run both. Two settings of one engine and set take one run, so that a cancel keeps what is
    done in both; otherwise A runs before B, and the samples that both have are compared.

    progress gets (runs of a sample done, in all); so_far what can be compared after each batch.
    Raises UserError as `collect` does.
    """
    together = a.engine is b.engine and a.sets is b.sets
    total = a.sets.total if together else a.sets.total + b.sets.total

    def told(before: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(before + done, total)

    settings = [a.resolved, b.resolved] if together else [b.resolved]
    first = None if together else collect(a.engine, a.sets, [a.resolved], told(0), cancelled)
    of_a, of_b = (partial(Inspection.of, s.engine, s.sets, s.resolved) for s in (a, b))

    def paired(found: Collected) -> Comparison:
        return Comparison(of_a(first or found), of_b(found, len(settings) - 1))

    tell = None if so_far is None else lambda found: so_far(paired(found))
    before = len(first.places) if first else 0
    return paired(collect(b.engine, b.sets, settings, told(before), cancelled, tell))


# ---- what differs -------------------------------------------------------------------------------


def difference(a: Row, b: Row, head: str = "routed") -> str:
    """A key of KINDS but ALL, or SAME. Answers are read with the head of the chosen expert
    (`routed`: a wrong expert is then a wrong answer) or of the sample's own task (`oracle`)."""
    right, also = a.right(f"se_{head}"), b.right(f"se_{head}")
    if right != also:
        return ONLY_A if right else ONLY_B
    if not right and getattr(a, f"se_{head}") != getattr(b, f"se_{head}"):
        return WRONG
    return SAME if a.chosen == b.chosen else EXPERT


def differing(found: Comparison, head: str = "routed", kind: str = ALL) -> tuple[int, ...]:
    """Numbers of the pairs that differ in this way, in the order of the sets."""
    kinds = [difference(a, b, head) for a, b in found.rows]
    return tuple(i for i, own in enumerate(kinds) if own != SAME and kind in (ALL, own))


def right(found: Comparison, head: str = "routed") -> dict[str, tuple[int, int]]:
    """How many of the pairs each side has right, by the keys of COLUMNS."""
    counts = {}
    for name in COLUMNS:
        column = name if name in ("expert", "routing") else f"{name}_{head}"
        hits = [(a.right(column), b.right(column)) for a, b in found.rows]
        counts[name] = (sum(a for a, _ in hits), sum(b for _, b in hits))
    return counts


# ---- export -------------------------------------------------------------------------------------


def write_csv(found: Comparison, file: TextIO, head: str = "routed", kind: str = ALL) -> None:
    """The pairs that differ in this way as CSV with a header; see `inspection.cell`."""
    write_table(file, HEADER, records(found, head, kind))


def records(found: Comparison, head: str = "routed", kind: str = ALL) -> Iterator[dict[str, Any]]:
    """The pairs that differ in this way as dictionaries with the keys of HEADER."""
    origins = [found.a.about(), found.b.about()]
    for i in differing(found, head, kind):
        a, b = found.rows[i]
        text, text_b = found.a.text(found.pairs[i][0])
        record = {
            "id": a.id,
            "task": a.task,
            "label": a.label,
            "difference": difference(a, b, head),
            "head": head,
            "text": text,
            "text_b": text_b,
        }
        for side, row, origin in zip("ab", (a, b), origins, strict=True):
            of_side = {name: origin[name] for name in ABOUT} | {
                "chosen": row.chosen,
                "answer": getattr(row, f"se_{head}"),
                "right": row.right(f"se_{head}"),
                "margin": row.margin,
            }
            record |= {f"{side}_{name}": value for name, value in of_side.items()}
        yield record
