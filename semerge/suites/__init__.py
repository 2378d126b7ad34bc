"""Finding and reading suites: a suite is a folder with a suite.json (see `semerge.suites.suite`).

Reading one touches JSON only, no weights and no torch, so a list of suites is cheap. The weights
are read and checked by `semerge.checkpoints`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semerge.common import ASSETS, UserError, quoted, read_json
from semerge.suites.reader import FORMAT, SuiteReader
from semerge.suites.suite import Defaults, Source, Suite, Task, loaded_files

__all__ = [
    "FORMAT",
    "SUITES_FOLDER",
    "Defaults",
    "Source",
    "Suite",
    "Task",
    "available_suites",
    "loaded_files",
    "published_suites",
    "read_suite",
]

SUITES_FOLDER = ASSETS / "suites"


def available_suites() -> list[str]:
    """Names of the bundled suites, whose weights are in the repository, sorted."""
    return [file.parent.name for file in _shipped_files() if not _has_sources(file)]


def published_suites() -> list[str]:
    """Names of the suites whose weights come from the hub, sorted; each is a suite.json alone."""
    return [file.parent.name for file in _shipped_files() if _has_sources(file)]


def read_suite(name_or_path: str | Path) -> Suite:
    """Read and validate a shipped suite by name, or any suite by its folder. Raises UserError where
    there is no such suite, or its suite.json is damaged; the sentence says where."""
    file = _file(name_or_path)
    return SuiteReader(file).suite(_parse(file))


def _shipped_files() -> list[Path]:
    return sorted(SUITES_FOLDER.glob("*/suite.json")) if SUITES_FOLDER.is_dir() else []


def _has_sources(file: Path) -> bool:
    try:
        raw = _parse(file)
    except UserError:  # told by `read_suite`, to whoever asks for it
        return False
    return isinstance(raw, dict) and bool(raw.get("sources"))


def _parse(file: Path) -> Any:
    """The file's JSON, not to be written. What is shipped is parsed once, and again if it changes;
    a folder of somebody's own may change faster than a file's time tells."""
    return read_json(file, known=file.parent.parent == SUITES_FOLDER)


def _file(name_or_path: str | Path) -> Path:
    """A suite's suite.json."""
    name = str(name_or_path)
    for file in _shipped_files():
        if file.parent.name == name:
            return file
    try:
        path = Path(name_or_path).expanduser()
        path = path.parent if path.name == "suite.json" else path
        if (path / "suite.json").is_file():
            return path / "suite.json"
    except (OSError, RuntimeError, ValueError):  # e.g. a name too long, an unknown ~user, a NUL
        pass
    bundled = ", ".join(available_suites()) or "none"
    hub = ", ".join(published_suites())
    raise UserError(
        f"suite {quoted(name)} is unknown; bundled are {bundled}, "
        f"{f'on the hub are {hub}, ' if hub else ''}or give a folder that holds a suite.json."
    )
