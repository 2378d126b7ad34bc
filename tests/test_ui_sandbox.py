"""The Sandbox tab without a browser: what it says, what its handlers answer, and its links."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from concurrency import sample_of as engine_sample
from fakes import FakeEngine, fake_examples, fake_suite
from test_ui import HOSTILE, hostile_view, parse, view_of
from visitor import Visitor

from semerge.engine import Engine
from semerge.suites import Suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import options, words
from semerge.ui.context import Context, sample_of
from semerge.ui.links import Query
from semerge.ui.options import Coefficients
from semerge.ui.safe import AnyNumber
from semerge.ui.tabs import sandbox
from semerge.ui.tabs.sandbox import SandboxTab
from semerge.ui.words import View

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")

OWN = [{"label": "digit 3", "score": 0.75}, {"label": "digit 8", "score": 0.25}]
RIGHT_ANGLES = [[4.0 if i == j else 0.0 for i in range(8)] for j in range(8)]


@pytest.fixture
def tab(tmp_path: Path) -> SandboxTab:
    suites = [fake_suite("image"), fake_suite("text")]
    context = Context.make(suites, load_examples(fake_examples(tmp_path)), FakeEngine)
    with gr.Blocks(), gr.Tabs(), gr.Tab("Sandbox", elem_id="sandbox-tab"):
        return SandboxTab(context)


@pytest.fixture
def page(tab: SandboxTab) -> Visitor:
    return Visitor.around(tab.known)


def sliders(page: Visitor, count: int = 8) -> dict[str, str]:
    """The sliders that are shown by their labels, in the order of the suite's tasks."""
    every = [f"sandbox-coefficient-{t}" for t in range(count)]
    at = {page.of(s, "label"): s for s in every if page.visible(s)}
    return {title: at[title] for title, _ in page.of("Head", "choices")[1:]}


def coefficients(page: Visitor, count: int = 8) -> dict[str, float]:
    """What the sliders that are shown are at, by their labels."""
    return {title: page[slider] for title, slider in sliders(page, count).items()}


def put(page: Visitor, *own: float) -> dict[Any, Any]:
    """Set the sliders to coefficients in the order of the tasks, and move the last one."""
    *first, last = list(sliders(page, len(own)).values())
    for slider, value in zip(first, own, strict=False):
        page[slider] = value
    return page.change(last, own[-1])


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


def test_the_slider_of_the_chosen_expert_is_the_first(tab: SandboxTab, page: Visitor) -> None:
    text = fake_suite("text")
    updates = list(tab.sliders.put(text, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "clickbait").values())
    assert [u["value"] for u in updates[:7]] == [0.4, 0.0, 0.1, 0.2, 0.3, 0.5, 0.6]
    assert [u["info"] for u in updates[:7]] == [options.LEADS, *[""] * 6]
    assert Coefficients.of(text, [4, 0, 1, 2, 3, 5, 6, 9], "clickbait") == list(range(7))
    suite, seen = fake_suite("image"), set()
    for example in range(12):
        page.change("sandbox-example", example)
        chosen = page[tab.known]["result"]["chosen"]
        seen.add(chosen)
        assert page.of("sandbox-coefficient-0", "label") == suite.task(chosen).title
        others = [page.of(f"sandbox-coefficient-{t}", "label") for t in range(1, 8)]
        assert others == [task.title for task in suite.tasks if task.name != chosen]
        # another order, the same coefficients
        own = [round(0.1 * t, 1) for t in range(8)]
        put(page, *own)
        page.change("sandbox-example", example + 12)
        assert list(coefficients(page).values()) == own
    assert len(seen) > 2


# ---- the preference ------------------------------------------------------------------------------


def routed(*after: float, distances: Sequence[float] = ()) -> dict[str, Any]:
    """As much of a Result as the preference reads."""
    tasks = [task.name for task in fake_suite("image").tasks][: len(after)]
    far = list(distances) or [1.0] * len(after)
    return {"tasks": tasks, "coefficients": list(after), "distances": far,
            "static_coefficients": [0.3] * len(after)}  # fmt: skip


