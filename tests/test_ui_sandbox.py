"""The Sandbox tab without a browser: what it says, what its handlers answer, and its links."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite
from test_ui import HOSTILE, hostile_view, parse, view_of

from semerge.suites import Suite
from semerge.suites.examples import load_examples
from semerge.ui import options
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.options import Coefficient, Coefficients
from semerge.ui.tabs import Update, sandbox
from semerge.ui.tabs.sandbox import SandboxTab
from semerge.ui.view import View

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")

OWN = [{"label": "digit 3", "score": 0.75}, {"label": "digit 8", "score": 0.25}]
RIGHT_ANGLES = [[4.0 if i == j else 0.0 for i in range(8)] for j in range(8)]


@pytest.fixture
def tab(tmp_path: Path) -> SandboxTab:
    suites = [fake_suite("image"), fake_suite("text")]
    context = Context.make(suites, load_examples(fake_examples(tmp_path)), FakeEngine)
    with gr.Blocks(), gr.Tabs(), gr.Tab("Sandbox"):
        return SandboxTab(context)


def named(tab: SandboxTab, update: Update) -> dict[str, Any]:
    """What an update changes, by the tab's own names; of the sliders a list."""
    assert set(update) <= set(tab.outputs)
    parts = {k: part for k, part in vars(tab).items() if isinstance(part, gr.blocks.Block)}
    found = {name: update[part] for name, part in parts.items() if part in update}
    sliders = tab.sliders.inputs
    return {**found, "sliders": [update[s] for s in sliders]} if sliders[0] in update else found


def chosen(tab: SandboxTab, suite: Suite, source: Any) -> dict[str, Any]:
    return named(tab, tab._chosen(suite, source, None, "auto", *[0.0] * 8))


def link(html: str) -> dict[str, str]:
    query = re.search(r'data-link="([^"]+)"', html)
    assert query
    return dict(parse_qsl(query[1].replace("&amp;", "&")))


def sums_to(suite: Suite, head: str, own: list[float]) -> str:
    """The class that the fake engine answers with."""
    classes = suite.task(head).classes
    return classes[round(100 * sum(own)) % len(classes)]


# ---- words ---------------------------------------------------------------------------------------


def test_three_answers_stand_side_by_side_under_one_head() -> None:
    view = sandbox.with_own(view_of(head="mnist", chosen="mnist"), OWN)
    html = sandbox.part("cards", view)
    parse(html)
    assert re.findall(r'se-card (\w+)"', html) == ["own", "static", "se"]
    assert "Your coefficients" in html and "75.0" in html
    assert "the MNIST" not in html and "MNIST" in html and "SE-Merging chooses here" in html
    other = sandbox.with_own(view_of(head="eurosat", chosen="mnist"), OWN)
    other = sandbox.part("cards", other)
    assert "EuroSAT" in other and "the one you chose" in other
    assert "digit 3" in sandbox.part("answer", view)


def test_what_others_named_is_escaped() -> None:
    view = sandbox.with_own(hostile_view(), [{"label": HOSTILE, "score": 0.5}] * 2)
    parts = [
        sandbox.part("cards", view),
        sandbox.part("answer", view),
        sandbox.readout(view, [0.1] * 8, RIGHT_ANGLES, 3.0),
    ]
    for html in parts:
        tags = parse(html)
        assert not [t for t, a in tags.seen if t == "script" or any(k[:2] == "on" for k in a)]
        assert "{{" not in html and "${" not in html


def test_the_readout_has_sum_norm_and_the_distance_from_the_base() -> None:
    view = view_of()
    own = [0.6] + [0.0] * 7
    html = sandbox.readout(view, own, RIGHT_ANGLES, 12.3)
    cells = re.findall(r"<td>([^<]+)</td>", html)
    assert cells[:3] == ["0.60", "2.40", f"{sum(view.column('coefficients')):.2f}"]
    assert cells[3:5] == ["0.60", f"{0.3 * math.sqrt(8):.2f}"]
    # at right angles lengths are the norms: 0.6 against 0.3 times the root of 8
    assert cells[6:8] == [f"{0.6 / (0.3 * math.sqrt(8)):.2f}", "1.00"]
    assert "12\u00a0ms" in html and html.count("<tr") == 1 + 3 + 1 + 8
    still = replace(view, result={**view.result, "static_coefficients": [0.0] * 8})
    assert "–" in sandbox.readout(still, own, RIGHT_ANGLES, 1.0)


