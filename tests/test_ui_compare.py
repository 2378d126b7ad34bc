"""The Compare tab without a browser: what differs, both panels, a run on a set, and its links."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite
from inspecting import arrive, follow, opened, page_of
from test_ui import hostile_view, parse, view_of, with_answers
from test_ui_sandbox import link
from visitor import Visitor

from semerge.common import UserError
from semerge.settings import Settings
from semerge.suites.examples import load_examples
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.tabs import compare, compare_html
from semerge.ui.tabs.compare import Asked, CompareTab, Pair, row_source
from semerge.ui.tabs.compare_html import FIRST

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")


def built(context: Context) -> CompareTab:
    with gr.Blocks(), gr.Tabs(), gr.Tab("Compare"):
        return CompareTab(context)


@pytest.fixture
def tab(tmp_path: Path) -> CompareTab:
    suites = [fake_suite("image"), fake_suite("text"), fake_suite("image", name="other")]
    return built(Context.make(suites, load_examples(fake_examples(tmp_path)), FakeEngine))


def visitor_of(tab: CompareTab, asked: Asked) -> Visitor:
    """Whose page asks this."""
    visitor, choice = Visitor(page_of(tab.key)), asked.pair.a
    states = (asked.suite.name, asked.source, asked.key, asked.look)
    sides: list[Any] = []
    for options, side in zip(tab.options, asked.pair.both, strict=True):
        shown = options.put(side.suite, side.settings)
        values = [shown[part] for part in options.inputs]
        sides += [value["value"] if isinstance(value, dict) else value for value in values]
    upload = choice.place if choice.kind == "upload" else None
    form = (choice.kind, choice.limit or 0, choice.place if not upload else "", upload)
    for part, value in zip(tab.inputs, (*states, *form, *sides), strict=True):
        visitor[part] = value
    return visitor


def answer(tab: CompareTab, visitor: Visitor) -> None:
    """What follows whenever something is asked anew."""
    visitor.event(tab.due, "change")


# ---- what differs --------------------------------------------------------------------------------


def lines(html: str) -> dict[str, list[str]]:
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', html)
    plain = [[re.sub("<[^>]+>", "", cell) for cell in row] for row in rows]
    return {row[0]: row[1:] for row in plain}


def test_only_what_differs_is_listed() -> None:
    a = with_answers(view_of(), "digit 3", "digit 8")
    b = with_answers(view_of(preset="literal", layer=2, mass="T*lambda"), "digit 5", "digit 8")
    html = compare_html.differences(a, b)
    parse(html)
    found = lines(html)
    assert found["Preset"] == ["sharp", "literal"] and found["Probe layer"] == [
        "block 4",
        "block 2",
    ]
    assert found["SE-Merging answers"][0].startswith("digit 3, score")
    assert not {"Suite", "Probe", "Pooling", "The static merge answers", "Expert chosen"} & set(
        found
    )
    assert "Different answers, by the same expert" in html
    careful = replace(b, result={**b.result, "fallback": "static"})
    found = lines(compare_html.differences(b, careful))
    assert found == {
        "When no expert fits": ["route all the same", "fall back to the static coefficients"]
    }
    changed = replace(b, result={**b.result, "coefficients": [9.0, *b.column("coefficients")[1:]]})
    assert lines(compare_html.differences(a, changed))["λ of MNIST"][1] == "9.00"


def test_nothing_differs_between_equals_and_hostile_names_stay_text() -> None:
    assert "Nothing differs" in compare_html.differences(view_of(), view_of())
    html = compare_html.differences(hostile_view(), view_of())
    tags = parse(html)
    assert not [t for t, _ in tags.seen if t == "script"] and "{{" not in html
    parse(compare_html.side("A", hostile_view()))


def test_suites_with_other_tasks_have_dashes() -> None:
    a = view_of()
    fewer = {k: a.result[k] for k in a.result} | {
        "tasks": a.tasks[:-1], "coefficients": list(a.column("coefficients"))[:-1]
    }  # fmt: skip
    assert lines(compare_html.differences(a, replace(a, result=fewer)))["λ of Textures"][1] == "–"


# ---- one input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["image", "text"])
def test_both_panels_show_what_the_engine_answers(tab: CompareTab, modality: str) -> None:
    suite = tab.context.default(modality)
    assert suite
    asked = replace(tab._first(suite), source={"example": 3})
    visitor = visitor_of(tab, asked)
    visitor.change(tab.options[0].fields["preset"], "sharp")
    for panel, choice in zip(tab.panels, asked.pair.both, strict=True):
        view, _ = tab.context.ask(choice.suite.name, asked.source, choice.settings)
        want = panel.show(view)
        # the same panel as everywhere: its own values, to the letter
        for part in (panel.headline, panel.answers, panel.distances, panel.figures):
            assert visitor[part] == want[part]
        assert visitor.visible(panel.body)
    heads = [visitor[head] for head in tab.heads]
    assert "hard" not in heads[0] and "sharp" in heads[0]
    assert lines(visitor[tab.differs])["Preset"] == ["sharp", "literal"]
    asked_for = link(visitor[tab.link])
    assert (asked_for["a_preset"], asked_for["b_preset"]) == ("sharp", "literal")
    assert asked_for["example"] == "3" and "run" not in asked_for


def test_one_side_that_fails_leaves_the_other(tab: CompareTab) -> None:
    def predict(name: str, sample: Any, settings: Settings) -> dict[str, Any]:
        if settings.preset == "literal":
            raise UserError("This one is refused.")
        return dict(FakeEngine(fake_suite()).predict(sample, settings).to_dict())

    tab.context.predict = predict
    visitor = visitor_of(tab, tab._first(fake_suite("image")))
    answer(tab, visitor)
    a, b = tab.panels
    assert visitor.visible(a.body) and not visitor.visible(b.body)
    assert "This one is refused." in visitor[b.headline] and visitor[tab.differs] == ""


def test_no_input_is_told_on_both_sides(tab: CompareTab) -> None:
    visitor = visitor_of(tab, replace(tab._first(fake_suite()), source={}))
    answer(tab, visitor)
    for panel in tab.panels:
        assert "Choose or upload an image" in visitor[panel.headline]


def test_another_kind_of_input_begins_anew(tab: CompareTab) -> None:
    visitor = visitor_of(tab, tab._first(fake_suite("image")))
    a, b = tab.options
    visitor.change(a.fields["preset"], "hard")
    visitor.change(tab.picker.example, 2)
    assert visitor[a.fields["preset"]] == "hard"  # the options stay as they are
    visitor.change(tab.picker.suite, "mini-text")
    for options in (a, b):
        assert visitor[options.suite] == "mini-text"
        assert [name for _, name in visitor.of(options.suite, "choices")] == ["mini-text"]
    assert (visitor[a.fields["preset"]], visitor[b.fields["preset"]]) == ("sharp", "literal")
    assert "mini-text" in str(visitor[tab.panels[0].footer])


def test_what_is_set_while_the_models_answer_stays_as_it_is_set(tab: CompareTab) -> None:
    """Nobody knows how long they take: the first answer waits for the weights."""
    visitor = Visitor(page_of(tab.key))
    _, begun = arrive(visitor, tab, "tab=compare&suite=mini-vision&a_preset=hard&b_preset=sharp")
    original = tab.context.predict

    def predict(*asked: Any) -> Any:
        visitor[tab.options[0].fields["preset"]] = "literal"
        visitor[tab.set.kind] = "upload"
        return original(*asked)

    tab.context.predict = predict
    follow(visitor, begun)
    assert "preset hard" in visitor[tab.heads[0]] and visitor.visible(tab.panels[0].body)
    assert visitor[tab.options[0].fields["preset"]] == "literal"
    assert visitor[tab.set.kind] == "upload"


def test_two_suites_of_one_modality_can_be_chosen(tab: CompareTab) -> None:
    asked = tab._first(fake_suite("image"))
    choices = [name for _, name in tab.options[1].suite.choices]
    assert choices == ["mini-vision", "other"]
    visitor = visitor_of(tab, asked)
    visitor.change(tab.options[1].suite, "other")
    assert lines(visitor[tab.differs])["Suite"] == ["Mini Vision", "other"]
    query = Query(link(visitor[tab.link]))
    restored = compare.read_sides(query, asked.suite, tab.context.of("image"))
    assert [s.name for s, _ in restored] == ["mini-vision", "other"] and not query.notices


def test_opened_again_it_stays_as_it_is_and_takes_inputs_over(tab: CompareTab) -> None:
    visitor = visitor_of(tab, tab._first(fake_suite()))
    visitor.event(tab.key.parent, "select")
    assert visitor[tab.answered] is True and visitor.visible(tab.panels[0].body)
    visitor[tab.panels[0].headline] = "as it was"
    visitor.event(tab.key.parent, "select")
    assert visitor[tab.panels[0].headline] == "as it was"
    taken = SimpleNamespace(name="take", outputs=list(tab.outputs))
    visitor._take(taken, tab.take(fake_suite("text"), {"text": "own words"}))
    answer(tab, visitor)
    assert link(visitor[tab.link])["text"] == "own words"
    assert "own words" in visitor[tab.given]


# ---- links ---------------------------------------------------------------------------------------


def test_a_link_brings_input_sides_and_set_back(tab: CompareTab) -> None:
    suite = fake_suite("image")
    sides = (
        (suite, Settings("base", 2, "cls", "hard", "mnist")),
        (suite, Settings("experts", "final", "final", "literal")),
    )
    look = replace(FIRST, filter="only B", head="oracle")
    asked = Asked(suite, {"example": 7}, "", look, Pair.of(sides, "examples", 20))
    visitor = Visitor(page_of(tab.key))
    query = opened(visitor, tab, urlencode(link(tab._link(asked))))
    assert not query.notices and visitor[tab.link] == tab._link(asked)
    assert "hard" in visitor[tab.heads[0]] and "literal" in visitor[tab.heads[1]]
    assert visitor[tab.options[0].fields["preset"]] == "hard"
    assert visitor[tab.options[1].fields["layer"]] == "final"
    assert visitor[tab.set.limit] == 20 and visitor[tab.set.head] == "oracle"


def test_what_a_link_gets_wrong_falls_back_and_is_told(tab: CompareTab) -> None:
    values = {"tab": "compare", "suite": "nothing", "a_suite": "mini-text", "b_preset": "x",
              "set": "hub", "limit": "7", "filter": "<b>", "example": "999"}  # fmt: skip
    visitor = Visitor(page_of(tab.key))
    assert len(opened(visitor, tab, urlencode(values)).notices) == 7
    assert visitor.visible(tab.panels[1].body)


def test_an_own_image_is_not_in_the_link(tab: CompareTab, tmp_path: Path) -> None:
    file = next((tmp_path / "vision").glob("*.png"))
    html = tab._link(replace(tab._first(fake_suite()), source={"file": str(file)}))
    assert str(tmp_path) not in html and "Your own image is not in the link" in html


def test_a_row_of_the_bundled_examples_is_that_example(tab: CompareTab) -> None:
    pair = tab._first(fake_suite("image")).pair
    assert row_source(pair, "examples/vision/3") == {"example": 3}
    assert row_source(pair, "") == row_source(pair, "x/y") == {}
