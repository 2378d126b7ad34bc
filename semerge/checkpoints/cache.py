"""What was computed once and is kept on disk: tensors under the hash of all that made them."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from semerge.checkpoints.checkpoint import Shapes
from semerge.checkpoints.saving import SUFFIX, UNFINISHED, save_whole
from semerge.common import cache_folder, gigabytes

DAY = 86_400  # seconds; no file takes longer to write
_HASH = "sha256"

_log = logging.getLogger(__name__)


def find(kind: str, key: str, *valid: Shapes) -> dict[str, Tensor] | None:
    """The tensors that are kept under a key, as views of the file's map; None where there are none
    that are whole. kind: a subfolder, e.g. "heads". valid: the shapes by name that they may have.
    """
    file = _file(kind, key)
    try:
        with safe_open(file, "pt") as opened:
            digest = (opened.metadata() or {}).get(_HASH)
        tensors = load_file(file)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        _log.warning("%s is damaged and will be computed again: %s", file, error)
        return None
    if {name: tuple(x.shape) for name, x in tensors.items()} not in valid:
        return None
    if digest != _digest(tensors):
        _log.warning("%s is damaged and will be computed again: its hash is another", file)
        return None
    with suppress(OSError):  # in a folder that can only be read nothing is removed either
        os.utime(file)  # its last use
    return tensors


def keep(kind: str, key: str, tensors: Mapping[str, Tensor], room: int | None = None) -> bool:
    """Keep tensors under a key, whole or not at all: others may read the folder at the same time.
    Where they can't be written, the log says so, and it is False. room: bytes that all of this kind
    may take; then those that were not used for longest are removed."""
    file, size = _file(kind, key), sum(x.nbytes for x in tensors.values())
    if room is not None and size > room:
        _log.warning("%s would have %s, more than are kept", file, gigabytes(size))
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if room is not None:
            _make_room(file, room - size)
        save_whole(file, tensors, {_HASH: _digest(tensors)})
    except OSError as error:
        _log.warning("%s can't be written, so it will be computed again: %s", file, error)
        return False
    return True


def is_there(kind: str, key: str) -> bool:
    """Whether something is kept under a key, be it damaged or not."""
    return _file(kind, key).is_file()


def last_used(kind: str, start: str) -> str | None:
    """The key, of those that begin so, whose content was made or found last; None where there is
    none."""
    files = []
    for path in (cache_folder() / kind).glob(f"{start}*{SUFFIX}"):
        with suppress(FileNotFoundError):  # another process makes room
            files.append((path.stat().st_mtime, path.stem))
    return max(files)[1] if files else None


def _make_room(new: Path, room: int) -> None:
    """Remove files, the longest unused first, until the others have no more than `room` bytes; and
    what was left by processes that were killed while they wrote."""
    files = []
    for path in new.parent.iterdir():
        with suppress(FileNotFoundError):  # another process makes room too
            about = path.stat()
            if path.suffix == SUFFIX and path != new:
                files.append((about.st_mtime, about.st_size, path))
            elif path.name.startswith(UNFINISHED) and about.st_mtime < time.time() - DAY:
                shutil.rmtree(path)
    used = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if used <= room:
            return
        path.unlink(missing_ok=True)
        used -= size


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _file(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}{SUFFIX}"
