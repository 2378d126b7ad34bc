"""Files of published suites on this disk: the hub's own cache, the lock beside it, hashes."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from semerge.common import UserError, gigabytes, quoted, read_json
from semerge.suites import SUITES_FOLDER
from semerge.suites.suite import Source, Suite

COMMIT = re.compile(r"[0-9a-f]{40}")
UNSET: tuple[Any, ...] = (None, False, 0, "", [], {})  # of a key in a JSON file
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True)
class Pin:
    """What a file was when it was first fetched: `digest` is the hub's own, a sha256 or, for small
    files, git's sha1."""

    commit: str
    size: int
    digest: str


Lock = dict[str, Pin]  # by the file's path in suite.json


def hub_folder() -> Path:
    """Where `huggingface_hub` keeps its files."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def repo_folder(source: Source) -> Path:
    """The folder of a repository in the cache."""
    return hub_folder() / f"models--{source.repo.replace('/', '--')}"


def lock_file(suite: Suite) -> Path:
    """Where the commits and hashes of a suite's files are kept, once they are known."""
    return hub_folder() / "semerge" / f"{suite.name}.lock.json"


def read_lock(suite: Suite) -> Lock:
    """The pins of a suite; empty before its first download."""
    file = lock_file(suite)
    if not file.is_file():
        return {}
    try:
        raw = read_json(file)
        return {name: Pin(**pin) for name, pin in raw["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} can't be read; delete it and download again: {error}.") from None


def write_lock(suite: Suite, lock: Lock) -> None:
    """Keep the pins, whole or not at all."""
    file = lock_file(suite)
    file.parent.mkdir(parents=True, exist_ok=True)
    about = "What was downloaded. Later downloads of this suite must be the same; delete to renew."
    content = {"about": about, "files": {name: asdict(pin) for name, pin in lock.items()}}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    new.replace(file)


def missing_files(suite: Suite) -> tuple[str, ...]:
    """The files of a suite that have yet to come from the hub."""
    lock = read_lock(suite)
    return tuple(f for f in suite.sources if _place(suite, f, lock) is None)


def locate(suite: Suite) -> Suite:
    """The suite with every file's place on this disk; a suite without hub files as it is. Raises
    UserError where it has not been downloaded, or a file is not what was downloaded."""
    if not suite.sources or suite.located:
        return suite
    lock = read_lock(suite)
    places = {name: _place(suite, name, lock) for name in suite.sources}
    located = {name: path for name, path in places.items() if path is not None}
    if missing := [suite.sources[name].size for name in places if name not in located]:
        raise UserError(f"{not_here(suite, sum(missing))}.")
    for name, path in located.items():
        if name in lock and path != suite.folder / name and path.stat().st_size != lock[name].size:
            raise UserError(
                f"{path} is not the file that was downloaded: it has {path.stat().st_size:,} "
                f"bytes, not {lock[name].size:,}; delete it and download again."
            )
    return replace(suite, located=located)


def place_of(suite: Suite) -> str:
    """A suite as a command takes it: a shipped one's name, or the folder."""
    shipped = suite.folder == SUITES_FOLDER / suite.name
    return shlex.quote(str(suite.name if shipped else suite.folder))


def not_here(suite: Suite, size: int) -> str:
    """A sentence, but for its end, on a suite that is not on this disk; `size` in bytes."""
    return (
        f"{suite.title} is not on this disk: {gigabytes(size)} have yet to come from the hub, by "
        f"`python -m semerge download --suite {place_of(suite)}` where there is a network"
    )


def _place(suite: Suite, name: str, lock: Lock) -> Path | None:
    """Where a file of the hub is on this disk: beside suite.json, as in a folder in hub layout, or
    in the hub's cache. What somebody has put beside suite.json is held to no download."""
    beside, source = suite.folder / name, suite.sources[name]
    if beside.is_file():
        return beside
    folder = repo_folder(source)
    commit = lock[name].commit if name in lock else _cached_commit(folder, source.revision)
    path = folder / "snapshots" / commit / source.file if commit else None
    return path if path is not None and path.is_file() else None


def _cached_commit(folder: Path, revision: str) -> str | None:
    """The commit of a revision that another program, or a Space's build, has put in the cache."""
    if COMMIT.fullmatch(revision):
        return revision
    if SHORT_COMMIT.fullmatch(revision):
        found = [p.name for p in folder.glob(f"snapshots/{revision}*")]
        return found[0] if len(found) == 1 else None
    reference = folder / "refs" / revision
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def read_config(file: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file."""
    if not file.is_file():
        return None
    value = read_json(file)
    if not isinstance(value, dict):
        raise UserError(f"{file} holds no JSON object.")
    return value


def check_harmless(
    file: Path, config: Mapping[str, Any], harmless: Collection[str], where: str, mend: str = ""
) -> None:
    """Refuse what is set in a configuration and not known to be harmless: a key that is new here
    may well change what the weights mean. mend: what to do then, after a full stop."""
    for key, value in config.items():
        if key not in harmless and value not in UNSET:
            raise UserError(
                f"{file}: {where}{key} is {quoted(value)}, which can't be run here.{mend}"
            )


# ---- hashes, read in pieces ----------------------------------------------------------------------

PIECE = 1 << 20  # bytes


def sha256_of(path: Path) -> str:
    """The hash that suite.json states, and the hub for files in its storage."""
    return _hex(path, hashlib.sha256())


def git_sha1_of(path: Path) -> str:
    """The name that git gives the content, which is what the hub states for small files."""
    start = b"blob %d\0" % path.stat().st_size
    return _hex(path, hashlib.sha1(start, usedforsecurity=False))


def _hex(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return str(digest.hexdigest())
