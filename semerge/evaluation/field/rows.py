"""The table row by row: a method, a probe and a preset, what it gets right, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from semerge.backbones import Batch
from semerge.data.labelled import Sets
from semerge.engine import Engine
from semerge.evaluation.collect import Collected
from semerge.evaluation.dynamic import DYNAMICS
from semerge.evaluation.field import costs
from semerge.evaluation.field.paired import Bools, paired
from semerge.evaluation.field.rivals import Rival, Way, keys_of, settings_of
from semerge.evaluation.inspection import Inspection, figures
from semerge.methods import METHODS, NEEDS
from semerge.probes import PROBES

DESCRIBED = ("method", "probe", "layer", "pool", "preset", "static_lambda", "probe_lambda")
"""The settings that a row tells."""
COUNTED = ("tasks", "average_all", "average_real", "recovery")
"""The figures that it has."""
STORED = {"statistics": "samples of each task", "displacements": "unlabelled"}
"""What a probe's needs are made from."""


@dataclass(frozen=True)
class Absent:
    """A row that can't be had, and why, in a sentence or a clause. probe: None for all of them."""

    method: str
    reason: str
    probe: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row of the table."""
        own = DYNAMICS[self.method].title if self.method in DYNAMICS else ""
        return {**vars(self), "title": own or METHODS.title(self.method)}


class Table:
    """The rows as they are measured, all on the same samples of one engine's suite."""

    def __init__(self, engine: Engine, sets: Sets) -> None:
        self._engine, self._sets = engine, sets
        self._rows: list[dict[str, Any]] = []
        self._right: list[Bools | None] = []  # by row: which samples it gets right, routed
        self._told: set[int] = set()  # rows that know each sample's task
        self._tasks = np.zeros(0, dtype=np.int64)  # of these samples
        self._times: dict[tuple[object, ...], float] = {}

    def extend(self, group: Iterable[Way | Absent], found: Collected, column: int = 0) -> None:
        """Rows of one method: those that were measured are the columns of what was collected, from
        `column` on."""
        for one in group:
            if isinstance(one, Absent):
                self._rows.append(one.to_dict())
                self._right.append(None)
            else:
                self._add(one, found, column)
                column += 1

    def _add(self, way: Way, found: Collected, column: int) -> None:
        engine, resolved = self._engine, settings_of(way)
        inspection = Inspection.of(engine, self._sets, resolved, found, column)
        counted = figures(inspection)
        row: dict[str, Any] = {name: getattr(resolved, name) for name in DESCRIBED}
        row |= {"title": METHODS.title(resolved.method), "note": ""}
        row |= {name: counted[name] for name in COUNTED}
        row |= {
            "passes": costs.passes(engine, way),
            "ms": self._milliseconds(way),
            "merge": self._merge(resolved.method),
            "bytes": costs.held(engine, way),
            "data": data_of(way),
        }
        if isinstance(way, Rival):
            row |= _changed(way, row)
            if way.told:
                self._told.add(len(self._rows))
        self._rows.append(row)
        self._right.append(np.array([one.right("se_routed") for one in inspection.rows]))
        self._tasks = np.array([engine.suite.index(one.task) for one in inspection.rows])

    def rows(self) -> tuple[dict[str, Any], ...]:
        """All rows, each that was measured with `against`: how it differs from the best other one,
        which is the row with the highest `se_routed`, averaged over tasks, that is not itself and
        was not told the task. Of equals it is the first. None where there is no other.

        against: the rival's place in the table as `row`, and the fields of `Paired`.
        """
        right = {i: one for i, one in enumerate(self._right) if one is not None}
        routed = {
            i: self._rows[i]["average_all"]["se_routed"] for i in right if i not in self._told
        }

        def against(i: int) -> dict[str, Any] | None:
            others = [other for other in routed if other != i]
            if not others:
                return None
            best = max(others, key=routed.__getitem__)
            return {"row": best, **asdict(paired(right[i], right[best], self._tasks))}

        return tuple(
            row | {"against": against(i)} if i in right else row for i, row in enumerate(self._rows)
        )

    @cached_property
    def _samples(self) -> list[Batch]:
        return costs.few(self._engine, self._sets.sets)

    def _milliseconds(self, way: Way) -> float:
        """Once for all rows that run the same models: no pooling or preset changes that, but the
        preset `hard`, which merges nothing."""
        resolved, keys = settings_of(way), keys_of(way)
        name = way.name if isinstance(way, Rival) else ""
        at = tuple((key.probe, key.layer, key.probe_lambda) for key in keys)
        alike = (name, resolved.method, resolved.hard, resolved.quantise, at)
        if alike not in self._times:
            self._times[alike] = costs.milliseconds(self._engine, way, self._samples)
        return self._times[alike]

    def _merge(self, method: str) -> dict[str, Any]:
        """Seconds to make what is merged, or to read it where an earlier run had made it."""
        variant = self._engine.variant(method)
        return {"seconds": variant.seconds, "stored": variant.stored}


def data_of(way: Way) -> list[str]:
    """What a row needs beside the weights; nothing of most."""
    needs, rival = METHODS[settings_of(way).method].needs, way if isinstance(way, Rival) else None
    found = [NEEDS[needs]] if needs and not (rival and rival.alone) else []
    if rival and rival.entry is not None and rival.entry.needs:
        found.append(NEEDS[rival.entry.needs])
    for key in keys_of(way):
        found += [STORED[need] for need in PROBES[key.probe].needs if need in STORED]
    if rival and rival.told:
        found.append("the task of each sample")
    return list(dict.fromkeys(found))


def _changed(rival: Rival, row: dict[str, Any]) -> dict[str, Any]:
    """What of a rival's row is otherwise. One that answers alone has neither a static merge nor a
    preset, and one that is told no probe either; the others have no place where they probe."""
    nowhere = dict.fromkeys(("layer", "pool", "probe_lambda"))
    if not rival.alone:
        preset = ", ".join([rival.resolved.preset, *rival.resolved.changed])
        return {"probe": rival.name, "preset": preset, "note": rival.note, **nowhere}
    merged = ("static_oracle", "static_routed")

    def without(figures: dict[str, float]) -> dict[str, float]:
        return {name: x for name, x in figures.items() if name not in merged}

    return {
        "method": rival.name,
        "title": rival.title,
        "note": rival.note,
        **({} if rival.keys else nowhere | {"probe": None}),
        "preset": None,
        "static_lambda": None,
        "tasks": {task: without(figures) for task, figures in row["tasks"].items()},
        "average_all": without(row["average_all"]),
        "average_real": without(row["average_real"]),
        "recovery": {},
        "merge": None,
    }