def test_lengths_follow_the_inner_products() -> None:
    products = [[1.0, 0.5], [0.5, 1.0]]
    assert sandbox.length([1, 0], products) == 1.0
    assert sandbox.length([1, 1], products) == pytest.approx(math.sqrt(3))
    assert sandbox.length([1, -1], products) == pytest.approx(1.0)
    assert sandbox.length([1, -1], [[1.0, 1.0], [1.0, 1.0 - 1e-16]]) == 0.0


def test_coefficients_are_put_on_the_sliders_grid() -> None:
    assert options.on_grid([0.123456, 2.0, -3.0, None]) == [0.12, 1.5, -0.5, 0.0]
    suite = fake_suite("text")
    assert options.static(suite) == [0.3] * 7
    assert options.alone(suite, "clickbait") == [0, 0, 0, 0, 1.0, 0, 0]


def test_there_is_a_slider_a_task_and_the_rest_is_hidden(tab: SandboxTab) -> None:
    text = fake_suite("text")
    assert len(tab.sliders.inputs) == 8
    updates = list(tab.sliders.put(text, [0.1] * 7).values())
    assert [u["label"] for u in updates[:7]] == [task.title for task in text.tasks]
    assert updates[7]["visible"] is False and all(u["visible"] for u in updates[:7])
    assert Coefficients.of(text, list(range(8))) == [0, 1, 2, 3, 4, 5, 6]


def test_the_slider_leaves_judging_to_us() -> None:
    with gr.Blocks():
        slider = Coefficient(-0.5, 1.5, 0.0)
    for value in (7, None, "abc", math.inf):
        assert slider.preprocess(value) == value
    assert slider.get_block_name() == "slider"


# ---- handlers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["image", "text"])
def test_an_input_opens_with_the_static_merge(tab: SandboxTab, modality: str) -> None:
    suite = tab.context.default(modality)
    assert suite
    shown = chosen(tab, suite, {"example": 3})
    values = [u["value"] for u in shown["sliders"] if u.get("visible")]
    assert values == [0.3] * len(suite.tasks)
    assert shown["head"]["value"] == "auto" and shown["told"] == ""
    best = sums_to(suite, shown["known"]["result"]["head"], values)
    assert best in shown["own"]
    asked = link(shown["link"])
    assert asked["tab"] == "sandbox" and asked["suite"] == suite.name and asked["example"] == "3"
    assert [asked[f"c.{name}"] for name in suite.task_names] == ["0.3"] * len(suite.tasks)


def test_sliders_answer_without_asking_se_merging_again(tab: SandboxTab) -> None:
    suite = fake_suite("image")
    known = chosen(tab, suite, {"example": 0})["known"]
    engine = tab.context.engines.get(suite.name)
    calls = engine.calls
    own = [0.05, 0.1, 0.0, -0.5, 1.5, 0.0, 0.0, 0.0]
    shown = named(tab, tab._moved(suite.name, {"example": 0}, known, "auto", *own))
    assert engine.calls == calls
    assert sums_to(suite, known["result"]["head"], own) in shown["own"]
    assert link(shown["link"])["c.eurosat"] == "-0.5" and "sliders" not in shown
    # another input or head is another question
    tab._moved(suite.name, {"example": 1}, known, "auto", *own)
    tab._moved(suite.name, {"example": 0}, known, "gtsrb", *own)
    assert engine.calls == calls + 2


def test_the_input_changes_and_the_coefficients_stay_unless_the_suite_changes(
    tab: SandboxTab,
) -> None:
    image, text = fake_suite("image"), fake_suite("text")
    known = chosen(tab, image, {"example": 0})["known"]
    own = [0.05 * t for t in range(8)]
    same = named(tab, tab._chosen(image, {"example": 9}, known, "mnist", *own))
    assert "sliders" not in same and "head" not in same  # so they stay
    assert link(same["link"])["c.textures"] == "0.35" and link(same["link"])["head"] == "mnist"
    other = named(tab, tab._chosen(text, {"example": 2}, known, "mnist", *own))
    assert [u["value"] for u in other["sliders"][:7]] == [0.3] * 7
    assert other["head"]["value"] == "auto" and other["sliders"][7]["visible"] is False
    assert {name for _, name in other["expert"]["choices"]} == set(text.task_names)


def starter(tab: SandboxTab, name: str) -> Callable[..., Update]:
    """The handler behind a button."""
    button = getattr(tab, name)
    fns = gr.context.Context.root_block or tab.known.parent
    while not isinstance(fns, gr.Blocks):
        fns = fns.parent
    return next(f.fn for f in fns.fns.values() if (button._id, "click") in f.targets)


