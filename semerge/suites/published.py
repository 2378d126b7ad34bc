"""Accuracies that others have published for the checkpoints of a family, in percent.

A family is a set of checkpoints: figures of one say nothing about another, so a suite is compared
with its own family alone. All have the task given (the oracle head). Sources: FusionBench's
documentation (docs/modelpool/clip_vit.md, gpt2_classification.md at 54c9e8c), and for the
AdaMerging lineage the table of WUDI-Merging's README. SE-Merging's own averages (arXiv 2506.18135)
come without a word on the checkpoints; they stand in the families whose baselines its margins fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semerge.common import ASSETS, read_json, rendered


@dataclass(frozen=True)
class Family:
    """One set of checkpoints and what was measured on it."""

    title: str
    source: str
    tasks: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]  # method -> a figure a task, then the mean; one alone is it


FAMILIES = {
    name: Family(raw["title"], raw["source"], tuple(raw["tasks"]), raw["rows"])
    for name, raw in read_json(ASSETS / "published.json")["families"].items()
}
"""By the `family` of a suite.json."""
OWN = {
    "here: base": "base_oracle",
    "here: static merge": "static_oracle",
    "here: SE-Merging": "se_oracle",
    "here: experts": "expert",
}


def published_lines(
    family: str | None, found: Mapping[str, Mapping[str, float]], ran: str
) -> list[str]:
    """A family's table in text, with a run's own figures of the same tasks above it.

    found: task -> {"base_oracle", "static_oracle", "se_oracle", "expert", ...} as fractions. The
    average of the run stands there only where all of the family's tasks were run. ran: on what, in
    words: published figures are of whole test sets, which these need not be.
    """
    if family is None or family not in FAMILIES:
        return []
    known = FAMILIES[family]
    blank = [None] * len(known.tasks)
    rows: dict[str, Sequence[float | None]] = {}
    for name, column in OWN.items():
        values = [100 * found[t][column] if t in found else None for t in known.tasks]
        there = [value for value in values if value is not None]
        mean = sum(there) / len(there) if len(there) == len(values) else None
        rows[name] = [*values, mean]
    for name, figures in known.rows.items():
        rows[name] = [*blank, *figures] if len(figures) == 1 else figures
    wide, content = max(map(len, rows)), vars(known) | {"rows": rows}
    lines = rendered("published.txt", content, ran=ran, wide=wide)
    return [line.rstrip() for line in lines]
