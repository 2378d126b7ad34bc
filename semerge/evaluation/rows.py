"""One row a sample: what the app's table, the CSV and every figure are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One labelled sample and every model's answer to it.

    `*_oracle` answers come from the head of the sample's own task, `*_routed` ones from the head
    of the chosen expert; all are class names of that head.
    """

    id: str  # task/split/number; the number is the row in the split's file or cut
    task: str
    label: str
    chosen: str  # the expert that was recognised
    margin: float
    entropy: float
    base_oracle: str
    base_routed: str
    static_oracle: str
    static_routed: str
    se_oracle: str
    se_routed: str
    expert: str  # the task's own expert with its own head

    def right(self, column: str) -> bool:
        """Whether a column is right. In a routed column a wrong expert is a wrong answer, even
        where its head happens to have a class of the same name."""
        if column == "routing":
            return self.chosen == self.task
        answer: str = getattr(self, column)
        if column.endswith("_routed") and self.chosen != self.task:
            return False
        return answer == self.label


def by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows grouped by task, tasks in the order in which they first appear."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.task, []).append(row)
    return groups
