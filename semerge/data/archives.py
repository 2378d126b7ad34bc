"""Zip archives from strangers, made safe: names and bytes, or one sentence why not.

Nothing is ever written to disk, so no name can lead anywhere; names that try are refused all the
same. What an archive says about itself is checked before a byte is unpacked, and unpacking stops
where it has said more than it said it would.
"""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from semerge.common import UserError
from semerge.inputs import MAX_BYTES

MAX_ARCHIVE = 200 * 2**20
"""Bytes of an archive."""
MAX_UNPACKED = 400 * 2**20
"""Bytes of all its files together."""
MAX_FILES = 5_000
MAX_LISTED = 50_000
"""Files among which a limit takes some."""
MAX_RATIO = 200
"""Unpacked over packed bytes of one file; files below `SMALL` may be as even as they like."""
SMALL = 2**20
MAX_DEPTH = 4
"""Folders above a file."""
MAX_NAME = 240

_DIRECTORY_ENTRY = 46 + MAX_NAME + 64  # bytes in the archive's directory that a file may take
_END = struct.Struct("<4s4H2LH")  # the end record: its 5th field counts files, its 6th bytes
_JUNK = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini")
_NESTED = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".zst")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    UnicodeDecodeError,  # a name beside its file that is not the directory's
)
_DAMAGED = "This zip archive is damaged or incomplete; make it once more."


Entries = Mapping[PurePosixPath, zipfile.ZipInfo]


def junk(name: PurePosixPath) -> bool:
    """Whether a path is what desktops and tools leave beside files: `._a.png`, `Thumbs.db`."""
    return any(part.startswith(".") or part.casefold() in _JUNK for part in name.parts)


def list_archive(path: Path, most: int = MAX_FILES) -> tuple[Entries, list[PurePosixPath]]:
    """The files of a zip archive by name, in the archive's order, and what `junk` says of it;
    folders are passed over.

    Raises UserError where it is no zip archive, is encrypted, holds more files than `most`, or one
    breaks a limit; one sentence. Nothing is unpacked.
    """
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    left: list[PurePosixPath] = []
    with _opened(path, most) as archive:
        for info in archive.infolist():
            name, folder = _name(info)
            if name in found:
                raise UserError(f"{_shown(name)} is in the zip archive twice.")
            if folder:
                continue
            if junk(name):
                left.append(name)
                continue
            _check(name, info)
            found[name] = info
    if not found:
        raise UserError("This zip archive holds no files.")
    if len(found) > most:
        raise _too_many(f"{len(found):,}", most)
    return found, left


def read_archive(
    path: Path, entries: Entries, beginning: int | None = None
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(name, bytes) of some entries of an archive, as `list_archive` has them. beginning: at most
    so many bytes of each. Raises UserError where they are damaged, or too large together."""
    total = sum(info.file_size for info in entries.values())
    if beginning is None and total > MAX_UNPACKED:
        shown = f"{_mb(total)} when unpacked; the limit is {_mb(MAX_UNPACKED)}"
        raise UserError(f"This zip archive has {shown}.")
    with _opened(path, MAX_LISTED) as archive:
        for name, entry in entries.items():
            yield name, _unpack(archive, entry, beginning)


@contextmanager
def _opened(path: Path, most: int) -> Iterator[zipfile.ZipFile]:
    try:
        with path.open("rb") as file:
            _check_directory(file, most)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except _DAMAGE:
        raise UserError(_DAMAGED) from None
    except OSError as error:
        if error.errno == errno.EINVAL:  # the directory leads to before the file's beginning
            raise UserError(_DAMAGED) from None
        raise UserError(f"The upload can't be read: {error.strerror}.") from None


def _check_directory(file: BinaryIO, most: int) -> None:
    """Refuse by the end record alone, before Python builds an object for every entry."""
    size = file.seek(0, 2)
    if size > MAX_ARCHIVE:
        raise UserError(f"This zip archive has {_mb(size)}; the limit is {_mb(MAX_ARCHIVE)}.")
    file.seek(max(0, size - 65_535 - _END.size))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise UserError("This file is no zip archive; pack one folder a class as a .zip file.")
    fields = _END.unpack_from(tail, at)
    entries = min(3 * most, 65_534)  # with folders, and what lies beside files; more is zip64
    if fields[4] > entries or fields[5] > entries * _DIRECTORY_ENTRY:
        raise _too_many("too many", most)


def _too_many(count: str, most: int) -> UserError:
    part = "; a limit of samples takes a part of them" if most < MAX_LISTED else ""
    return UserError(f"This zip archive holds {count} files; the limit is {most:,}{part}.")


def _name(info: zipfile.ZipInfo) -> tuple[PurePosixPath, bool]:
    """The entry's path, if it is a plain relative one, and whether it is a folder."""
    raw = info.orig_filename
    if not info.flag_bits & 0x800:  # not marked as UTF-8, which many writers forget
        try:
            raw = raw.encode("cp437").decode("utf-8")
        except UnicodeError:
            shown = f"{_shown(raw)} is not UTF-8"
            raise UserError(f"The file name {shown}; rename it in plain letters.") from None
    bad = any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in raw)
    if not raw or bad or len(raw) > MAX_NAME:
        raise UserError(f"The file name {_shown(raw)} is empty, too long or not readable.")
    plain = raw.replace("\\", "/")  # as some writers on Windows have it
    parts = plain.split("/")
    if plain.startswith("/") or ".." in parts or ":" in parts[0]:
        raise UserError(f"The file name {_shown(raw)} leads out of the zip archive.")
    return PurePosixPath(plain), plain.endswith("/")


def _check(name: PurePosixPath, info: zipfile.ZipInfo) -> None:
    size, kind = info.file_size, stat.S_IFMT(info.external_attr >> 16)
    bomb = size > max(SMALL, MAX_RATIO * info.compress_size)
    for refused, why in (
        (kind not in (0, stat.S_IFREG), "is a link or a device, not a file"),
        (info.flag_bits & 0x41, "is encrypted; pack it without a password"),
        (info.compress_type not in _METHODS, "is packed in an unusual way; use plain zip"),
        (name.suffix.lower() in _NESTED, "is an archive inside the archive; unpack it first"),
        (len(name.parts) - 1 > MAX_DEPTH, f"lies in more than {MAX_DEPTH} folders"),
        (size > MAX_BYTES, f"has {_mb(size)}; the limit is {_mb(MAX_BYTES)} a file"),
        (bomb, f"unpacks to more than {MAX_RATIO} times its packed size, as zip bombs do"),
    ):
        if refused:
            raise UserError(f"{_shown(name)} {why}.")


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, beginning: int | None) -> bytes:
    """At most as many bytes as the directory promised; the checksum is checked by the reader."""
    with archive.open(info) as stream:
        if beginning is not None:
            return stream.read(beginning)
        data = stream.read(info.file_size)
        if len(data) < info.file_size or stream.read(1):
            raise zipfile.BadZipFile("size differs")
    return data


def _mb(count: int) -> str:
    return f"{count / 2**20:,.0f} MB"


def _shown(name: PurePosixPath | str) -> str:
    text = ascii(str(name))
    return text if len(text) <= 80 else f"{text[:80]}..."
