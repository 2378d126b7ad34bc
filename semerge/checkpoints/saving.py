"""Safetensors files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from semerge.common import UserError, first_line

SUFFIX = ".safetensors"
UNFINISHED = ".unfinished-"  # how folders begin in which a file is being written
_NUMBER = re.compile(r"os error (\d+)")


def save_whole(file: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a file that others may read at the same time. about: what its header says. Raises
    OSError where the disk or the folder does not take it; then all is as it was."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=UNFINISHED) as folder:
        unfinished = Path(folder) / file.name
        try:
            save_file(dict(tensors), unfinished, {"format": "pt", **about})
        except SafetensorError as error:  # it has the system's number in its words
            number = _NUMBER.search(str(error))
            if number is None:
                raise OSError(0, first_line(error)) from None
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        _sort(unfinished)
        unfinished.replace(file)


def _sort(file: Path) -> None:
    """What the header says is there in an order of chance: sorted, the same content is the same
    file."""
    with file.open("r+b") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        opened.seek(8)
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
        opened.write(text.encode().ljust(size))


def check_target(file: Path, force: bool) -> None:
    """Raises UserError where a checkpoint can't be written to a file, or one is there and is not to
    be replaced: before the work."""
    if file.suffix != SUFFIX:
        raise UserError(f"{file} must end in {SUFFIX}.")
    try:
        if not file.parent.is_dir():
            raise UserError(f"{file.parent} is no folder, so nothing can be written there.")
        if file.is_dir():
            raise UserError(f"{file} is a folder; name the file in it.")
        if file.exists() and not force:
            raise UserError(f"{file} is there already; --force writes over it.")
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}.") from None


def save_checkpoint(
    file: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str], force: bool
) -> None:
    """`save_whole`, with `check_target` once more right before. Raises UserError as that does, and
    where the disk or the folder does not take it."""
    check_target(file, force)
    try:
        save_whole(file, tensors, about)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}.") from None
