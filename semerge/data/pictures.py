"""The pictures of a folder or a zip archive: by name, before any is read, and in folders that say
task, split and class."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from semerge.common import UserError, listed, naming, quoted, reading
from semerge.data import archives
from semerge.data.archives import junk, list_archive, read_archive
from semerge.data.tabular import Record
from semerge.inputs import decode_image, is_picture
from semerge.suites import Suite
from semerge.suites.class_names import Notice

MAX_LISTED = 1_000_000
"""Files of a folder among which a limit takes some."""
NAMED = 3
"""Files named in a notice."""
SPLIT_NAMES = {
    name: split
    for split, names in {
        "train": ("train", "training"),
        "validation": ("validation", "valid", "val", "dev"),
        "test": ("test", "testing", "eval"),
    }.items()
    for name in names
}
_TYPES = mimetypes.MimeTypes()  # without the system's own, which differ
_BEGINNING = 16  # bytes that tell a picture

Name = PurePosixPath
Picture = Path | bytes


@dataclass(frozen=True)
class Pictures:
    """What lies in a folder or an archive, by name. strays: what is no picture. read: the files, or
    the bytes, of some of them."""

    names: Sequence[Name]
    strays: Sequence[Name]
    read: Callable[[Sequence[Name]], list[Picture]]


def pictures_at(place: Path, limited: bool, notice: Notice) -> Pictures:
    """The pictures of a folder and all folders in it, or of a zip archive. Whatever else lies there
    is passed over, and `notice` is told. limited: whether some of them are to be taken, so that
    there may be many. Raises UserError where there is none, or too many, or the archive is not as
    it should be; one sentence."""
    found = _in_folder(place, limited) if place.is_dir() else _in_archive(place, limited)
    if found.strays:
        notice(f"{_counted(found.strays, 'passed over, as no picture')}.")
    if not found.names:
        if place.is_dir():
            raise UserError(f"{place} holds no images, and no task as TASK/classes.json.")
        raise UserError("This zip archive holds no images.")
    return found


def readable(
    names: Sequence[Name], found: Sequence[Picture], skip_damaged: bool, notice: Notice
) -> list[bool]:
    """Whether each of these files is a picture as `decode_image` takes it. Raises UserError at the
    first that is none; or, with skip_damaged, where none is one, and tells `notice` of the others.
    """
    fine, why = [], ""
    for name, picture in zip(names, found, strict=True):
        try:
            with naming(repr(str(name))):
                decode_image(picture)
            fine.append(True)
        except UserError as error:
            if not skip_damaged:
                raise
            fine.append(False)
            why = why or str(error)
    damaged = [name for name, good in zip(names, fine, strict=True) if not good]
    if damaged and not any(fine):
        raise UserError(why)
    if damaged:
        notice(f"{_counted(damaged, 'skipped, as no readable picture')}.")
    return fine


def placed(
    suite: Suite, names: Sequence[Name], folder: str, split: str, notice: Notice
) -> list[Record]:
    """Names of pictures as records: of the class that their folder is called by, and of the task
    and the split that folders above it are. `folder` is the name of the one that holds all of them.

    Where there are splits, those of `split` alone; or of the only one there is, where that is the
    default. Raises UserError where a picture lies in no such folder; one sentence.
    """
    common = _common([name.parts for name in names])
    outer = _Above()
    for part in (folder, *names[0].parts[:common]):
        outer = outer.of(suite, part) or outer
    found: list[tuple[str | None, Record]] = []
    for name in names:
        *between, label, _ = ("", *name.parts[common:])
        own = outer if label else None
        for part in between[1:]:
            own = own and own.of(suite, part)
        if own is None and len(between) == 2:
            suite.index(between[1])
        if own is None:
            raise UserError(f"{str(name)!r} lies in no class's folder; use one folder a class.")
        found.append((own.split, Record(str(name), label, task=own.task)))
    wanted = _split({of for of, _ in found}, split, notice)
    return [record for of, record in found if of == wanted]


@dataclass(frozen=True)
class _Above:
    """What the folders above a class's say."""

    task: str | None = None
    split: str | None = None

    def of(self, suite: Suite, part: str) -> _Above | None:
        """With one more folder; None where it is no task's and no split's."""
        if part in suite.task_names:
            return _Above(part, self.split)
        split = SPLIT_NAMES.get(part.casefold())
        return None if split is None else _Above(self.task, split)


