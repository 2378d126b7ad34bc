"""What was computed once and is kept on disk: a tensor under the hash of all that made them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

CACHE_ENV = "SEMERGE_CACHE"
_NAME = "tensor"

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """$SEMERGE_CACHE, or this project's folder in the platform's cache. It may not exist yet."""
    chosen = os.environ.get(CACHE_ENV)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "semerge"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "semerge"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "semerge"


def content_key(parts: Mapping[str, Any]) -> str:
    """The hash of everything that a result depends on; the parts are JSON values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def find(kind: str, key: str, shape: tuple[int, ...]) -> Tensor | None:
    """The tensor of this shape that is kept under a key; None where there is none that is whole.
    kind: a subfolder, e.g. "heads"."""
    file = _file(kind, key)
    try:
        found: Tensor | None = load_file(file).get(_NAME)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        _log.warning("%s is damaged and will be computed again: %s", file, error)
        return None
    return found.clone() if found is not None and tuple(found.shape) == shape else None


def keep(kind: str, key: str, tensor: Tensor) -> None:
    """Keep a tensor under a key, whole or not at all: others may read the folder at the same time.
    Where it can't be written, the log says so."""
    file = _file(kind, key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            unfinished = Path(folder) / file.name
            save_file({_NAME: tensor}, unfinished)
            unfinished.replace(file)
    except OSError as error:
        _log.warning("%s can't be written, so it will be computed again: %s", file, error)


def _file(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.safetensors"
