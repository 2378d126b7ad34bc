"""What a suite is: a folder with a suite.json that names base, experts, tasks, heads and defaults.

Reading a suite touches JSON only, no weights and no torch, so a list of suites is cheap. The
weights are read and checked by `semerge.checkpoints`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from semerge.errors import UserError

FORMAT = 1
SUITES_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "suites"
MODALITIES = {"open_clip": "image", "gpt2": "text"}
THRESHOLDS = ("near_tie", "flat", "far")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Task:
    """One task of a suite: its words, and the file of its expert's weights."""

    name: str
    title: str
    about: str
    classes: tuple[str, ...]  # C labels, in the order of the head's rows
    templates: tuple[str, ...]  # prompts with {} for the class name; empty for text
    pair: bool  # True where an input is two sentences
    real: bool  # False where the project rendered the data itself
    weights: str  # file relative to the suite's folder


@dataclass(frozen=True)
class Defaults:
    """What a request gets that does not choose. All were chosen on a validation split."""

    probe: str
    layer: int | str
    pool: str
    preset: str
    static_lambda: float
    probe_lambda: float


@dataclass(frozen=True, eq=False)
class Suite:
    """A validated suite.json. Paths are relative to `folder`; see `path`."""

    name: str
    title: str
    about: str
    modality: str  # "image" or "text"
    architecture: Mapping[str, Any]
    tasks: tuple[Task, ...]  # T >= 2
    defaults: Defaults
    thresholds: Mapping[str, float | None]  # near_tie, flat, far; None switches a notice off
    folder: Path
    base_weights: str
    heads: str
    statistics: str | None  # None where the cache probe is not on offer
    sha256: Mapping[str, str]  # file -> hash, for every file that is loaded

    @cached_property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def depth(self) -> int:
        """Number of residual blocks L."""
        return _depth(self.architecture)

    def index(self, name: str) -> int:
        """Position of a task in every list of this suite. Raises UserError if it is unknown."""
        if name not in self.task_names:
            known = ", ".join(self.task_names)
            raise UserError(f"task {name!r} is unknown in suite {self.name}; valid are {known}.")
        return self.task_names.index(name)

    def task(self, name: str) -> Task:
        return self.tasks[self.index(name)]

    def path(self, file: str) -> Path:
        return self.folder / file


def available_suites() -> list[str]:
    """Names of the bundled suites, sorted."""
    if not SUITES_FOLDER.is_dir():
        return []
    return sorted(path.parent.name for path in SUITES_FOLDER.glob("*/suite.json"))


def read_suite(name_or_path: str | Path) -> Suite:
    """Read and validate a bundled suite by name, or any suite by its folder.

    Raises:
        UserError: no such suite, or its suite.json is damaged; the sentence says where.
    """
    folder = _folder(name_or_path)
    file = folder / "suite.json"
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{file} can't be read as JSON: {error}.") from None
    return _Reader(file).suite(raw)


def _folder(name_or_path: str | Path) -> Path:
    names = available_suites()
    if str(name_or_path) in names:
        return SUITES_FOLDER / str(name_or_path)
    try:
        path = Path(name_or_path).expanduser()
        path = path.parent if path.name == "suite.json" else path
        if (path / "suite.json").is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # e.g. a name too long, an unknown ~user, a NUL
        pass
    raise UserError(
        f"suite {str(name_or_path)[:200]!r} is unknown; bundled are {', '.join(names) or 'none'}, "
        "or give a folder that holds a suite.json."
    )


def _depth(architecture: Mapping[str, Any]) -> int:
    if architecture["kind"] == "gpt2":
        return int(architecture["n_layer"])
    return int(architecture["vision_cfg"]["layers"])


