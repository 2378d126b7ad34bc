"""What one result panel shows: a Result as its JSON object, with the names of its suite.

The panel reads the JSON object of `predict --json` rather than the Result itself, so that a stored
file, a live answer and a row of an evaluation are shown by the same code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semerge.suites import Suite
from semerge.suites.examples import Example


@dataclass(frozen=True)
class View:
    """A Result with everything that its display needs.

    result: the JSON object of design section 4.
    example: the example that was asked about, if it was one: then the right answer is known.
    opening: True for the example that the page opens with.
    """

    result: Mapping[str, Any]
    suite: Suite
    example: Example | None = None
    opening: bool = False

    @property
    def tasks(self) -> list[str]:
        return list(self.result["tasks"])

    @property
    def titles(self) -> list[str]:
        """Names for people, in the order of `tasks`."""
        return [self.title(task) for task in self.tasks]

    def title(self, task: str) -> str:
        known = self.suite.task_names
        return self.suite.tasks[known.index(task)].title if task in known else task

    @property
    def chosen(self) -> int:
        """Position of the chosen expert in `tasks`."""
        return self.tasks.index(self.result["chosen"])

    @property
    def routed(self) -> bool:
        """True where the chosen expert's head answered, False where the user named another."""
        return bool(self.result["head"] == self.result["chosen"])

    def column(self, key: str) -> Sequence[float | None]:
        values: Sequence[float | None] = self.result[key]
        return values

    def others(self, key: str) -> list[float]:
        """A column without the chosen expert's value, and without those that are missing."""
        return [value for value, _ in self._others(key)]

    def runner_up(self, key: str) -> tuple[float, str] | None:
        """The highest of the `others`, with its expert's name for people."""
        return max(self._others(key), default=None)

    def _others(self, key: str) -> list[tuple[float, str]]:
        both = zip(self.column(key), self.titles, strict=True)
        rest = [pair for i, pair in enumerate(both) if i != self.chosen]
        return [(value, title) for value, title in rest if value is not None]

    @property
    def download(self) -> str:
        """The JSON object as a data URL."""
        text = json.dumps(self.result, indent=2, ensure_ascii=False, allow_nan=False)
        data = base64.b64encode(text.encode("utf-8")).decode("ascii")
        return f"data:application/json;base64,{data}"

    def answer(self, kind: str) -> str:
        """The best label of `se`, `static`, `expert` or `base`."""
        return str(self.result["predictions"][kind][0]["label"])

    @property
    def fast(self) -> bool:
        """Whether the fast mode answered."""
        # get: the Layers tab's own routing does not tell, nor do older files
        return bool(self.result.get("fast"))

    @property
    def estimated(self) -> bool:
        """Whether some of the distances are the fast mode's estimates."""
        return bool(self.result.get("estimated"))

    @property
    def same(self) -> bool:
        """True where SE-Merging and the static merge give the same label."""
        return self.answer("se") == self.answer("static")

    @property
    def label(self) -> str | None:
        """The right answer, where it is known and the head that answered can give it."""
        if self.example is None:
            return None
        return self.example.label

    def right(self, kind: str) -> bool | None:
        """Whether a column is right: None where the right answer is not known.

        Two tasks may share a class name, so the head has to be the right task's as well.
        """
        if self.example is None:
            return None
        return self.result["head"] == self.example.task and self.answer(kind) == self.example.label

    @property
    def routed_right(self) -> bool | None:
        """Whether the chosen expert is the example's own: None where that is not known."""
        return None if self.example is None else self.result["chosen"] == self.example.task
