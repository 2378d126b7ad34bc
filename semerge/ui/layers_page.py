"""What the views of a diagnosis have in common: their content, and shares with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from semerge.suites import SUITES_FOLDER, Suite
from semerge.ui import words
from semerge.ui.markup import esc

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """top, below: HTML around the charts. charts: by name (heading as HTML, figure)."""

    top: str
    charts: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    below: str = ""


def sampled(diagnosis: Part) -> str:
    """What the figures were measured on, as one small line."""
    size, at = diagnosis["samples"], diagnosis["at"]
    text = (
        f"Measured on {size['test']:,} test samples, at most {size['a_task']} a task (seed "
        f"{size['seed']}), at the suite's defaults: probe {at['probe']}, {point(at)}, preset "
        f"{at['preset']}. What is chosen was chosen on {size['validation']:,} validation samples. "
        "Brackets are 95\u00a0% intervals."
    )
    return f'<p class="se-hint">{esc(text)}</p>'


def point(row: Part) -> str:
    """Layer, pooling and λ of one way to measure distances."""
    text = words.layer(row["layer"])
    if row["layer"] != row["pool"]:
        text += f", {words.POOLS[row['pool']]}"
    return text + (f", λ {row['probe_lambda']:g}" if row["probe_lambda"] else "")


def interval(row: Part, count: bool = True) -> str:
    """A share with its interval, and its number of samples."""
    if not row["n"]:
        return "no samples"
    text = f"{words.percent(row['share'])} ({bounds(row)}"
    return text + (f", n = {row['n']})" if count else ")")


def bounds(row: Part, between: str = " to ") -> str:
    """The 95 % interval of a share, in percent."""
    return f"{100 * row['low']:.1f}{between}{100 * row['high']:.1f}"


def title(suite: Suite, task: str) -> str:
    """A task's name for people."""
    names = suite.task_names
    return suite.tasks[names.index(task)].title if task in names else task


def fold(summary: str, content: str) -> str:
    """A part that opens on demand."""
    return f'<details class="se-more-figures"><summary>{esc(summary)}</summary>{content}</details>'


def named(suite: Suite) -> tuple[str, str]:
    """What a command calls a suite, and the folder it lies in; of one's own only a placeholder, as
    a page tells no path of the machine that it runs on."""
    folder = suite.folder.resolve()
    if folder == SUITES_FOLDER.resolve() / folder.name:
        return suite.name, f"assets/suites/{folder.name}"
    return "FOLDER", "FOLDER"
