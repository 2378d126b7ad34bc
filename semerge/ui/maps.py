"""The map: where an input, or each sample of a set, lies among the samples of its suite.

`Map` is what is known of a suite's map, `Spot` where one input lies on it; `drawing` says where
everything stands, in units of the picture's own, and `assets/templates/map.html` draws it. No
gradio here, and torch only once there is an engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from semerge.inputs import thumbnail
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.suites.report import read_diagnosis
from semerge.ui import words
from semerge.ui.charts import MARKS
from semerge.ui.scene import SHAPES

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine
    from semerge.evaluation.plane import Looks, Plane

NEAREST = 3
"""Examples that are shown beside an input."""
MOST = 600
"""Samples of a set that are drawn."""
Place = tuple[float, float]


class Near(NamedTuple):
    """An example near an input: its number in its section, how far its representation is, and
    where it lies on the map."""

    example: int
    distance: float
    place: Place


class Spot(NamedTuple):
    """Where an input lies; share: of its squared distance from the middle, what the map shows;
    nearest: examples by the distance of their whole representation, the nearest first."""

    place: Place
    share: float
    nearest: tuple[Near, ...]


@dataclass(frozen=True)
class Map:
    """Of one suite. stored: whether the plane and its samples are the report's, or else those of
    the bundled examples. tasks, places: of these samples. examples, rows: numbers of the bundled
    examples and their representations (E, K)."""

    looks: Looks
    plane: Plane
    stored: bool
    tasks: tuple[str, ...]
    places: tuple[Place, ...]
    examples: tuple[int, ...]
    rows: Tensor

    @classmethod
    def make(
        cls, engine: Engine, examples: Sequence[Example], samples: Sequence[Any]
    ) -> Map | None:
        """None where there is nothing to make a map of: no axes in the report, and too few
        examples. examples: of the suite's tasks; samples: the same as the engine takes them."""
        import torch

        from semerge.evaluation.plane import Looks, Plane

        looks = Looks.usual(engine)
        found = _of_report(engine)
        if found is not None:
            plane, looks, tasks, places = found
        rows = torch.cat(
            [looks.at(batch_of(engine, sample)) for sample in samples] or [torch.empty(0, 1)]
        )
        if found is None:
            if len(rows) <= NEAREST:
                return None
            plane = Plane.of(rows)
            tasks = tuple(example.task for example in examples)
            places = _pairs(plane.places(rows))
        numbers = tuple(example.index for example in examples)
        return cls(looks, plane, found is not None, tasks, places, numbers, rows)

    def spot(self, batch: Any, without: int | None = None) -> Spot:
        """Of one input, a batch of one. without: the number of the example that it is."""
        row = self.looks.at(batch)
        (place,) = _pairs(self.plane.places(row))
        share = self.plane.share(row[0])
        if not len(self.rows):
            return Spot(place, share, ())
        distances = (self.rows - row).norm(dim=1)
        order = distances.argsort(stable=True).tolist()
        all_places = _pairs(self.plane.places(self.rows))
        nearest = [
            Near(self.examples[i], float(distances[i]), all_places[i])
            for i in order
            if self.examples[i] != without
        ]
        return Spot(place, share, tuple(nearest[:NEAREST]))

    @property
    def count(self) -> str:
        """How many samples it is made of, and what they are."""
        kind = "test samples" if self.stored else "bundled examples"
        return f"{words.whole(len(self.places))} {kind}"


def batch_of(engine: Engine, sample: Any) -> Any:
    """An input prepared, where the weights are."""
    from semerge.engine import unpack

    return engine.models.place(engine.backbone.preprocess(*unpack(sample, engine.suite)[0]))


def _of_report(
    engine: Engine,
) -> tuple[Plane, Looks, tuple[str, ...], tuple[Place, ...]] | None:
    """Plane, what it looks at, and the samples' tasks and places; None where the report has none
    for these weights."""
    from semerge.evaluation.plane import Looks, Plane

    try:
        diagnosis = read_diagnosis(engine.suite)
        if diagnosis is None or diagnosis["at"]["weights_sha256"] != engine.weights_sha256():
            return None
        found = diagnosis["map"]
        plane = Plane.read(found)
        if plane is None:
            return None
        places = tuple((float(x), float(y)) for x, y in zip(found["x"], found["y"], strict=True))
        tasks = tuple(map(str, found["tasks"]))
        if len(tasks) != len(places):
            return None
        point, scale = (found["layer"], found["pool"]), float(diagnosis["at"]["probe_lambda"])
        return plane, Looks(engine, point, scale), tasks, places
    except (ValueError, LookupError, TypeError):
        return None  # a report is no part of the model: the suite works without it


