"""The picture of one Result: the probed model's representation of the input in the middle, each
expert at its true distance on a ray of its own, a dial of its coefficient at the ray's end, how far
the merge is pulled towards the chosen expert, and both answers.

Here is where everything stands, in units of the picture's own; `assets/templates/scene.html` draws
it, the style sheet `scene` paints it, and the page's script `scene` plays it in four steps. No
gradio here.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from semerge.ui import words
from semerge.ui.charts import MARKS
from semerge.ui.words import View

# --------------------------------------------------------------------------------------------------
# Sizes, in units. At the width of a phone a unit is over 0.6 px, so that letters have 12 px; on a
# slide it is 1 px and more.

EM, LINE = 20.0, 22.0  # size of the letters, height of a line
RADIUS = 94.0  # of the largest distance
RIM, DIAL = 125.0, 15.0  # from the middle to the dials; radius of a dial
OUTER = RIM + DIAL + 4  # nothing of the rays is further out
GAP, MARGIN = 8.0, 4.0  # between rays and labels, around it all
COLUMN = 122.0  # of labels on either side, at least
WORD = 150.0  # of a name, at the most, for which the columns are made wider
ROOMY = 4  # labels on a side at the most, for names of two lines
SWEEP = 270.0  # degrees of a dial, from 0 to its full scale
INDENT = 32.0  # of an answer, for its sign
ANSWER = 26.0  # size of the letters of an answer
STRIP, NOTE = 68.0, 32.0  # heights of the answers, and of the sentence above them
STEPS = ("Probe", "Similarity", "Rescale", "Answer")


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@dataclass(frozen=True)
class Numbers:
    """What stands below a name: a distance, and the coefficient before and after."""

    distance: str
    before: str
    after: str

    @property
    def lines(self) -> tuple[str, str]:
        """As it reads before, and after."""
        return f"{self.distance} · {self.before}", f"{self.distance} · {self.after}"


@dataclass(frozen=True)
class Label:
    """What stands at the end of a ray: a name of one or two lines, then numbers. x: where the lines
    begin (side 1) or end (side -1); y: the middle of its height; both from the picture's middle."""

    x: float
    y: float
    side: int
    name: tuple[str, ...]
    numbers: Numbers

    @property
    def baselines(self) -> list[float]:
        """Of the lines, the numbers' last."""
        count = len(self.name) + 1
        return [self.y + LINE * (i - count / 2 + 0.75) for i in range(count)]

    @property
    def box(self) -> Box:
        wide = max(width(line) for line in (*self.name, *self.numbers.lines))
        left, right = sorted((self.x, self.x + self.side * wide))
        high = LINE * (len(self.name) + 1) / 2
        return Box(left, self.y - high, right, self.y + high)


