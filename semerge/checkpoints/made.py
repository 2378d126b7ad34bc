"""Which merges of a suite are made, on this disk or shipped with it, and what makes one. No torch
here.

A menu that is drawn before any weight is read asks `lacks`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from semerge.backbones.architecture import parameters
from semerge.checkpoints.files import place_of
from semerge.common import UserError, cache_folder, content_key
from semerge.methods import METHODS, NEEDS
from semerge.suites import Suite
from semerge.suites.report import read_object

FOLDER, INDEX = "variants", "index.json"
"""Of what is shipped with a suite."""
_log = logging.getLogger(__name__)


def index_of(suite: Suite) -> dict[str, Any]:
    """What is shipped with a suite, by key: the method's spec, its files with their hashes. Raises
    UserError where the file can't be read."""
    try:
        return dict(read_object(suite.folder / FOLDER / INDEX) or {})
    except ValueError as error:
        raise UserError(f"{suite.folder / FOLDER / INDEX} can't be read: {error}.") from None


def note_made(suite: Suite, spec: str) -> None:
    """Remember that a merge of this suite is on this disk, for menus."""
    file = _note(_place(suite), spec)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        _log.warning("%s can't be written: %s", file, error)


def _place(suite: Suite) -> str:
    """A suite by what is known of it before it is read: its place, and the hashes of its files."""
    parts = {
        "suite": str(suite.folder.resolve()),
        "files": dict(suite.sha256),
        "code": METHODS.code,
    }
    return content_key(parts)


def _note(place: str, spec: str) -> Path:
    return cache_folder() / "made" / content_key({"suite": place, "method": spec})


def lacks(suite: Suite, spec: str) -> str | None:
    """`lacking` of one method."""
    return lacking(suite, [spec])[spec]


def lacking(suite: Suite, specs: Iterable[str]) -> dict[str, str | None]:
    """Why each of some methods can't be chosen for a suite at once, as a sentence that begins with
    a small letter and names the command that makes it; None where it can, as far as is known before
    the weights are read. What is shipped and what the suite is made of is read once for all."""
    numbers, place, shipped = parameters(suite.sizes.shapes), _place(suite), _shipped(suite)

    def why(spec: str) -> str | None:
        entry = METHODS[spec]
        if entry.needs == "moments" and any(task.moments is None for task in suite.tasks):
            return f"needs {NEEDS['moments']}, which this suite has not"
        if not entry.is_dear(numbers) or spec in shipped or _note(place, spec).exists():
            return None
        return f"is not made yet; `{command(suite, spec)}` makes it once"

    return {spec: why(spec) for spec in specs}


def _shipped(suite: Suite) -> set[str]:
    """The specs of what is shipped with a suite; none where that can't be read."""
    try:
        return {str(row.get("method")) for row in index_of(suite).values()}
    except UserError as error:
        _log.warning("%s", error)
        return set()


def command(suite: Suite, spec: str) -> str:
    """What makes a method's merge of a suite."""
    data = " --data DIR" if METHODS[spec].sampled else ""
    method = shlex.quote(METHODS.spec(spec))
    return f"python -m semerge merge --suite {place_of(suite)} --method {method}{data}"