def _pairs(places: Tensor) -> tuple[Place, ...]:
    return tuple((x, y) for x, y in places.tolist())


# --------------------------------------------------------------------------------------------------
# Where everything stands, in units: both axes have one scale, and the second one points up.

WIDTH, HEIGHT, EDGE = 560.0, 400.0, 24.0
FEW = 120  # samples whose marks are large
ROOM = 30.0  # between the middles of this input's mark and of two numbers


@dataclass(frozen=True)
class Mark:
    """A sample. number: of its row, where it has one. on: whether it is among those looked at."""

    x: float
    y: float
    task: int
    number: int | None = None
    on: bool = True

    @property
    def colour(self) -> int:
        return self.task % len(MARKS)


@dataclass(frozen=True)
class Drawing:
    """name: what its element ids begin with. own: this input. near: its nearest examples, and where
    the number of each has room. opened: the mark of the open row."""

    name: str
    marks: tuple[Mark, ...]
    own: Mark | None = None
    near: tuple[tuple[Mark, Place], ...] = ()
    opened: Mark | None = None

    width, height = WIDTH, HEIGHT

    @property
    def size(self) -> float:
        """Of a mark, over that in the picture of a Result: few samples have more room."""
        return 0.6 if len(self.marks) <= FEW else 0.42

    def of_task(self, task: int, on: bool) -> list[Mark]:
        return [mark for mark in self.marks if mark.task == task and mark.on is on]

    @property
    def parts(self) -> list[tuple[str, list[int]]]:
        """The nine parts of the map by name, row by row, with the rows that lie there."""
        high, wide = ("top", "middle", "bottom"), ("left", "centre", "right")
        found: dict[str, list[int]] = {f"{a} {b}": [] for a in high for b in wide}
        for mark in self.marks:
            if mark.number is not None:
                row = min(2, max(0, int(3 * mark.y / HEIGHT)))
                column = min(2, max(0, int(3 * mark.x / WIDTH)))
                found[f"{high[row]} {wide[column]}"].append(mark.number)
        return list(found.items())


def drawing(
    name: str,
    suite: Suite,
    samples: Iterable[tuple[str, Place]],
    numbers: Sequence[int] = (),
    on: Collection[int] | None = None,
    spot: Spot | None = None,
    near_tasks: Sequence[str] = (),
    row: int | None = None,
) -> Drawing:
    """samples: task and place of each. numbers: of their rows, in a set; on: of those that are
    looked at, None for all; row: of the open one. spot: of one input, with the tasks of its nearest
    examples."""
    known = {task: i for i, task in enumerate(suite.task_names)}
    given = [(known[task], place) for task, place in samples if task in known]
    extra = [spot.place, *(near.place for near in spot.nearest)] if spot else []
    at = _fit([*(place for _, place in given), *extra])
    marks = tuple(
        Mark(
            *at(place),
            task,
            numbers[i] if numbers else None,
            on is None or not numbers or numbers[i] in on,
        )
        for i, (task, place) in enumerate(given)
    )
    own = Mark(*at(spot.place), -1) if spot else None
    nearest = spot.nearest if spot else ()
    near = [
        Mark(*at(one.place), known.get(task, 0))
        for one, task in zip(nearest, near_tasks, strict=True)
    ]
    opened = next((mark for mark in marks if mark.number == row), None) if numbers else None
    return Drawing(name, marks, own, _numbered(own, near), opened)


def _numbered(own: Mark | None, near: Sequence[Mark]) -> tuple[tuple[Mark, Place], ...]:
    """A place for the number of each, beside it where it would lie on another one: the first on
    growing circles around it that is free and inside."""
    taken = [(own.x, own.y)] if own else []
    found = []
    for mark in near:
        around = (
            (mark.x + r * math.cos(math.tau * i / 12), mark.y + r * math.sin(math.tau * i / 12))
            for r in (0.0, *range(int(ROOM), 200, 8))
            for i in range(12 if r else 1)
        )
        place = next(
            (
                (x, y)
                for x, y in around
                if 14 <= x <= WIDTH - 14
                and 14 <= y <= HEIGHT - 14
                and all(math.dist((x, y), other) >= ROOM for other in taken)
            ),
            (mark.x, mark.y),
        )
        taken.append(place)
        found.append((mark, place))
    return tuple(found)


