"""suite.json -> `Suite`: every key is checked, every error names the file and the key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from semerge.backbones import ARCHITECTURES
from semerge.backbones.architecture import HEAD_FILE, HEAD_FILES, HEAD_SOURCES, LARGEST, OWN_LAYOUT
from semerge.common import UserError, listed, quoted
from semerge.suites.suite import (
    BASE_LAYOUTS,
    EXPERT_LAYOUTS,
    Defaults,
    Source,
    Suite,
    Task,
    loaded_files,
    own_files,
)

FORMAT = 1
THRESHOLDS = ("near_tie", "flat", "far")
SAFE = (".safetensors",)
# what published layouts come in
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".index.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SuiteReader:
    """Turns parsed JSON into a Suite."""

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

    def relative(
        self, raw: Any, key: str, where: str = "", suffixes: tuple[str, ...] = SAFE
    ) -> str:
        """A file inside the suite's folder."""
        value = str(self.get(raw, key, str, where))
        if not _inside(value) or not value.endswith(suffixes):
            raise self.fail(
                f"{where}{key} must be a {' or '.join(suffixes)} file inside the suite's folder, "
                f"not {quoted(value)}"
            )
        return value

    def name(self, raw: Any, where: str = "") -> str:
        value = self.get(raw, "name", str, where)
        if value == "auto":
            raise self.fail(f"{where}name may not be 'auto', which stands for no task's head")
        if not _NAME.fullmatch(value):
            raise self.fail(f"{where}name {quoted(value)} may hold letters, digits and _ . - only")
        return str(value)

    def number(self, raw: Any, key: str, where: str) -> float:
        value = self.get(raw, key, (int, float), where)
        if not abs(value) <= LARGEST:  # nor is nan
            raise self.fail(f"{where}{key} must be a finite number, at most {LARGEST:,}")
        return float(value)

    def temperature(self, raw: Any, where: str) -> float:
        value = self.number(raw, "temperature", where)
        if value <= 0:
            raise self.fail(f"{where}temperature must be above 0")
        return value

    def weights(
        self, raw: Any, where: str, known: tuple[str, ...] = EXPERT_LAYOUTS
    ) -> tuple[str, str]:
        """A file and its layout."""
        layout: str = self.get(raw, "layout", str, where) if "layout" in raw else OWN_LAYOUT
        if layout not in known:
            raise self.fail(
                f"{where}layout {quoted(layout)} is unknown; valid are {', '.join(known)}"
            )
        suffixes = SAFE if layout == OWN_LAYOUT else WEIGHTS
        return self.relative(raw, "weights", where, suffixes), layout

    def task(self, raw: Any, number: int, heads: str) -> Task:
        where = f"tasks[{number}]."
        classes = self.strings(raw, "classes", where)
        if len(classes) < 2:
            raise self.fail(f"{where}classes must be two or more: one alone tells nothing apart")
        weights, layout = self.weights(raw, where)
        kinds: dict[str, Any] = {"title": str, "about": str, "pair": bool, "real": bool}
        return Task(
            name=self.name(raw, where),
            **{key: self.get(raw, key, kind, where) for key, kind in kinds.items()},
            classes=classes,
            templates=self.strings(raw, "templates", where),
            weights=weights,
            layout=layout,
            head=self.relative(raw, "head", where, WEIGHTS) if heads == HEAD_FILES else None,
            data=self.get(raw, "data", dict, where) if "data" in raw else {},
            aliases=self.aliases(raw, classes, where) if "aliases" in raw else {},
            temperature=self.temperature(raw, where) if "temperature" in raw else 1.0,
            moments=self.relative(raw, "moments", where) if "moments" in raw else None,
            item=self.get(raw, "item", str, where) if "item" in raw else "",
        )

    def aliases(self, raw: Any, classes: tuple[str, ...], where: str) -> dict[str, str]:
        found: dict[str, str] = self.get(raw, "aliases", dict, where)
        for name, known in found.items():
            if known not in classes:
                raise self.fail(f"{where}aliases.{name[:40]} must be one of its classes")
        return found

    def defaults(self, raw: Any) -> Defaults:
        kinds: dict[str, Any] = {"probe": str, "layer": (int, str), "pool": str, "preset": str}
        chosen = {key: self.get(raw, key, kind, "defaults.") for key, kind in kinds.items()}
        for key in ("static_lambda", "probe_lambda"):
            chosen[key] = self.number(raw, key, "defaults.")
        return Defaults(**chosen)

    def thresholds(self, raw: Any) -> dict[str, float | None]:
        return {
            key: None if raw.get(key) is None else self.number(raw, key, "thresholds.")
            for key in THRESHOLDS
        }

    def architecture(self, raw: Any, modality: str) -> dict[str, Any]:
        kind = self.get(raw, "kind", str, "architecture.")
        known = ARCHITECTURES.get(kind)
        if known is None or known.modality != modality:
            pairs = ", ".join(f"{one.kind} ({one.modality})" for one in ARCHITECTURES.values())
            raise self.fail(
                f"architecture.kind {quoted(kind)} with modality {quoted(modality)}; valid: {pairs}"
            )
        try:
            known.check(raw)
        except UserError as error:
            raise self.fail(str(error)) from None
        for key in known.json_files:
            self.relative(raw, key, "architecture.", (".json",))
        return dict(raw)

    def displacements(
        self, raw: Any, tasks: list[str]
    ) -> dict[tuple[int | str, str], tuple[float, ...]]:
        """From "layer/pool" and numbers above 0, one a task."""
        found: dict[tuple[int | str, str], tuple[float, ...]] = {}
        for at, row in self.get(raw, "displacements", dict).items():
            layer, _, pool = at.partition("/")
            where = f"displacements.{at}."
            if not isinstance(row, dict) or list(row) != tasks:
                raise self.fail(f"displacements.{at} must have a number for each task, in order")
            numbers = tuple(self.number(row, task, where) for task in tasks)
            if min(numbers) <= 0:
                raise self.fail(f"displacements.{at} must be above 0")
            found[int(layer) if layer.isdecimal() else layer, pool] = numbers
        return found

    def heads(self, raw: Any) -> tuple[str | None, str]:
        """The heads' file, if there is one, and where heads come from."""
        if not isinstance(raw.get("heads"), dict):
            return self.relative(raw, "heads"), HEAD_FILE
        source = self.get(raw["heads"], "from", str, "heads.")
        known = tuple(s for s in HEAD_SOURCES if s != HEAD_FILE)
        if source not in known:
            raise self.fail(f"heads.from {quoted(source)} is unknown; valid are {', '.join(known)}")
        return None, source

    def source(self, file: str, raw: Any) -> Source:
        """Where a file lies on the hub; its path begins with the repository's id."""
        where = f"sources.{file}."
        owner, _, rest = file.partition("/")
        name, _, path = rest.partition("/")
        if not (owner and name and path) or not _inside(file):
            raise self.fail(f"sources: {quoted(file)} is not of the form owner/repo/file")
        revision = self.get(raw, "revision", str, where)
        if not _inside(revision):
            raise self.fail(f"{where}revision {quoted(revision)} is no branch and no commit")
        size = self.get(raw, "bytes", int, where)
        known = raw.get("sha256") is not None
        digest = self.digest(raw, "sha256", where) if known else None
        return Source(f"{owner}/{name}", path, revision, size, digest)

    def digest(self, raw: Mapping[str, Any], key: str, where: str) -> str:
        """A file's sha256."""
        found: str = self.get(raw, key, str, where)
        if not _SHA256.fullmatch(found):
            raise self.fail(f"{where}{key} must be 64 hexadecimal digits")
        return found

    def suite(self, raw: Any) -> Suite:
        if self.get(raw, "format", int) != FORMAT:
            raise self.fail(f"format {raw['format']} is not known here, only {FORMAT}")
        modality = self.get(raw, "modality", str)
        heads, head_source = self.heads(raw)
        found = self.get(raw, "tasks", list)
        tasks = tuple(self.task(task, i, head_source) for i, task in enumerate(found))
        names = [task.name for task in tasks]
        if len(tasks) < 2:
            raise self.fail("tasks must be two or more: with one expert there is nothing to route")
        if len(set(names)) != len(names):
            raise self.fail("tasks has the same name twice")
        base, base_layout = self.weights(self.get(raw, "base", dict), "base.", BASE_LAYOUTS)
        tower: tuple[str, str] | tuple[None, None] = (None, None)
        if "text_tower" in raw:
            tower = self.weights(self.get(raw, "text_tower", dict), "text_tower.", BASE_LAYOUTS)
        has_statistics = raw.get("statistics") is not None
        sources = self.get(raw, "sources", dict) if "sources" in raw else {}
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
            base_weights=base,
            base_layout=base_layout,
            heads=heads,
            head_source=head_source,
            text_tower=tower[0],
            text_tower_layout=tower[1],
            statistics=self.relative(raw, "statistics") if has_statistics else None,
            sha256=self.get(raw, "sha256", dict),
            sources={file: self.source(file, entry) for file, entry in sources.items()},
            family=self.get(raw, "family", str) if "family" in raw else None,
            displacements=self.displacements(raw, names) if "displacements" in raw else {},
        )
        self.check(suite)
        return suite

    def check(self, suite: Suite) -> None:
        """What holds between the keys."""
        kind, experts = suite.kind, suite.kind.expert_layouts
        layouts = [("base", suite.base_layout, kind.base_layouts)]
        layouts += [(f"tasks[{i}]", x.layout, experts) for i, x in enumerate(suite.tasks)]
        if suite.text_tower_layout is not None:
            layouts.append(("text_tower", suite.text_tower_layout, kind.base_layouts))
        for where, layout, valid in layouts:
            if layout != OWN_LAYOUT and layout not in valid:
                raise self.fail(
                    f"{where}.layout {layout} is none of architecture.kind {kind.kind}; valid are "
                    f"{listed(valid)}"
                )
        moments = (task.moments for task in suite.tasks if task.moments)
        for file in (*own_files(suite), *moments, *suite.sha256):
            self.digest(suite.sha256, file, "sha256.")
        for file in loaded_files(suite) if suite.sources else ():
            if file not in suite.sources and not suite.path(file).is_file():
                raise self.fail(f"sources.{file} is missing, and so is the file itself")


def _inside(value: str) -> bool:
    """Whether a path, in its plain form, stays below where it starts: a suite from elsewhere must
    not point out of its folder, nor out of the hub's cache."""
    path = PurePosixPath(value)
    plain = str(path) == value and "\\" not in value
    return plain and not path.is_absolute() and ".." not in path.parts
