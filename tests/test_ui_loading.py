"""What fills a tab as its engine comes: the opening example, unless its visitor asked already."""

from __future__ import annotations

import sys
from inspect import getclosurevars
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite

from semerge.common import UserError
from semerge.suites.examples import Examples, load_examples
from semerge.ui import tabs
from semerge.ui.app import build
from semerge.ui.context import Context
from semerge.ui.links import Query


@pytest.fixture
def look(tmp_path: Path) -> Any:
    """What the timer calls, of a page whose engines are there."""
    examples = load_examples(fake_examples(tmp_path))
    context = Context.make([fake_suite("image"), fake_suite("text")], examples, FakeEngine)
    page = build(context)
    context.engines.start(list(context.suites))
    for name in context.suites:
        context.engines.get(name)
    return next(f.fn for f in page.fns.values() if getattr(f.fn, "__name__", "") == "look")


@pytest.fixture
def desks(look: Any) -> list[Any]:
    return list(getclosurevars(look).nonlocals["desks"])


def test_the_opening_example_does_not_come_over_an_input_that_waits(
    look: Any, desks: list[Any]
) -> None:
    """An answer may come while the timer's look is under way, which saw no answer yet."""
    opening = [desk.context.examples.opening(desk.modality) for desk in desks]
    sources = [{"example": example.index} for example in opening]

    def filled(session: str) -> list[bool]:
        """Which desks are filled, by the values of one look."""
        shown = look(SimpleNamespace(session_hash=session), [], [], *sources)
        return [desk.panel.headline in shown for desk in desks]

    assert filled("a") == [True, True]
    desks[1].asking.add("a")
    assert filled("a") == [True, False]
    assert filled("b") == [True, True]


def test_an_input_waits_until_it_is_answered_or_refused(desks: list[Any]) -> None:
    desk, taken, seen = desks[1], [], []

    def nothing() -> None:
        seen.append(set(desk.asking))

    def refused() -> None:
        nothing()
        raise UserError("no")

    for fn in (nothing, refused):
        desk.on(lambda ask, *given, **options: taken.append(ask), fn, [])
        taken[-1](SimpleNamespace(session_hash="a"), desk.suite.name)
        assert not desk.asking
    assert seen == [{"a"}, {"a"}]


NEW_TAB = """
from semerge.ui.panel import html
from semerge.ui.tabs import Tab


class Extra(Tab):
    label, place = "Extra", 45

    def __init__(self, context):
        html("<p>one more</p>")
"""


def test_a_tab_is_added_by_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "extra.py").write_text(NEW_TAB)
    monkeypatch.setattr(tabs, "__path__", [*tabs.__path__, str(tmp_path)])
    tabs.registry.cache_clear()
    try:
        context = Context.make([fake_suite("image")], Examples(), FakeEngine)
        page = build(context)
        shown = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
        first, last = shown.index("Layers"), shown.index("Sandbox")
        assert "Extra" in shown[first:last] and Query({"tab": "extra"}).tab == "extra"
    finally:
        tabs.registry.cache_clear()
        sys.modules.pop("semerge.ui.tabs.extra", None)
