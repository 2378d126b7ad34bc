"""The fast mode on the page: where it can be chosen, and that whatever it made says so."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fakes import FakeEngine, fake_app, fake_examples, fake_suite
from markupsafe import escape
from test_links import query_of

from semerge.common import UserError
from semerge.engine import load_engine
from semerge.evaluation import tables
from semerge.inputs import decode_image
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.suites.abstention import read_abstention
from semerge.suites.examples import Examples, load_examples
from semerge.ui import charts, links, options, words
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.options import Options
from semerge.ui.scene import picture
from semerge.ui.tabs import compare as compare_sides
from semerge.ui.tabs.ask import VisionTab
from semerge.ui.tabs.compare import CompareTab
from semerge.ui.tabs.inspect import InspectTab
from semerge.ui.tabs.inspect_choice import read_choice
from semerge.ui.words import View, macro

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
FAST, EXACT = Settings(fast=True), Settings()


def part(name: str, view: View) -> str:
    """One part of the Result panel."""
    return macro(name, view, template="panel.html")


def view_of(settings: Settings) -> View:
    suite = fake_suite()
    return View(FakeEngine(suite).predict("a", settings).to_dict(), suite)


def made(suite: Suite, fast: bool = True) -> Options:
    with gr.Blocks():
        return Options([suite], "x", fast=fast)


def context_of(folder: Path) -> Context:
    return Context.make([fake_suite()], load_examples(fake_examples(folder)), FakeEngine)


# ---- where it can be chosen ----------------------------------------------------------------------


def test_it_is_off_and_tells_what_was_measured() -> None:
    suite = read_suite("mini-vision")
    found = made(suite)
    fast = found.fields["fast"]
    assert fast.value is False and fast in found.inputs
    bench = json.loads(tables.BENCH.read_text(encoding="utf-8"))["mini-vision"]["labelled"]
    row = next(row for row in bench["modes"] if row["mode"] == "fast")
    assert f"{100 * row['agreement']:.1f}\u00a0% of {bench['n']:,} test samples" in fast.info
    assert "was not measured" in options.fast_agreement(
        read_suite("gpt2-glue"), tables.read_bench()
    )
    assert "was not measured" in options.fast_agreement(suite, tables.read_bench(Path("/nowhere")))


def test_the_fast_mode_and_the_fallback_leave_each_other_out() -> None:
    suite = read_suite("mini-vision")
    found, abstention = made(suite), read_abstention(suite)
    assert abstention is not None
    for settings, fast, fallback in (
        (EXACT, True, True),
        (FAST, True, False),
        (Settings(fallback="static"), False, True),
    ):
        put, follow = found.put(suite, settings), found.follow(suite, settings)
        assert {*put} == {*found.outputs} and {*follow} == {*found.followers}
        for told in (put, follow):
            assert told[found.fields["fast"]]["interactive"] is fast
            assert told[found.fields["fallback"]]["interactive"] is fallback
            about = told[found.fields["fast"]]["info"]
            assert (about == options.NOT_FAST) is not fast
            about = told[found.fields["fallback"]]["info"]
            assert about == (abstention.effect() if fallback else options.NO_FALLBACK)
        assert put[found.fields["fast"]]["value"] is settings.fast
        assert put[found.fields["fallback"]]["value"] == settings.fallback


def test_tabs_that_run_sets_do_not_offer_it(tmp_path: Path) -> None:
    """A sweep over a set has no fast mode, so it can neither be chosen nor come by a link."""
    context = context_of(tmp_path)
    suite = context.suites["mini-vision"]
    with gr.Blocks(), gr.Tabs(), gr.Tab("x"):
        compare, inspect = CompareTab(context), InspectTab(context)
    for part in (*compare.options, inspect.form.options):
        assert "fast" not in part.fields
        boxes = [x.label for x in part.inputs if isinstance(x, gr.Checkbox)]  # of methods' options
        assert not [label for label in boxes if "fast" in label.lower()]
        assert {*part.put(suite, EXACT)} == {*part.outputs}
    query = Query({"fast": "1", "a_fast": "1", "b_fast": "1", "a_preset": "sharp"})
    sides = compare_sides.read_sides(query, suite, [suite])
    assert [settings.fast for _, settings in sides] == [False, False]
    assert read_choice(query, suite, context.examples).settings.fast is False
    assert query.notices == []


@pytest.mark.parametrize(
    ("sent", "fast"), [([], False), ([False], False), ([None], False), ([True], True)]
)
def test_only_a_yes_is_a_yes(sent: list[Any], fast: bool) -> None:
    read = made(fake_suite()).read(
        fake_suite(), ("sharp", "experts", 4, "mean", "auto", "route", *sent)
    )
    assert read.fast is fast and read.fallback == "route"


@pytest.mark.parametrize("sent", ["no", "yes", 1, 0, "", [True]])
def test_what_is_neither_yes_nor_no_is_refused(sent: Any) -> None:
    values = ("sharp", "experts", 4, "mean", "auto", "route", sent)
    with pytest.raises(UserError, match="fast must be true or false"):
        made(fake_suite()).read(fake_suite(), values).resolve(fake_suite())


# ---- links ---------------------------------------------------------------------------------------


def test_it_is_in_the_link_and_comes_back(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    suite = context.suites["mini-vision"]
    with gr.Blocks():
        desk = VisionTab(context)
    asked = desk._ask(
        {"example": 3}, suite.name, ["sharp", "experts", 2, "mean", "auto", None, True]
    )
    values = query_of(asked[desk.link])
    assert values["fast"] == "1" and values["layer"] == "2"
    query = Query(values)
    filled = desk.restore(query)
    assert query.notices == [] and filled[desk.options.fields["fast"]]["value"] is True
    assert filled[desk.options.fields["fallback"]]["interactive"] is False
    assert "Fast mode: " in filled[desk.panel.headline]
    assert query_of(filled[desk.link]) == values
    plain = desk._ask(
        {"example": 3}, suite.name, ["sharp", "experts", 2, "mean", "auto", None, False]
    )
    assert "fast" not in query_of(plain[desk.link])
    assert "Fast mode" not in plain[desk.panel.headline]


@pytest.mark.parametrize("bad", ["2", "true", "", "<b>", "١"])
def test_an_unknown_value_is_told(bad: str) -> None:
    query = Query({"fast": bad})
    assert links.read_settings(query, fake_suite(), fast=True).fast is False
    assert len(query.notices) == 1 and "fast" in query.notices[0]
    query = Query({"fast": "0"})
    assert links.read_settings(query, fake_suite(), fast=True).fast is False
    assert query.notices == []


def test_a_link_cannot_ask_for_both() -> None:
    suite = read_suite("mini-text")
    query = Query({"fast": "1", "fallback": "static"})
    settings = links.read_settings(query, suite, fast=True)
    assert (settings.fast, settings.fallback) == (True, "route")
    assert len(query.notices) == 1 and "fallback" in query.notices[0]
    settings.resolve(suite)


# ---- what it made says so ------------------------------------------------------------------------


def test_a_view_knows_who_answered() -> None:
    exact, fast = view_of(EXACT), view_of(FAST)
    assert (exact.fast, exact.estimated) == (False, False)
    assert (fast.fast, fast.estimated) == (True, True)
    whole = replace(fast, result={**fast.result, "estimated": []})
    assert (whole.fast, whole.estimated) == (True, False)
    # a file that was stored before these fields were, and what the Layers tab routes
    old = {k: v for k, v in exact.result.items() if k not in ("fast", "estimated")}
    assert (replace(exact, result=old).fast, replace(exact, result=old).estimated) == (False, False)
    # it is the fields that tell, in whatever words the notices do
    told = replace(fast, result={**fast.result, "notices": ["Schnell."]})
    assert (told.fast, told.estimated) == (True, True)


def test_the_fields_and_the_notices_say_the_same() -> None:
    suite = read_suite("mini-vision")
    engine, examples = load_engine(suite.folder), load_examples().of("image")
    kinds = set()
    for example in examples[:8]:
        for probe in ("experts", "cache"):
            settings = Settings(probe=probe, preset="sharp", fast=True)
            result = engine.predict(decode_image(example.file), settings).to_dict()
            view = View(result, suite)
            dropped = re.search(r"(\d) of 8 experts were dropped", " ".join(result["notices"]))
            assert view.fast and len(result["estimated"]) == int(dropped[1] if dropped else 0)
            assert result["chosen"] not in result["estimated"]
            kinds.add((probe, view.estimated))
    assert ("experts", True) in kinds and ("cache", False) in kinds


def method_text(view: View) -> str:
    return "".join(text for text, _ in words.method_parts(view))


def test_no_estimate_is_called_a_distance_at_the_layer() -> None:
    exact, fast = view_of(EXACT), view_of(FAST)
    for view, where in ((exact, " at block 4"), (fast, " by block 4")):
        assert where.strip() in method_text(view) and where in words.made(view)
        assert where.strip().capitalize() in picture(view)
        for text in (words.similarity_summary(view), part("figures", view), picture(view)):
            assert (words.ESTIMATES in text) is view.estimated
        hints = [row.hint for row in charts.similarity(view).rows]
        assert all(("or its estimate" in hint) is view.estimated for hint in hints)
        assert ("on raw distances" in part("figures", view)) is not view.estimated
    assert method_text(fast).startswith("Routing by SE-Merging in fast mode: ")
    assert method_text(exact).startswith("Routing by SE-Merging: ")
    assert "probe experts, fast mode: " in words.made(fast) and "fast" not in words.made(exact)
    assert "over the mean" not in words.made(fast)  # before the layer, it may be another pooling


def test_the_notice_is_in_the_panel_and_in_the_export() -> None:
    view = view_of(FAST)
    (notice,) = view.result["notices"]
    assert notice.startswith("Fast mode: 6 of 8 experts were dropped early")
    assert escape(notice) in part("headline", view)
    found = re.search(r'base64,([^"]+)"', part("footer", view))
    assert found
    assert json.loads(base64.b64decode(found[1]))["notices"] == [notice]


# ---- the API -------------------------------------------------------------------------------------


def test_clients_may_ask_for_it_and_older_ones_need_not(tmp_path: Path) -> None:
    from gradio_client import Client

    choices = ("mini-text", "sharp", "experts", 4, "mean", "auto")
    with fake_app(tmp_path) as url:
        client = Client(url, verbose=False)
        for more, fast in (((), False), (("route",), False), (("route", True), True)):
            answer = client.predict("Play it", "", *choices, *more, api_name="/predict_text")
            assert any(note.startswith("Fast mode: ") for note in answer["notices"]) is fast


def test_both_at_once_are_refused_in_one_sentence() -> None:
    suite = read_suite("mini-text")
    context = Context.make([suite], Examples(), lambda suite: load_engine(suite.folder))
    choices = ("sharp", "experts", 2, "mean", "auto", "static", True)
    with pytest.raises(UserError, match="does not look whether an expert fits; leave one out"):
        context.ask(suite.name, {"text": "Play it"}, made(suite).read(suite, choices))
