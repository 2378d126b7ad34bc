"""The files of a data folder, read so that any damage becomes one sentence that names the file.

What a file says about itself (types, shapes, sizes) is checked before its samples are unpacked, and
unpacking stops where it has said more than it said it would, so a small file can't fill the memory.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from semerge.common import UserError, first_line, gigabytes, parsed_json, quoted
from semerge.data.tabular import json_object
from semerge.foreign import PACKED, reason
from semerge.suites.memory import available

MAX_CLASSES = 2**20
"""Bytes of classes.json."""
MAX_TEXT = 512 * 2**20
"""Bytes of a file of sentences when unpacked."""
MAX_LINE = 2**18
"""Bytes of one of its lines; two sentences of the longest kind take less."""
UNKNOWN_ROOM = 4 * 2**30
"""Bytes of images where it can't be told how much memory is free."""

_CHUNK = 2**14  # bytes at a time: unpacking LZMA, zipfile makes all that the packed ones hold
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    MemoryError,  # what an LZMA header asks for
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    SyntaxError,  # numpy reads an array's header as Python text
    TokenError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class _Array:
    """An array's header: what it says, before one of its numbers is unpacked."""

    name: str
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype
    stored: int  # bytes that lie behind the header

    @property
    def bytes(self) -> int:
        """Bytes of the numbers, as the header has it."""
        return prod(self.shape) * self.dtype.itemsize


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names of classes.json, in label order. Raises UserError where there is no such
    file, or it holds something else."""
    if not path.is_file():
        raise UserError(f"{path} is missing; it names the classes in label order.")
    with _damage_told(path), path.open("rb") as file:
        data = file.read(MAX_CLASSES + 1)
        if len(data) > MAX_CLASSES:
            raise UserError(f"{path} is larger than the limit of {MAX_CLASSES // 2**20} MB.")
        names = parsed_json(data.decode("utf-8-sig"))
    named = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not named or not names:
        raise UserError(f'{path} must hold one list of class names, such as ["cat", "dog"].')
    for name in names:
        _check_unicode(name, f"{path}: a class name")
    return tuple(names)


def read_images(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of an .npz file: x uint8 (N, H, W[, 3]) and y int64 (N,), 0 to classes - 1. Raises
    UserError where the file is damaged, does not fit in memory, or holds something else."""
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        x, y = (_header(path, archive, name) for name in ("x", "y"))
        _check_kinds(path, x, y)
        _check_room(path, x.bytes + y.bytes)
        labels = _numbers(path, archive, y)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise _out_of_range(f"{path}: sample {wrong[0]}", int(labels[wrong[0]]), classes)
        return _numbers(path, archive, x), labels.astype(np.int64)


