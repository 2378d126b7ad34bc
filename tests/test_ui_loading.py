"""What fills a tab as its engine comes: the opening example, unless its visitor asked already."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite
from visitor import Visitor

from semerge.result import Result
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import tabs
from semerge.ui.app import build
from semerge.ui.context import Context
from semerge.ui.links import Query

SLOW = "a sentence that is answered late"


class Gated(FakeEngine):
    """Waits with the answer to SLOW, and tells that it does."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite)
        self.waits, self.gate = threading.Event(), threading.Event()

    def predict(
        self, sample: object, settings: Settings | None = None, cache: Any = None
    ) -> Result:
        if getattr(sample, "text", sample) == SLOW:
            self.waits.set()
            assert self.gate.wait(60)
        return super().predict(sample, settings, cache)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    examples = load_examples(fake_examples(tmp_path))
    return Context.make([fake_suite("image"), fake_suite("text")], examples, Gated)


@pytest.fixture
def page(context: Context) -> gr.Blocks:
    return build(context)


def arrive(page: gr.Blocks, session: str) -> Visitor:
    visitor = Visitor(page, session)
    visitor.load()
    return visitor


def come(context: Context) -> None:
    """All engines, and what they open with."""
    context.engines.start(list(context.suites)).join()


def filled(visitor: Visitor) -> list[str]:
    """The tabs that the next look at the engines fills."""
    shown = visitor.tick()
    return [tab for tab in ("vision", "language") if visitor.part(f"{tab}-sentence") in shown]


def test_the_opening_example_does_not_come_over_an_input_that_waits(
    page: gr.Blocks, context: Context
) -> None:
    """An answer may come while the timer's look is under way, which saw no answer yet."""
    asks, looks = arrive(page, "a"), arrive(page, "b")
    assert filled(asks) == filled(looks) == []
    asks["language-text"] = SLOW
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asks.press, "language-run")
        come(context)
        engine = context.engines.get("mini-text")
        try:
            assert engine.waits.wait(60)
            assert filled(asks) == ["vision"]
            assert filled(looks) == ["vision", "language"]
        finally:
            engine.gate.set()
        own = answer.result()[asks.part("language-sentence")]
    assert filled(asks) == [] and asks["language-sentence"] == own
    assert looks["language-sentence"] != own


def test_an_input_waits_until_it_is_answered_or_refused(page: gr.Blocks, context: Context) -> None:
    """Another page of the same visitor, which asks nothing, is filled then."""
    pages = [arrive(page, "a") for _ in range(5)]
    come(context)
    pages[0]["vision-image"] = None
    assert pages[0].press("vision-run") == {}  # nothing was asked
    assert filled(pages[0]) == ["vision", "language"]
    for other, text in zip(pages[1:], ("refuse", "", "fail", "play it"), strict=True):
        asks = Visitor(page, "a")
        asks["language-text"] = text
        if text == "fail":
            with pytest.raises(RuntimeError, match="secret"):
                asks.press("language-run")
        else:
            assert asks.part("language-sentence") in asks.press("language-run")
        assert filled(other) == ["vision", "language"]


NEW_TAB = """
from semerge.ui.parts import html
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
