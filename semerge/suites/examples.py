"""The project's own example images and sentences: one index that the app, docs and tests share.

`examples/index.json` holds {"vision": [{"file", "task", "label", "drawing"}], "text": [{"text",
"task", "label"}], "first": {"vision": i, "text": j}, "notes": {task: remark}, "hits": {...}}.
`first` is the example that the page opens with: one that the static merge gets wrong and
SE-Merging gets right. Its Result is stored beside the index, in first_<section>.json. `drawn`, if
there is one, is an image with its `strokes`: the page then opens with it in place of `first`, and
it draws itself. It is none of the examples that anything is measured on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from semerge.common import EXAMPLES, UserError, quoted, read_json

EXAMPLES_FOLDER = EXAMPLES
SECTIONS = {"image": "vision", "text": "text"}  # modality of a suite -> section of the index
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One input with its task and its label (a class name of that task)."""

    index: int  # position in its section
    task: str
    label: str
    file: Path | None = None  # images
    text: str = ""  # sentences
    text_b: str | None = None
    drawing: bool = False  # drawn by code where the task's own data are photographs
    # of a pen, in pixels of the pad, where it draws itself
    strokes: tuple[tuple[tuple[float, float], ...], ...] = ()


@dataclass(frozen=True)
class Examples:
    """Every example, which one opens the page, and how many the models get right."""

    vision: tuple[Example, ...] = ()
    text: tuple[Example, ...] = ()
    first: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)  # by task
    stored: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # Results, by section
    drawn: Example | None = None  # the image that draws itself

    def of(self, modality: str) -> tuple[Example, ...]:
        """The examples for suites of one modality, "image" or "text"."""
        return self.vision if modality == "image" else self.text

    def shown(self, modality: str) -> tuple[Example, ...]:
        """What a visitor may choose and a link may name: `of`, and after these the image that draws
        itself."""
        own = (self.drawn,) if self.drawn and modality == "image" else ()
        return (*self.of(modality), *own)

    def opening(self, modality: str, tasks: Collection[str] = ()) -> Example | None:
        """The example that is shown when the page opens: the first one where none was picked. If
        one is of one of `tasks`, so is this."""
        if modality == "image" and self.drawn and (not tasks or self.drawn.task in tasks):
            return self.drawn
        index, found = self.first.get(SECTIONS[modality], 0), self.of(modality)
        if not found or found[index].task in tasks:
            return found[index] if found else None
        return next((example for example in found if example.task in tasks), found[index])

    def by_task(self, modality: str, tasks: Sequence[str]) -> dict[str, tuple[Example, ...]]:
        """Examples of the named tasks, in the order of `tasks`; tasks without any stay, empty."""
        found = self.of(modality)
        return {task: tuple(e for e in found if e.task == task) for task in tasks}


def load_examples(folder: str | Path = EXAMPLES_FOLDER) -> Examples:
    """Read and check the index. A folder without one gives no examples. Raises UserError where the
    index is damaged; the sentence names the entry."""
    folder = Path(folder)
    file = folder / "index.json"
    if not file.is_file():
        return Examples()
    raw = read_json(file)
    if not isinstance(raw, dict):
        raise UserError(f"{file} must hold one JSON object.")
    sections = {}
    for name in SECTIONS.values():
        entries = raw.get(name, [])
        if not isinstance(entries, list):
            raise UserError(f"examples/index.json: {name} must be a list.")
        sections[name] = tuple(_example(folder, name, i, e) for i, e in enumerate(entries))
    first, hits, notes = (raw.get(key) or {} for key in ("first", "hits", "notes"))
    if not all(isinstance(value, dict) for value in (first, hits, notes)):
        raise UserError(f"{file}: first, hits and notes must be objects.")
    for name, index in first.items():
        if type(index) is not int or not 0 <= index < len(sections.get(name, ())):
            raise UserError(f"{file}: first.{name} names no example.")
    names = SECTIONS.values()
    stored = {name: result for name in names if (result := _stored(folder, name))}
    drawn = None
    if "drawn" in raw:
        drawn = _drawn(folder, len(sections["vision"]), raw["drawn"])
    return Examples(sections["vision"], sections["text"], first, hits, notes, stored, drawn)


def _drawn(folder: Path, index: int, raw: Any) -> Example:
    """The entry of the image that draws itself."""
    example = _example(folder, "vision", index, raw)
    try:
        strokes = tuple(tuple((float(x), float(y)) for x, y in one) for one in raw["strokes"])
    except (KeyError, TypeError, ValueError):
        strokes = ()
    if not all(strokes) or not strokes:
        raise UserError("examples/index.json: drawn.strokes must be lists of points.")
    return replace(example, strokes=strokes)


def _stored(folder: Path, section: str) -> Mapping[str, Any] | None:
    """The stored Result of a section's first example; None where there is none to be read. The
    page can do without: it then opens as the engine is there."""
    file = folder / f"first_{section}.json"
    if not file.exists():
        return None
    try:
        raw = read_json(file)
    except UserError as error:
        _log.warning("%s", error)
        return None
    if isinstance(raw, dict) and {"suite", "tasks", "predictions"} <= set(raw):
        return raw
    _log.warning("%s holds no result", file)
    return None


def _example(folder: Path, section: str, index: int, raw: Any) -> Example:
    where = f"examples/index.json: {section}[{index}]"
    if not isinstance(raw, dict):
        raise UserError(f"{where} must be an object.")
    keys = ("task", "label", "file" if section == "vision" else "text")
    for key in keys:
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise UserError(f"{where}.{key} is missing.")
    if section == "text":
        text_b = raw.get("text_b")
        if text_b is not None and not isinstance(text_b, str):
            raise UserError(f"{where}.text_b must be a string.")
        return Example(index, raw["task"], raw["label"], text=raw["text"], text_b=text_b)
    path = PurePosixPath(raw["file"])
    if path.is_absolute() or ".." in path.parts or not (folder / path).is_file():
        raise UserError(f"{where}.file {quoted(raw['file'])} is no file of the examples folder.")
    drawing = bool(raw.get("drawing", False))
    return Example(index, raw["task"], raw["label"], file=folder / path, drawing=drawing)