def _fit(places: Sequence[Place]) -> Callable[[Place], Place]:
    """From the plane to the picture: all of these are inside, in the middle."""
    xs, ys = [x for x, _ in places] or [0.0], [y for _, y in places] or [0.0]
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    scales = [
        (WIDTH - 2 * EDGE) / wide if wide else 0.0,
        (HEIGHT - 2 * EDGE) / high if high else 0.0,
    ]
    scale = min((s for s in scales if s), default=0.0)
    x0, y0 = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2

    def at(place: Place) -> Place:
        return WIDTH / 2 + scale * (place[0] - x0), HEIGHT / 2 - scale * (place[1] - y0)

    return at


class Shape(NamedTuple):
    """Of a task's mark: its path, the number of its colour, and whether it is an outline."""

    path: str
    colour: int
    opened: bool


def shapes(suite: Suite) -> list[Shape]:
    """Of all tasks, as in the picture of a Result."""
    count = len(MARKS)
    return [
        Shape(SHAPES[MARKS[i % count][0]], i % count, bool((i // count) % 2))
        for i in range(len(suite.tasks))
    ]


# --------------------------------------------------------------------------------------------------
# The map as HTML.

part = partial(words.macro, template="map.html")


def of_input(
    name: str, map_: Map, spot: Spot, suite: Suite, examples: Sequence[Example], called: str
) -> Markup:
    """One input among the samples of its suite. examples: of the suite's modality; called: what the
    input is called."""
    found = [(near, examples[near.example]) for near in spot.nearest]
    near = [
        {
            "label": example.label,
            "title": suite.task_title(example.task),
            "text": words.excerpt(" / ".join(filter(None, (example.text, example.text_b)))),
            "distance": near.distance,
            "url": thumbnail(example.file) if example.file else "",
        }
        for near, example in found
    ]
    drawn = drawing(
        name,
        suite,
        zip(map_.tasks, map_.places, strict=True),
        spot=spot,
        near_tasks=[example.task for _, example in found],
    )
    listed = words.listed(
        [f"{e.label} of {suite.task_title(e.task)}" for _, e in found] or ["none"]
    )
    summary = f"Map of {map_.count} of {suite.title}. Nearest to this input: {listed}."
    return part(
        "input",
        drawn,
        shapes(suite),
        suite,
        **_saved(name, suite, called),
        summary=summary,
        about_input=told(map_, spot),
        nearest=near,
    )


def of_set(
    name: str,
    told: str,
    suite: Suite,
    spread: Sequence[tuple[int, float, float]],
    tasks: Sequence[str],
    on: Collection[int],
    look: Any,
    ranges: Callable[[Sequence[int]], str],
    row: int | None,
) -> Markup:
    """The samples of a set. told: what the plane is. spread: number and place of the rows that are
    drawn; tasks: of all rows; on: numbers of those that the table shows; look: at the set, with its
    `task` and `region`; ranges: numbers as a region has them; row: the open one."""
    numbers = [number for number, _, _ in spread]
    drawn = drawing(
        name,
        suite,
        [(tasks[number], (x, y)) for number, x, y in spread],
        numbers,
        on,
        row=row,
    )
    shown = sum(mark.on for mark in drawn.marks)
    counts = {task.name: 0 for task in suite.tasks}
    for number in numbers:
        counts[tasks[number]] += 1
    cut = len(numbers) < len(tasks)
    many = words.samples(len(numbers))
    if cut:
        many = f"{words.whole(len(numbers))} of {words.samples(len(tasks))}"
    summary = f"Map of {many}, {words.whole(shown)} in the table."
    parts = [(where, len(rows), ranges(rows)) for where, rows in drawn.parts]
    return part(
        "samples",
        drawn,
        shapes(suite),
        suite,
        look,
        **_saved(name, suite, "set"),
        summary=summary,
        about_set=f"{summary} {told}",
        counts=counts,
        parts=parts,
    )


def told(map_: Map, spot: Spot | None = None) -> str:
    """What the plane is, and how much of an input it shows."""
    layer, pool = map_.looks.point
    where = words.layer(layer) + (f", over {words.POOLS[pool]}" if pool in words.POOLS else "")
    first, second = map(words.percent, map_.plane.explained)
    text = (
        f"Places are those of the probed merged model at {where}, on the two principal axes of "
        f"{map_.count}: {first} and {second} of their variance, on one scale."
    )
    if spot is None:
        return text
    shown = words.percent(spot.share)
    return f"{text} Of what sets this input apart from their mean the map shows {shown}."


def _saved(name: str, suite: Suite, called: str) -> dict[str, str]:
    """What a saved picture says of itself."""
    return {
        "file": words.file_name(name, suite.name, called),
        "title": called,
        "about": f"Map of {suite.title}",
    }
