"""Several data folders as one: a file of a later folder stands for the same file of an earlier one.

So a task can take its training images from one folder and its test split from another. The one
folder holds links to the files, which every reader of a data folder then follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def overlay(folders: Sequence[Path], out: Path) -> Path:
    """The folder itself where there is one; else `out/<name of the first>`, made anew, of links."""
    if len(folders) == 1:
        return folders[0]
    target = out / folders[0].resolve().name
    for old in sorted(target.rglob("*"), reverse=True):
        if old.is_symlink():
            old.unlink()
    for name, file in files(folders).items():
        link = target / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return target


def files(folders: Sequence[Path]) -> dict[str, Path]:
    """Every file, by its path in its folder; of equals that of the last folder."""
    return {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in sorted(folder.glob("*/*"))
        if path.is_file()
    }


def replaced(folders: Sequence[Path]) -> dict[str, str]:
    """The files that stand for an earlier folder's: path -> name of the folder they are from."""
    found, names = {}, set(files(folders[:1]))
    for folder in folders[1:]:
        own = set(files([folder]))
        found.update(dict.fromkeys(sorted(own & names), folder.resolve().name))
        names |= own
    return found
