"""How far a Run goes: which of the project's files it enters, and by how many calls it comes to the
engine."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
from visitor import Visitor

import semerge
from semerge.engine import Engine
from semerge.ui.app import build, make_context
from semerge.ui.context import Context

PACKAGE = Path(semerge.__file__).parent
# That a Run enters: five of the page, and ten for the engine, its backbone, the probe of the suite,
# and the one beside it that says whether any expert fits.
FILES = 15
OF_THE_PAGE = 5  # ask, context, words, charts, scene
HOPS = 4  # from the button's handler to `Engine.predict`
ASKED = {
    "vision": ("vision-image", lambda context: str(context.examples.vision[3].file)),
    "language": ("language-text", lambda context: "book a table for two tonight"),
}


@pytest.fixture(scope="module")
def context() -> Context:
    context = make_context()
    first = [suite.name for suite in map(context.default, ("image", "text")) if suite]
    context.engines.start(first).join()
    return context


@cache
def own(name: str) -> str | None:
    """A file of the package by its path in there, None for any other: asked at every call."""
    file = Path(name)
    return file.relative_to(PACKAGE).as_posix() if PACKAGE in file.parents else None


def entered(visitor: Visitor, button: str) -> tuple[set[str], int]:
    """The files of the package that pressing it enters, and the calls to `Engine.predict`."""
    files: set[str] = set()
    hops = 0

    def seen(frame: FrameType, event: str, _: object) -> None:
        nonlocal hops
        if event == "call" and (file := own(frame.f_code.co_filename)) is not None:
            files.add(file)
            if frame.f_code is Engine.predict.__code__:
                hops = _depth(frame) - 1

    sys.setprofile(seen)
    try:
        visitor.press(button)
    finally:
        sys.setprofile(None)
    return files, hops


def _depth(frame: FrameType | None) -> int:
    count = 0
    while frame is not None:
        count += own(frame.f_code.co_filename) is not None
        frame = frame.f_back
    return count


@pytest.mark.parametrize("tab", ASKED)
def test_a_run_enters_few_files_and_is_soon_with_the_engine(tab: str, context: Context) -> None:
    visitor, (box, value) = Visitor(build(context)), ASKED[tab]
    opening = visitor[f"{tab}-sentence"]
    visitor[box] = value(context)
    files, hops = entered(visitor, f"{tab}-run")
    assert visitor[f"{tab}-sentence"] != opening
    assert len(files) <= FILES, sorted(files)
    assert len([file for file in files if file.startswith("ui/")]) <= OF_THE_PAGE, sorted(files)
    assert 0 < hops <= HOPS