class _Reader:
    """Turns parsed JSON into a Suite. Each error names the file and the key."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def fail(self, text: str) -> UserError:
        return UserError(f"{self.file}: {text}.")

    def get(self, raw: Any, key: str, kind: type | tuple[type, ...], where: str = "") -> Any:
        value = raw.get(key) if isinstance(raw, dict) else None
        # bool is an int in Python; a number is never meant to be true or false
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            names = [k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,))]
            raise self.fail(f"{where}{key} is missing or is not of type {' or '.join(names)}")
        return value

    def strings(self, raw: Any, key: str, where: str) -> tuple[str, ...]:
        values = self.get(raw, key, list, where)
        if not all(isinstance(value, str) for value in values):
            raise self.fail(f"{where}{key} must be a list of strings")
        return tuple(values)

    def relative(self, raw: Any, key: str, where: str = "", suffix: str = ".safetensors") -> str:
        """A file inside the suite's folder: a suite from elsewhere must not point out of it."""
        value = str(self.get(raw, key, str, where))
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or path.suffix != suffix:
            raise self.fail(
                f"{where}{key} must be a {suffix} file inside the suite's folder, not {value!r}"
            )
        return value

    def name(self, raw: Any, where: str = "") -> str:
        value = self.get(raw, "name", str, where)
        if not _NAME.fullmatch(value) or value == "auto":
            raise self.fail(f"{where}name {value!r} may hold letters, digits and _ . - only")
        return str(value)

    def number(self, raw: Any, key: str, where: str) -> float:
        value = float(self.get(raw, key, (int, float), where))
        if not math.isfinite(value):
            raise self.fail(f"{where}{key} must be finite")
        return value

    def task(self, raw: Any, number: int) -> Task:
        where = f"tasks[{number}]."
        classes = self.strings(raw, "classes", where)
        if not classes:
            raise self.fail(f"{where}classes is empty")
        return Task(
            name=self.name(raw, where),
            title=self.get(raw, "title", str, where),
            about=self.get(raw, "about", str, where),
            classes=classes,
            templates=self.strings(raw, "templates", where),
            pair=self.get(raw, "pair", bool, where),
            real=self.get(raw, "real", bool, where),
            weights=self.relative(raw, "weights", where),
        )

    def defaults(self, raw: Any) -> Defaults:
        where = "defaults."
        return Defaults(
            probe=self.get(raw, "probe", str, where),
            layer=self.get(raw, "layer", (int, str), where),
            pool=self.get(raw, "pool", str, where),
            preset=self.get(raw, "preset", str, where),
            static_lambda=self.number(raw, "static_lambda", where),
            probe_lambda=self.number(raw, "probe_lambda", where),
        )

    def thresholds(self, raw: Any) -> dict[str, float | None]:
        return {
            key: None if raw.get(key) is None else self.number(raw, key, "thresholds.")
            for key in THRESHOLDS
        }

    def architecture(self, raw: Any, modality: str) -> dict[str, Any]:
        kind = self.get(raw, "kind", str, "architecture.")
        if MODALITIES.get(kind) != modality:
            pairs = ", ".join(f"{k} ({m})" for k, m in MODALITIES.items())
            raise self.fail(
                f"architecture.kind {kind!r} with modality {modality!r}; valid: {pairs}"
            )
        try:
            depth = _depth(raw)
        except (KeyError, TypeError, ValueError):
            depth = 0
        if depth < 1:
            raise self.fail("architecture does not state its number of blocks")
        if kind == "gpt2":
            self.relative(raw, "tokenizer", "architecture.", ".json")
        return dict(raw)

    def suite(self, raw: Any) -> Suite:
        if self.get(raw, "format", int) != FORMAT:
            raise self.fail(f"format {raw['format']} is not known here, only {FORMAT}")
        modality = self.get(raw, "modality", str)
        tasks = tuple(self.task(t, i) for i, t in enumerate(self.get(raw, "tasks", list)))
        names = [task.name for task in tasks]
        if len(tasks) < 2:
            raise self.fail("tasks must be two or more: with one expert there is nothing to route")
        if len(set(names)) != len(names):
            raise self.fail("tasks has the same name twice")
        has_statistics = raw.get("statistics") is not None
        hashes = self.get(raw, "sha256", dict)
        suite = Suite(
            name=self.name(raw),
            title=self.get(raw, "title", str),
            about=self.get(raw, "about", str),
            modality=modality,
            architecture=self.architecture(self.get(raw, "architecture", dict), modality),
            tasks=tasks,
            defaults=self.defaults(self.get(raw, "defaults", dict)),
            thresholds=self.thresholds(self.get(raw, "thresholds", dict)),
            folder=self.file.parent,
            base_weights=self.relative(self.get(raw, "base", dict), "weights", "base."),
            heads=self.relative(raw, "heads"),
            statistics=self.relative(raw, "statistics") if has_statistics else None,
            sha256=hashes,
        )
        for file in loaded_files(suite):
            self.get(hashes, file, str, "sha256.")
        return suite


def loaded_files(suite: Suite) -> tuple[str, ...]:
    """Every file that loading the suite reads, base first."""
    files = [suite.base_weights, *(task.weights for task in suite.tasks), suite.heads]
    optional = (suite.statistics, suite.architecture.get("tokenizer"))
    return (*files, *(file for file in optional if file))
