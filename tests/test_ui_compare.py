"""The Compare tab without a browser: what differs, both panels, a run on a set, and its links."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite
from test_ui import hostile_view, parse, view_of, with_answers
from test_ui_sandbox import link

from semerge.common import UserError
from semerge.settings import Settings
from semerge.suites.examples import load_examples
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.tabs import compare, compare_html
from semerge.ui.tabs.compare import Asked, CompareTab, pair_of, row_source
from semerge.ui.tabs.compare_html import FIRST

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")


def built(context: Context) -> CompareTab:
    with gr.Blocks(), gr.Tabs(), gr.Tab("Compare"):
        return CompareTab(context)


@pytest.fixture
def tab(tmp_path: Path) -> CompareTab:
    suites = [fake_suite("image"), fake_suite("text"), fake_suite("image", name="other")]
    return built(Context.make(suites, load_examples(fake_examples(tmp_path)), FakeEngine))


def values_of(asked: Asked, place: str = "") -> list[Any]:
    """The values of `CompareTab.asked` for a state."""
    found: list[Any] = [asked.suite.name, asked.source, asked.key, asked.look]
    choice = asked.pair.a
    found += [choice.kind, choice.limit or 0, place or choice.place, None]
    for suite, settings in asked.sides:
        s = settings.resolve(suite)
        found += [suite.name, s.preset, s.probe, s.layer, s.pool, s.head, s.fallback]
    return found


def answered(tab: CompareTab, values: list[Any]) -> dict[str, Any]:
    """Values of `answered` by name; those of a panel as a list."""
    size = len(tab.answers.panels[0].outputs)
    assert len(values) == 3 + 2 * (1 + size) + 1
    a, b = values[3 : 4 + size], values[4 + size : 5 + 2 * size]
    shown = dict(zip(("shown", "given", "differs"), values[:3], strict=True))
    return {**shown, "a_head": a[0], "a": a[1:], "b_head": b[0], "b": b[1:], "link": values[-1]}


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
    assert found["Preset"] == ["sharp", "literal"] and found["Layer"] == ["block 4", "block 2"]
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
    values = tab._again(*values_of(asked))
    shown = answered(tab, values[4:])
    for which, (own, settings) in zip("ab", asked.sides, strict=True):
        view, _ = tab.context.ask(own.name, asked.source, settings)
        panel = tab.answers.panels["ab".index(which)]
        # the same panel as everywhere: its own values, to the letter
        want = panel.show(view)
        assert shown[which][1] == want[panel.headline]
        assert shown[which][2] == want[panel.answers]
    assert "hard" not in shown["a_head"] and "sharp" in shown["a_head"]
    assert lines(shown["differs"])["Preset"] == ["sharp", "literal"]
    asked_for = link(shown["link"])
    assert (asked_for["a_preset"], asked_for["b_preset"]) == ("sharp", "literal")
    assert asked_for["example"] == "3" and "run" not in asked_for


def test_one_side_that_fails_leaves_the_other(tab: CompareTab) -> None:
    asked = tab._first(fake_suite("image"))

    def predict(name: str, sample: Any, settings: Settings) -> dict[str, Any]:
        if settings.preset == "literal":
            raise UserError("This one is refused.")
        return dict(FakeEngine(fake_suite()).predict(sample, settings).to_dict())

    tab.context.predict = predict
    shown = answered(tab, tab._answer(asked))
    assert shown["a"][0]["visible"] is True and shown["b"][0]["visible"] is False
    assert "This one is refused." in shown["b"][1] and shown["differs"] == ""


def test_no_input_is_told_on_both_sides(tab: CompareTab) -> None:
    shown = answered(tab, tab._answer(replace(tab._first(fake_suite()), source={})))
    for which in "ab":
        assert "Choose or upload an image" in shown[which][1]


def test_another_kind_of_input_begins_anew(tab: CompareTab) -> None:
    image, text = fake_suite("image"), fake_suite("text")
    values = values_of(tab._first(image))
    same = tab._chosen(image, {"example": 2}, *values[2:])
    assert len(same) == len(tab.everything)
    assert same[0] == gr.skip()  # the options stay as they are
    other = tab._chosen(text, {"example": 2}, *values[2:])
    assert other[0]["value"] == "mini-text" and [c[1] for c in other[0]["choices"]] == ["mini-text"]
    assert other[8]["value"] == "mini-text" and other[9] == "literal"


def test_two_suites_of_one_modality_can_be_chosen(tab: CompareTab) -> None:
    asked = tab._first(fake_suite("image"))
    choices = [name for _, name in tab.options.options["b"].suite.choices]
    assert choices == ["mini-vision", "other"]
    sides = (asked.sides[0], (tab.context.suite("other"), Settings()))
    shown = answered(tab, tab._answer(replace(asked, sides=sides)))
    assert lines(shown["differs"])["Suite"] == ["Mini Vision", "other"]
    query = Query(link(shown["link"]))
    restored = compare.read_link(query, asked.suite, tab.context.of("image"))
    assert [s.name for s, _ in restored] == ["mini-vision", "other"] and not query.notices


def test_opened_again_it_stays_as_it_is_and_takes_inputs_over(tab: CompareTab) -> None:
    values = values_of(tab._first(fake_suite()))
    assert answered(tab, tab._opened(False, *values))["shown"] is True
    assert all(value == gr.skip() for value in tab._opened(True, *values))
    taken = tab.take(fake_suite("text"), {"text": "own words"})
    assert len(taken) == len(tab.restored) and link(taken[-1])["text"] == "own words"


# ---- links ---------------------------------------------------------------------------------------


def test_a_link_brings_input_sides_and_set_back(tab: CompareTab) -> None:
    suite = fake_suite("image")
    sides = (
        (suite, Settings("base", 2, "cls", "hard", "mnist")),
        (suite, Settings("experts", "final", "final", "literal")),
    )
    pair = pair_of(sides, "examples", 20, "", None)
    look = replace(FIRST, filter="only B", head="oracle")
    asked = Asked(suite, {"example": 7}, "", look, sides, pair)
    query = Query(link(tab._link(asked)))
    restored = tab.restore(query)
    assert not query.notices and len(restored) == len(tab.restored)
    assert restored[-1] == tab._link(asked)
    shown = answered(tab, restored[-len(tab.answered) :])
    assert "hard" in shown["a_head"] and "literal" in shown["b_head"]
    start = len(tab.picker.outputs)
    assert restored[start + 1] == "hard" and restored[start + 8 + 3]["value"] == "final"


def test_what_a_link_gets_wrong_falls_back_and_is_told(tab: CompareTab) -> None:
    query = Query(
        {"tab": "compare", "suite": "nothing", "a_suite": "mini-text", "b_preset": "x",
         "set": "hub", "limit": "7", "filter": "<b>", "example": "999"}
    )  # fmt: skip
    assert len(tab.restore(query)) == len(tab.restored)
    assert len(query.notices) == 7


def test_an_own_image_is_not_in_the_link(tab: CompareTab, tmp_path: Path) -> None:
    file = next((tmp_path / "vision").glob("*.png"))
    html = tab._link(replace(tab._first(fake_suite()), source={"file": str(file)}))
    assert str(tmp_path) not in html and "Your own image is not in the link" in html


def test_a_row_of_the_bundled_examples_is_that_example(tab: CompareTab) -> None:
    pair = tab._first(fake_suite("image")).pair
    assert row_source(pair, "examples/vision/3") == {"example": 3}
    assert row_source(pair, "") == row_source(pair, "x/y") == {}