def _common(names: Sequence[tuple[str, ...]]) -> int:
    """How many folders hold all of the others that hold a class's, as an archive of one folder has
    it."""
    count = 0
    while min(map(len, names)) > count + 2 and len({name[count] for name in names}) == 1:
        count += 1
    return count


def _split(found: set[str | None], wanted: str, notice: Notice) -> str | None:
    """Which of the splits is read."""
    if found == {None}:
        return None
    if None in found:
        raise UserError("Some pictures lie in a split's folder, and others in none.")
    names = listed(sorted(filter(None, found)))
    if wanted in found:
        if len(found) > 1:
            notice(f"{len(found)} splits are there, {names}; {wanted} is read.")
        return wanted
    if wanted == "test" and len(found) == 1:
        notice(f"1 split is there, {names}, which is read.")
        return found.pop()
    raise UserError(f"There is no split {quoted(wanted)}; there are {names}.")


# ---- what is there -------------------------------------------------------------------------------


def _in_archive(place: Path, limited: bool) -> Pictures:
    entries, left = list_archive(place, archives.MAX_LISTED if limited else archives.MAX_FILES)
    unknown = {name: entries[name] for name in entries if _by_name(name) is None}
    told = {name: is_picture(data) for name, data in read_archive(place, unknown, _BEGINNING)}
    good = {name: told.get(name, _by_name(name)) for name in entries}

    def read(chosen: Sequence[Name]) -> list[Picture]:
        return [data for _, data in read_archive(place, {name: entries[name] for name in chosen})]

    strays = [*left, *(name for name, fine in good.items() if not fine)]
    return Pictures([name for name, fine in good.items() if fine], strays, read)


def _in_folder(place: Path, limited: bool) -> Pictures:
    most = MAX_LISTED if limited else archives.MAX_FILES
    names: list[Name] = []
    strays: list[Name] = []
    with reading(place):
        for name in islice(_files(place), most + 1):
            good = None if junk(name) else _by_name(name)
            if good is None and not junk(name):
                with (place / name).open("rb") as file:
                    good = is_picture(file.read(_BEGINNING))
            (names if good else strays).append(name)
    if len(names) + len(strays) > most:
        part = "" if limited else "; a limit of samples takes a part of them"
        raise UserError(f"{place} holds too many files; the limit is {most:,}{part}.")
    return Pictures(names, strays, lambda chosen: [place / name for name in chosen])


def _files(folder: Path) -> Iterator[Name]:
    """Every file below a folder in the order of names; links to folders are not followed, and of a
    folder that is `junk` its name alone is told."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        inside = Path(root).relative_to(folder)
        left = [name for name in folders if junk(Name(name))]
        folders[:] = sorted(set(folders) - set(left))
        yield from (Name(inside, name) for name in sorted([*names, *left]))


def _by_name(name: Name) -> bool | None:
    """Whether a name is a picture's; None where it does not tell."""
    kind, packed = _TYPES.guess_type(name.name, strict=False)
    return None if kind is None else kind.startswith("image/") and packed is None


def _counted(names: Sequence[Name], how: str) -> str:
    """ "1 file passed over, as no picture: 'README.txt'"."""
    count = len(names)
    shown = listed(quoted(str(name)) for name in names[:NAMED])
    more = f" and {count - NAMED:,} more" if count > NAMED else ""
    return f"{count:,} file{'s' if count > 1 else ''} {how}: {shown}{more}"