def test_the_two_that_are_raised_most_are_the_preference() -> None:
    result = routed(0.1, 0.6, 0.2, 0.1)
    assert sandbox.pair(result) == ("fashion_mnist", "cifar10")
    # all but one are equal with the preset hard: then the nearest
    hard = routed(0.0, 1.0, 0.0, 0.0, distances=[9.0, 1.0, 5.0, 4.0])
    assert sandbox.pair(hard) == ("fashion_mnist", "eurosat")
    assert sandbox.pair(hard, "mnist", "cifar10") == ("mnist", "cifar10")
    assert sandbox.pair(hard, "cifar10") == ("cifar10", "fashion_mnist")
    assert sandbox.pair(hard, "", "fashion_mnist") == ("eurosat", "fashion_mnist")
    assert sandbox.pair(hard, "fashion_mnist", "fashion_mnist") == ("fashion_mnist", "eurosat")
    assert sandbox.pair(hard, "nothing", "else") == ("fashion_mnist", "eurosat")


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99, 1.0])
def test_coefficients_on_the_line_are_found_there(share: float) -> None:
    suite, ends = fake_suite("image"), ("gtsrb", "mnist")
    own = options.between(suite, *ends, share)
    assert own[4] == pytest.approx(1 - share) and own[0] == share and sum(own) == pytest.approx(1)
    assert sandbox.place_on_line(suite, own, ends) == (share, True)
    off = [*own]
    off[2] = 0.1
    assert sandbox.place_on_line(suite, off, ends) == (share, False)


def test_the_nearest_point_of_the_line_stays_on_it() -> None:
    suite, ends = fake_suite("image"), ("mnist", "gtsrb")
    assert sandbox.place_on_line(suite, [0.3] * 8, ends) == (0.5, False)
    assert sandbox.place_on_line(suite, [-0.5, *[0] * 3, 1.5, 0, 0, 0], ends) == (1.0, False)


def test_the_preference_puts_the_coefficients_on_the_line(tab: SandboxTab, page: Visitor) -> None:
    suite = fake_suite("image")
    page.change("sandbox-example", 4)
    ends = sandbox.pair(page[tab.known]["result"])
    assert (page["From"], page["To"]) == ends and page["sandbox-preference"] == 0.5
    assert "off the line" in page["sandbox-line"] and "2406.07529" in page["sandbox-line"]
    shown = page.change("sandbox-preference", 0.7)
    want = options.between(suite, *ends, 0.7)
    assert list(coefficients(page).values()) == want
    assert tab.preference not in shown  # somebody may be dragging it
    assert sums_to(suite, page[tab.known]["result"]["head"], want) in page["sandbox-own"]
    assert "On the line" in page["sandbox-line"]
    asked = link(page["sandbox-link"])
    assert (asked["from"], asked["to"]) == ends and asked[f"c.{ends[1]}"] == "0.7"
    # other experts: the coefficients stay until it is moved, and are off the new line
    page.change("To", next(name for name in suite.task_names if name not in ends))
    assert list(coefficients(page).values()) == want and "off the line" in page["sandbox-line"]
    assert link(page["sandbox-link"])["to"] == page["To"]
    page.change("From", page["To"])
    assert page["From"] != page["To"] == link(page["sandbox-link"])["to"]
    page.change("sandbox-preference", 7)
    assert "The preference must be a number from 0 to 1, not 7." in page["sandbox-told"]


def test_the_preference_follows_the_input_until_somebody_has_chosen(
    tab: SandboxTab, page: Visitor
) -> None:
    suite = fake_suite("image")
    for example in range(4):
        page.change("sandbox-example", example)
        assert (page["From"], page["To"]) == sandbox.pair(page[tab.known]["result"])
    own = next(name for name in suite.task_names if name not in (page["From"], page["To"]))
    page.change("To", own)
    before = page["From"], own
    page.change("sandbox-example", 9)
    assert (page["From"], page["To"]) == before


def test_the_slider_leaves_judging_to_us() -> None:
    with gr.Blocks():
        slider = AnyNumber(-0.5, 1.5, 0.0)
    for value in (7, None, "abc", math.inf):
        assert slider.preprocess(value) == value
    assert slider.get_block_name() == "slider"


# ---- the tab -------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["image", "text"])
def test_an_input_opens_with_the_static_merge(
    tab: SandboxTab, page: Visitor, modality: str
) -> None:
    suite = tab.context.default(modality)
    assert suite
    page.change("sandbox-suite", suite.name)
    page.change("sandbox-example", 3)
    values = [0.3] * len(suite.tasks)
    assert coefficients(page) == dict.fromkeys((task.title for task in suite.tasks), 0.3)
    assert page["Head"] == "auto" and page["sandbox-told"] == ""
    best = sums_to(suite, page[tab.known]["result"]["head"], values)
    assert best in page["sandbox-own"]
    asked = link(page["sandbox-link"])
    assert asked["tab"] == "sandbox" and asked["suite"] == suite.name and asked["example"] == "3"
    assert [asked[f"c.{name}"] for name in suite.task_names] == ["0.3"] * len(suite.tasks)


