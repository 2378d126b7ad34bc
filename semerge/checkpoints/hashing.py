"""Hashes of files, read in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

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