def read_sentences(
    path: Path, classes: int
) -> tuple[tuple[str, ...], tuple[str | None, ...], np.ndarray]:
    """The lines of a .jsonl.gz file: texts and second texts (N each), labels int64 (N,). Empty
    lines are passed over. Raises UserError where the file is damaged, too large, or a line is not
    as it should be."""
    texts, seconds, labels = [], [], []
    for where, row in _rows(path):
        label = row.get("label")
        if isinstance(label, bool) or not isinstance(label, int):
            raise UserError(f"{where}: label must be a whole number, the place in classes.json.")
        if not 0 <= label < classes:
            raise _out_of_range(where, label, classes)
        for name in ("text", "text_b"):
            if not isinstance(row.get(name), str | None):
                raise UserError(f"{where}: {name} must be text.")
            _check_unicode(row.get(name) or "", f"{where}: {name}")
        if not row.get("text"):
            raise UserError(f"{where} has no text.")
        texts.append(row["text"])
        seconds.append(row.get("text_b"))
        labels.append(label)
    if not texts:
        raise UserError(f"{path} holds no samples.")
    return tuple(texts), tuple(seconds), np.array(labels, dtype=np.int64)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Whatever a reader raises at damaged bytes becomes one sentence."""
    try:
        yield
    except UserError:
        raise
    except _DAMAGE as error:
        said = reason(path, first_line(error)[:120], PACKED)
        raise UserError(
            f"{path} is damaged or can't be read ({said}); make it once more."
        ) from error


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> _Array:
    member = f"{name}.npy"
    if member not in archive.namelist():
        raise UserError(f"{path} has no array {name}; x holds the images and y the labels.")
    info = archive.getinfo(member)
    if info.flag_bits & 0x41 or info.compress_type not in _METHODS:
        raise UserError(f"{path} is encrypted or packed in an unusual way; use numpy.savez.")
    with archive.open(info) as stream:
        shape, by_columns, dtype = _described(stream)
        return _Array(name, shape, by_columns, dtype, info.file_size - stream.tell())


def _described(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored by columns, and type of the array that `stream` begins with."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"arrays of the version {version} are not read")


def _check_kinds(path: Path, x: _Array, y: _Array) -> None:
    if x.dtype != np.uint8:
        raise UserError(f"{path}: x must hold uint8, not {x.dtype.name}.")
    if y.dtype.kind not in "iu":
        raise UserError(f"{path}: y must hold whole numbers, not {y.dtype.name}.")
    if len(x.shape) != 3 and not (len(x.shape) == 4 and x.shape[3] == 3):
        raise UserError(f"{path}: x must be (N, H, W) or (N, H, W, 3), not {quoted(x.shape)}.")
    if len(y.shape) != 1:
        raise UserError(f"{path}: y must be (N,), not {quoted(y.shape)}.")
    if x.shape[0] != y.shape[0]:
        raise UserError(f"{path} has {x.shape[0]:,} images and {y.shape[0]:,} labels.")
    if min(x.shape) < 1:
        raise UserError(f"{path} holds no samples: x is {quoted(x.shape)}.")
    for array in (x, y):
        if array.stored != array.bytes:
            raise ValueError(f"{array.name} has not the size that it says")


def _check_room(path: Path, size: int) -> None:
    """Half of what is free, as choosing among the samples makes a copy of them."""
    free = available()
    room = UNKNOWN_ROOM if free is None else free // 2
    if size > room:
        raise UserError(
            f"{path} has {gigabytes(size)} when unpacked; there is room for {gigabytes(room)}."
        )


def _numbers(path: Path, archive: zipfile.ZipFile, array: _Array) -> np.ndarray:
    """The numbers of an array whose header has been checked; the reader checks its checksum."""
    found = np.empty(prod(array.shape), array.dtype)
    room = found.view(np.uint8).data
    with archive.open(f"{array.name}.npy") as stream:
        _described(stream)
        at = 0
        while at < len(room):
            part = stream.read(min(_CHUNK, len(room) - at))
            if not part:
                raise EOFError(f"{array.name} ends early")
            room[at : at + len(part)] = part
            at += len(part)
    if array.by_columns:
        return found.reshape(array.shape[::-1]).T
    return found.reshape(array.shape)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) of each line; `where` names file and line."""
    total = 0
    with _damage_told(path), gzip.open(path, "rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            total += len(line)
            where = f"{path}, line {number}"
            if len(line) > MAX_LINE:
                raise UserError(f"{where} is longer than {MAX_LINE // 2**10} kB.")
            if total > MAX_TEXT:
                limit = f"{MAX_TEXT // 2**20} MB"
                raise UserError(f"{path} is larger than the limit of {limit} when unpacked.")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise UserError(f"{where} is not UTF-8 text.") from None
            if text.strip():
                yield where, json_object(text, where)


def _out_of_range(where: str, label: int, classes: int) -> UserError:
    shown = str(label) if abs(label) < 10**12 else "so large a number"
    return UserError(f"{where} has the label {shown}; labels must be 0 to {classes - 1}.")


def _check_unicode(text: str, what: str) -> None:
    """JSON can spell half a character, which nothing can encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{what} holds characters that are not valid Unicode.") from None