def test_sliders_answer_without_asking_se_merging_again(tab: SandboxTab, page: Visitor) -> None:
    suite = fake_suite("image")
    page.change("sandbox-example", 0)
    engine = tab.context.engines.get(suite.name)
    calls = engine.calls
    own = [0.05, 0.1, 0.0, -0.5, 1.5, 0.0, 0.0, 0.0]
    shown = put(page, *own)
    assert engine.calls == calls
    assert sums_to(suite, page[tab.known]["result"]["head"], own) in page["sandbox-own"]
    assert link(page["sandbox-link"])["c.eurosat"] == "-0.5"
    assert not set(tab.sliders.inputs) & set(shown)  # what was set meanwhile stays
    # another input or head is another question
    page.change("sandbox-example", 1)
    page.change("Head", "gtsrb")
    assert engine.calls == calls + 2


def test_the_input_changes_and_the_coefficients_stay_unless_the_suite_changes(
    tab: SandboxTab, page: Visitor
) -> None:
    text = fake_suite("text")
    page.change("sandbox-example", 0)
    own = [0.05 * t for t in range(8)]
    put(page, *own)
    page.change("Head", "mnist")
    shown = page.change("sandbox-example", 9)
    assert list(coefficients(page).values()) == own and page["Head"] == "mnist"
    assert tab.head not in shown
    assert link(page["sandbox-link"])["c.textures"] == "0.35"
    assert link(page["sandbox-link"])["head"] == "mnist"
    page.change("sandbox-suite", text.name)
    assert list(coefficients(page).values()) == [0.3] * 7
    assert page["Head"] == "auto" and not page.visible("sandbox-coefficient-7")
    assert {name for _, name in page.of("Expert", "choices")} == set(text.task_names)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("name", ["static", "se", "base", "alone"])
def test_buttons_set_all_coefficients(
    tab: SandboxTab, page: Visitor, name: str, asked: bool
) -> None:
    suite = fake_suite("image")
    page.change("sandbox-example", 4)
    result = page[tab.known]["result"]
    if not asked:
        page[tab.known], page["sandbox-given"] = None, ""
    page["Expert"] = "gtsrb"
    expected = {
        "static": [0.3] * 8,
        "se": options.on_grid(result["coefficients"]),
        "base": [0.0] * 8,
        "alone": [float(task == "gtsrb") for task in suite.task_names],
    }[name]
    page.press(f"sandbox-{name}")
    assert list(coefficients(page).values()) == expected
    assert sums_to(suite, result["head"], expected) in page["sandbox-own"]
    assert "As the model" in page["sandbox-given"]


def test_the_sliders_combine_the_methods_own_task_vectors(engine: Engine, tmp_path: Path) -> None:
    suite = engine.suite
    context = Context.make([suite], Examples(), lambda suite: engine)
    with gr.Blocks() as blocks, gr.Tabs(), gr.Tab("Sandbox", elem_id="sandbox-tab"):
        tab = SandboxTab(context)
    page = Visitor(blocks)
    if suite.modality == "text":
        source = {"text": "The cat sat on the mat.", "text_b": ""}
    else:
        source = {"file": str(tmp_path / "own.png")}
        engine_sample(engine, 3).image.save(source["file"])  # type: ignore[union-attr]
    page[tab.picker.source] = source
    page.event("sandbox-tab", "select")
    density = tab.method.options["density"]
    assert not page.visible(density) and "method" not in link(page["sandbox-link"])
    # nobody has moved the sliders, so they stay at the static merge, which is now another
    page.change("sandbox-method", "ties")
    assert list(coefficients(page, len(suite.tasks)).values()) == [0.3] * len(suite.tasks)
    page["sandbox-coefficient-0"] = 0.1  # told twice, with a slider of before
    assert page.event("sandbox-method", "input") == {}
    page["sandbox-coefficient-0"] = 0.3
    page.change(density, 0.5)
    assert page.visible(density) and link(page["sandbox-link"])["method"] == "ties:density=0.5"
    sample, head = sample_of(source, suite, Examples()), page[tab.known]["result"]["head"]
    own = [0.1 * t for t in range(len(suite.tasks))]
    put(page, *own)
    answers = engine.answer_with(sample, own, head, "ties:density=0.5")
    assert f"score {words.percent(answers[0].score)}" in page["sandbox-own"]
    # what somebody has set stays
    page.change("sandbox-method", "average")
    assert list(coefficients(page, len(suite.tasks)).values()) == own
    page.press("sandbox-static")
    shown = list(coefficients(page, len(suite.tasks)).values())
    assert shown == options.on_grid([1 / len(suite.tasks)] * len(suite.tasks))
    restored = tab.restore(Query(link(page["sandbox-link"])))
    assert restored[tab.method.menu]["value"] == "average"
    page.change("sandbox-method", "ties")
    page.change(density, -1)
    assert "density must be a number from 0 to 1" in page["sandbox-told"]
    own = coefficients(page, len(suite.tasks))
    page.change(density, 0.2)
    assert page["sandbox-told"] == "" and page.visible("sandbox-cards")
    assert coefficients(page, len(suite.tasks)) == own


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9, 1.51, None, "abc"])
def test_a_bad_number_is_told_in_one_sentence_and_the_next_one_works(
    page: Visitor, bad: Any
) -> None:
    page.change("sandbox-example", 0)
    slider = sliders(page)["MNIST"]
    page.change(slider, bad)
    assert not page.visible("sandbox-cards") and page["sandbox-own"] == ""
    assert "The coefficient of MNIST must be a number from -0.5 to 1.5" in page["sandbox-told"]
    parse(page["sandbox-told"])
    assert page[slider] is bad  # so that it can be mended
    page.change(slider, 0.3)
    assert page.visible("sandbox-cards") and page["sandbox-told"] == ""