@dataclass(frozen=True)
class Ray:
    """One expert. angle: of its ray in radians, clockwise from the right. radius: of the expert on
    it, None where its distance is not known. turns: of its dial, before and after, in degrees from
    its 0. beam: how similar it is, 0 for the least and 1 for the most similar. sentence: all of its
    numbers."""

    task: str
    number: int  # among the tasks
    angle: float
    radius: float | None
    beam: float
    turns: tuple[float, float]
    chosen: bool
    label: Label
    sentence: str

    @property
    def colour(self) -> int:
        """Number of its colour in the style sheet, and of its mark."""
        return self.number % len(MARKS)

    @property
    def opened(self) -> bool:
        """Of more tasks than there are marks, the second round is drawn as outlines."""
        return bool((self.number // len(MARKS)) % 2)

    @property
    def shape(self) -> str:
        return SHAPES[MARKS[self.colour][0]]

    def at(self, radius: float) -> tuple[float, float]:
        """A place on the ray, from the middle."""
        return radius * math.cos(self.angle), radius * math.sin(self.angle)

    @property
    def place(self) -> tuple[float, float]:
        """Of the expert."""
        return self.at(self.radius or 0.0)

    @property
    def end(self) -> tuple[float, float]:
        return self.at(RIM - DIAL)

    @property
    def dial(self) -> tuple[float, float]:
        """Its middle."""
        return self.at(RIM)

    @property
    def leader(self) -> tuple[float, float, float, float] | None:
        """The line from the dial to the label: x, y, x, y; None where they touch."""
        x, y = self.dial
        to_x, to_y = self.label.x - self.label.side * GAP / 2, self.label.y
        far = math.hypot(to_x - x, to_y - y)
        if far <= DIAL + GAP:
            return None
        share = (DIAL + 4) / far
        return x + share * (to_x - x), y + share * (to_y - y), to_x, to_y


@dataclass(frozen=True)
class Answer:
    """What one model answers. kind: "se" or "static". model, text: as much of its name and of the
    label as there is room for."""

    kind: str
    model: str
    text: str
    label: str


@dataclass(frozen=True)
class Scene:
    """The whole picture. column: width of the labels on either side. half: of the height of rays
    and labels. centre: what stands in the middle, as `Probe.centre`. pull: how far the merge goes
    along the chosen expert's ray, a share of its distance. note: why it stays. summary: what the
    picture shows, in words; the numbers are in the rays' sentences."""

    rays: tuple[Ray, ...]
    chosen: int
    column: float
    half: float
    centre: str
    pull: float
    note: str
    answers: tuple[Answer, ...]
    summary: str

    @property
    def width(self) -> float:
        return 2 * (OUTER + GAP + self.column + MARGIN)

    @property
    def height(self) -> float:
        return self.below + NOTE * bool(self.note) + STRIP * bool(self.answers)

    @property
    def middle(self) -> tuple[float, float]:
        return self.width / 2, self.half + MARGIN

    @property
    def below(self) -> float:
        """Where rays and labels end."""
        return 2 * (self.half + MARGIN)

    @property
    def strip(self) -> float:
        """Where the answers begin."""
        return self.height - STRIP

    @property
    def grid(self) -> tuple[float, float]:
        """Radii of the circles behind it: half of the largest distance, and all of it."""
        return RADIUS / 2, RADIUS

    @property
    def merge(self) -> tuple[float, float]:
        """Where the merge ends, from the middle."""
        ray = self.rays[self.chosen]
        return ray.at(self.pull * (ray.radius or 0.0))

    @property
    def steps(self) -> tuple[str, ...]:
        return STEPS if self.answers else STEPS[:-1]


def picture(view: View) -> Markup:
    """The scene drawn, as every tab shows it."""
    result = view.result
    parts = (str(result[key]) for key in ("suite", "method", "preset"))
    saved = {"file": words.file_name(*parts, view.called), "about": words.setting(view)}
    return words.macro("scene", view, scene(view), saved, template="scene.html")


def scene(view: View) -> Scene:
    """The picture of a Result, or of as much of one as the Layers tab has: without predictions it
    has no answers, and three steps."""
    distances = _known(view, "distances")
    largest = max((d for d in distances if d is not None), default=0.0)
    before, after = _known(view, "static_coefficients"), _known(view, "coefficients")
    full = max([1.0, *(v for v in (*before, *after) if v is not None)])
    beams = depths(_known(view, "similarities"))
    count, chosen = len(distances), view.chosen
    angles = [math.tau * ((i + 0.5) / count - 0.25) for i in range(count)]
    numbers = _numbers(view)
    labels, column, half = _labels(view.titles, numbers, angles)
    note = _note(view, distances)
    pull = 0.0 if note else _pull(before, after, chosen)
    answers = _answers(view, OUTER + GAP + column - INDENT) if "predictions" in view.result else ()
    rays = tuple(
        Ray(
            task=task,
            number=i,
            angle=angles[i],
            radius=None if distance is None else RADIUS * _share(distance, largest),
            beam=beams[i],
            turns=(SWEEP * _share(before[i], full), SWEEP * _share(after[i], full)),
            chosen=i == chosen,
            label=labels[i],
            sentence=_sentence(view, i, numbers[i].distance),
        )
        for i, (task, distance) in enumerate(zip(view.tasks, distances, strict=True))
    )
    return Scene(
        rays=rays,
        chosen=chosen,
        column=column,
        half=half,
        centre=words.centre(view),
        pull=pull,
        note=note,
        answers=answers,
        summary=_summary(view, numbers[chosen].distance, pull, note, answers),
    )


def _known(view: View, key: str) -> list[float | None]:
    values = view.column(key)
    return [v if v is not None and math.isfinite(v) else None for v in values]


def _share(value: float | None, of: float) -> float:
    """In [0, 1]."""
    return min(max(value / of, 0.0), 1.0) if value is not None and of > 0 else 0.0


def depths(values: Sequence[float | None]) -> list[float]:
    """Where each value lies between the smallest and the largest; 0 where all are the same, and for
    one that is missing."""
    known = [v for v in values if v is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return [0.0 if v is None else _share(v - low, high - low) for v in values]


def _pull(before: Sequence[float | None], after: Sequence[float | None], chosen: int) -> float:
    """Of what the chosen expert's share of all coefficients could gain, how much it gained: 1 where
    the merge has become this expert, 0 where its share is what it was, or less."""
    old, new = (_share(c[chosen], sum(v for v in c if v is not None)) for c in (before, after))
    return _share(new - old, 1 - old)


# --------------------------------------------------------------------------------------------------
# Words and numbers.


def _numbers(view: View) -> list[Numbers]:
    estimated = view.result.get("estimated") or ()
    rows = zip(
        view.tasks,
        *(view.column(key) for key in ("distances", "static_coefficients", "coefficients")),
        strict=True,
    )
    return [
        Numbers(
            ("≈ " if task in estimated else "") + words.distance(distance),
            f"λ {words.number(old)}",
            f"λ {words.number(new)}",
        )
        for task, distance, old, new in rows
    ]


def _note(view: View, distances: Sequence[float | None]) -> str:
    """Why the merge stays where it is."""
    if None in distances:
        return "Not all distances are known: the merge stays."
    return "" if view.fits else "No expert fits: the merge stays between the rays."


def _sentence(view: View, i: int, distance: str) -> str:
    nearest = ", the nearest" if i == view.chosen else ""
    similar, old, new = (
        words.number(view.column(key)[i])
        for key in ("similarities", "static_coefficients", "coefficients")
    )
    return (
        f"{view.titles[i]}: distance {distance}{nearest}; similarity {similar}; "
        f"coefficient {old} before, {new} after"
    )


def _summary(view: View, distance: str, pull: float, note: str, answers: Sequence[Answer]) -> str:
    nearest = view.titles[view.chosen]
    way = note.rstrip(".") or f"the merge is pulled {words.percent(pull)} of the way to it"
    return "; ".join([
        f"{len(view.tasks)} experts around {words.CENTRES[words.centre(view)]}",
        f"{nearest} is the nearest, at {distance}",
        way,
        *(f"{words.model(view, one.kind)} answers {one.label}" for one in answers),
    ]) + "."  # fmt: skip


def _answers(view: View, room: float) -> tuple[Answer, ...]:
    labels = {kind: view.answer(kind) for kind in ("se", "static")}
    return tuple(
        Answer(
            kind, shortened(words.model(view, kind), room), shortened(label, room, ANSWER), label
        )
        for kind, label in labels.items()
    )


# --------------------------------------------------------------------------------------------------
# Labels: those of the right half from top to bottom, then those of the left from bottom to top,
# each as near to its dial as the others leave it room, outside the circle of dials.


def _labels(
    titles: Sequence[str], numbers: Sequence[Numbers], angles: Sequence[float]
) -> tuple[list[Label], float, float]:
    """Labels in the order of the tasks, the width of their columns, half of the height of all."""
    count = len(titles)
    right = list(range((count + 1) // 2))
    left = list(range(count - 1, right[-1], -1))
    roomy = len(right) <= ROOMY
    high = (3 if roomy else 2) * LINE + 6  # of a label at the most, and what is between two
    half = max(OUTER, high * len(right) / 2)
    # numbers are never cut, and of names no word that is not very long
    parts = (width(part) for title in titles for part in title.split())
    lines = (width(line) for one in numbers for line in one.lines)
    column = max(COLUMN, *lines, *(part for part in parts if part <= WORD))
    labels: dict[int, Label] = {}
    for side, order in ((1, right), (-1, left)):
        places = spread([RIM * math.sin(angles[i]) for i in order], high, half)
        for i, y in zip(order, places, strict=True):
            x = _reach(y - high / 2, y + high / 2) + GAP
            name = wrapped(titles[i], OUTER + GAP + column - x, 2 if roomy else 1)
            labels[i] = Label(side * x, y, side, name, numbers[i])
    return [labels[i] for i in range(count)], column, half


def spread(wanted: Sequence[float], high: float, half: float) -> list[float]:
    """Places of rows of this height between -half and half, in order and none over another, each
    where it is wanted as far as that goes. There must be room for them all."""
    places: list[float] = []
    for y in wanted:
        places.append(max(y, places[-1] + high if places else high / 2 - half))
    limit = half - high / 2
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - high
    return places


def _reach(top: float, bottom: float) -> float:
    """Half of the width of the circle of dials between two heights."""
    near = 0.0 if top < 0 < bottom else min(abs(top), abs(bottom))
    return math.sqrt(max(OUTER**2 - near**2, 0.0))


# --------------------------------------------------------------------------------------------------
# Text has no width before a browser draws it, so it is estimated, rather too wide than too narrow.

ELLIPSIS = "…"
ADVANCES = {  # of the bold letters of the page's font, in their size
    letter: advance
    for advance, letters in (
        (0.25, " \u00a0"),
        (0.31, "ijl'.,:;"),
        (0.41, "frtI!()-[]|/·"),
        (0.55, "csvyz"),
        (0.61, "EFJLT"),
        (0.9, "mwM…"),
        (0.98, "W@%—"),
    )
    for letter in letters
}
JOINER = "\u200d"
TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))


def width(text: str, size: float = EM) -> float:
    """Of a line of text, in units."""
    return size * sum(map(_advance, text))


def _advance(letter: str) -> float:
    if letter in ADVANCES:
        return ADVANCES[letter]
    if letter.isascii() or letter in "λ≈–−":
        return 0.73 if letter.isupper() else 0.61
    kind = unicodedata.category(letter)
    if kind in ("Mn", "Me", "Cf"):
        return 0.0
    return 1.3 if kind == "So" else 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.8


def shortened(text: str, room: float, size: float = EM) -> str:
    """As much of a text as has room, with an ellipsis where it is cut."""
    text = " ".join(text.split())
    if width(text, size) <= room:
        return text
    parts = list(_clusters(text))
    while parts and width("".join(parts).rstrip() + ELLIPSIS, size) > room:
        parts.pop()
    return "".join(parts).rstrip() + ELLIPSIS


def wrapped(text: str, room: float, lines: int) -> tuple[str, ...]:
    """A name on as many lines as it needs, at the most these; the last one is cut. Lines break at
    spaces, and behind hyphens."""
    rest = " ".join(text.split())
    above: list[str] = []
    while lines > len(above) + 1 and width(rest) > room:
        breaks = [i + 1 for i, letter in enumerate(rest[:-1]) if letter in " -"]
        fitting = [i for i in breaks if width(rest[:i].rstrip()) <= room]
        if not fitting:
            break
        above.append(rest[: fitting[-1]].rstrip())
        rest = rest[fitting[-1] :]
    return (*above, shortened(rest, room))


def _clusters(text: str) -> Iterator[str]:
    """Letters with the marks that belong to them."""
    cluster = ""
    for letter in text:
        joined = unicodedata.category(letter)[0] == "M" or letter == JOINER or letter in TONES
        if cluster and not joined and not cluster.endswith(JOINER):
            yield cluster
            cluster = ""
        cluster += letter
    if cluster:
        yield cluster


# --------------------------------------------------------------------------------------------------
# Marks of the tasks, as in the map of the Layers tab: paths about their middle.


def _polygon(*points: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z"


def _star(outer: float, inner: float) -> str:
    corners = [(outer if i % 2 == 0 else inner, math.tau * (i / 10 - 0.25)) for i in range(10)]
    return _polygon(*((round(r * math.cos(a), 2), round(r * math.sin(a), 2)) for r, a in corners))


_ARMS = [(-3.0, -10.0), (3.0, -10.0), (3.0, -3.0), (10.0, -3.0), (10.0, 3.0), (3.0, 3.0)]
_CROSS = [*_ARMS, *((-x, -y) for x, y in _ARMS)]
SHAPES = {
    "circle": "M9 0A9 9 0 1 1 -9 0A9 9 0 1 1 9 0Z",
    "square": _polygon((-8, -8), (8, -8), (8, 8), (-8, 8)),
    "diamond": _polygon((0, -11), (11, 0), (0, 11), (-11, 0)),
    "triangle-up": _polygon((0, -10), (10, 8), (-10, 8)),
    "triangle-down": _polygon((0, 10), (10, -8), (-10, -8)),
    "cross": _polygon(*_CROSS),
    "x": _polygon(*((round((x - y) * 0.7071, 2), round((x + y) * 0.7071, 2)) for x, y in _CROSS)),
    "star": _star(11, 4.8),
}