@pytest.mark.parametrize("name", ["static", "se", "base", "alone"])
def test_buttons_set_all_coefficients(tab: SandboxTab, name: str) -> None:
    suite = fake_suite("image")
    source = {"example": 4}
    known = chosen(tab, suite, source)["known"]
    expected = {
        "static": [0.3] * 8,
        "se": options.on_grid(known["result"]["coefficients"]),
        "base": [0.0] * 8,
        "alone": [float(task == "gtsrb") for task in suite.task_names],
    }[name]
    for before in (known, None):  # asked already, or not yet
        shown = named(tab, starter(tab, name)(suite.name, source, before, "auto", "gtsrb"))
        assert [u["value"] for u in shown["sliders"]] == expected
        assert sums_to(suite, known["result"]["head"], expected) in shown["own"]
        assert ("given" in shown) is (before is None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9, 1.51, None, "abc"])
def test_a_bad_number_is_told_in_one_sentence_and_the_next_one_works(
    tab: SandboxTab, bad: Any
) -> None:
    suite = fake_suite("image")
    known = chosen(tab, suite, {"example": 0})["known"]
    own = [0.3] * 8
    shown = named(tab, tab._moved(suite.name, {"example": 0}, known, "auto", bad, *own[1:]))
    assert shown["body"]["visible"] is False and shown["own"] == ""
    assert "The coefficient of MNIST must be a number from -0.5 to 1.5" in shown["told"]
    parse(shown["told"])
    assert "sliders" not in shown  # what was refused stays, so that it can be mended
    again = named(tab, tab._moved(suite.name, {"example": 0}, known, "auto", *own))
    assert again["body"]["visible"] is True and again["told"] == ""


def test_no_input_is_told(tab: SandboxTab) -> None:
    shown = chosen(tab, fake_suite("image"), {})
    assert "Choose or upload an image" in shown["told"] and shown["body"]["visible"] is False


def test_opened_again_it_stays_as_it_is(tab: SandboxTab) -> None:
    suite = fake_suite("image")
    first = tab._opened(suite.name, {"example": 0}, None, "auto", *[0.3] * 8)
    assert named(tab, first)["told"] == ""
    again = tab._opened(suite.name, {"example": 0}, named(tab, first)["known"], "auto", *[1] * 8)
    assert again == {}


def test_an_input_of_another_tab_is_taken_over(tab: SandboxTab) -> None:
    shown = named(tab, tab.take(fake_suite("text"), {"text": "own words", "text_b": ""}))
    assert link(shown["link"])["text"] == "own words"


# ---- links ---------------------------------------------------------------------------------------


def test_a_link_brings_the_same_back(tab: SandboxTab) -> None:
    suite = fake_suite("text")
    known = chosen(tab, suite, {"example": 5})["known"]
    own = [0.1, -0.5, 1.5, 0.0, 0.33, 0.0, 0.7]
    before = named(tab, tab._moved(suite.name, {"example": 5}, known, "language_id", *own, 0.0))
    query = Query(link(before["link"]))
    restored = tab.restore(query)
    assert not query.notices
    shown = named(tab, restored)
    assert [u["value"] for u in shown["sliders"][:7]] == own
    assert shown["head"]["value"] == "language_id"
    assert shown["link"] == before["link"] and shown["own"] == before["own"]
    assert restored[tab.picker.suite] == suite.name
    assert restored[tab.picker.example]["value"] == 5


def test_what_a_link_gets_wrong_falls_back_and_is_told(tab: SandboxTab) -> None:
    query = Query(
        {"tab": "sandbox", "suite": "mini-vision", "c.mnist": "nan", "c.eurosat": "9",
         "c.gtsrb": "1e999", "c.cifar10": "0.7", "head": "nothing"}
    )  # fmt: skip
    shown = named(tab, tab.restore(query))
    assert len(query.notices) == 4
    values = {task.title: u["value"] for task, u in
              zip(fake_suite().tasks, shown["sliders"], strict=True)}  # fmt: skip
    assert values["CIFAR-10"] == 0.7 and values["MNIST"] == values["EuroSAT"] == 0.3
    assert shown["head"]["value"] == "auto"


def test_an_uploaded_image_is_not_in_the_link(tab: SandboxTab, tmp_path: Path) -> None:
    file = next((tmp_path / "vision").glob("*.png"))
    shown = chosen(tab, fake_suite("image"), {"file": str(file)})
    assert "file" not in link(shown["link"]) and str(tmp_path) not in json.dumps(shown["link"])
    assert "Your own image is not in the link" in shown["link"]


def test_the_view_keeps_the_other_answers() -> None:
    view = view_of()
    own = sandbox.with_own(view, OWN)
    assert isinstance(own, View) and own.answer("own") == "digit 3"
    assert own.answer("se") == view.answer("se") and "own" not in view.result["predictions"]