def test_no_input_is_told(tab: SandboxTab, page: Visitor) -> None:
    page[tab.picker.source] = {}
    page.event("sandbox-tab", "select")
    assert "Choose or upload an image" in page["sandbox-told"]
    assert not page.visible("sandbox-cards")


def test_opened_again_it_stays_as_it_is(tab: SandboxTab, page: Visitor) -> None:
    assert page.event("sandbox-tab", "select")[tab.told] == ""
    put(page, *[1.0] * 8)
    assert page.event("sandbox-tab", "select") == {}


def test_an_input_of_another_tab_is_taken_over(tab: SandboxTab) -> None:
    shown = tab.take(fake_suite("text"), {"text": "own words", "text_b": ""})
    assert set(shown) <= set(tab.outputs)
    assert link(shown[tab.link])["text"] == "own words"


# ---- links ---------------------------------------------------------------------------------------


def test_a_link_brings_the_same_back(tab: SandboxTab, page: Visitor) -> None:
    page.change("sandbox-suite", "mini-text")
    page.change("sandbox-example", 5)
    own = [0.1, -0.5, 1.5, 0.0, 0.33, 0.0, 0.7]
    page["Head"] = "language_id"
    put(page, *own)
    query = Query(link(page["sandbox-link"]))
    restored = tab.restore(query)
    assert not query.notices and set(restored) <= set(tab.outputs)
    leads = restored[tab.leads]
    values = [restored[slider]["value"] for slider in tab.sliders.inputs[:7]]
    assert Coefficients.of(fake_suite("text"), values, leads) == own
    assert restored[tab.head]["value"] == "language_id"
    assert restored[tab.link] == page["sandbox-link"] and restored[tab.own] == page["sandbox-own"]
    assert restored[tab.picker.suite] == "mini-text"
    assert restored[tab.picker.example]["value"] == 5


def test_the_experts_of_a_link_are_those_of_the_preference(tab: SandboxTab, page: Visitor) -> None:
    """Also where others are raised most by now."""
    page.change("sandbox-example", 5)
    free = [
        name for name in fake_suite("image").task_names if name not in (page["From"], page["To"])
    ]
    asked = {**link(page["sandbox-link"]), "from": free[0], "to": free[1]}
    query = Query(asked)
    restored = tab.restore(query)
    assert not query.notices
    assert [restored[end]["value"] for end in tab.ends] == free[:2]
    assert link(restored[tab.link]) == asked
    query = Query({**asked, "from": "nothing"})
    tab.restore(query)
    assert len(query.notices) == 1


def test_what_a_link_gets_wrong_falls_back_and_is_told(tab: SandboxTab) -> None:
    query = Query(
        {"tab": "sandbox", "suite": "mini-vision", "c.mnist": "nan", "c.eurosat": "9",
         "c.gtsrb": "1e999", "c.cifar10": "0.7", "head": "nothing"}
    )  # fmt: skip
    restored = tab.restore(query)
    assert len(query.notices) == 4
    shown = [restored[slider] for slider in tab.sliders.inputs]
    values = {slider["label"]: slider["value"] for slider in shown}
    assert values["CIFAR-10"] == 0.7 and values["MNIST"] == values["EuroSAT"] == 0.3
    assert restored[tab.head]["value"] == "auto"


def test_an_uploaded_image_is_not_in_the_link(page: Visitor, tmp_path: Path) -> None:
    page["sandbox-image"] = str(next((tmp_path / "vision").glob("*.png")))
    page.event("sandbox-image", "upload")
    told = page["sandbox-link"]
    assert "file" not in link(told) and str(tmp_path) not in told
    assert "Your own image is not in the link" in told


def test_the_view_keeps_the_other_answers() -> None:
    view = view_of()
    own = sandbox.with_own(view, OWN)
    assert isinstance(own, View) and own.answer("own") == "digit 3"
    assert own.answer("se") == view.answer("se") and "own" not in view.result["predictions"]
