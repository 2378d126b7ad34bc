"""The Layers tab in a headless chromium, on both bundled suites with their real weights.

No figure is written here: the page has to show what the engine computes and the reports hold.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from browsing import LOOKS, MARKS, choose, go, go_to_layers, saved_chart, serious_faults, wide
from bundled import EXAMPLES, TEXT, VISION, engine

from semerge.settings import FINAL, Settings, valid_layers
from semerge.suites import Suite
from semerge.suites.report import read_diagnosis
from semerge.ui import words
from semerge.ui.context import sample_of
from semerge.ui.tabs.layers import Where, routed
from semerge.ui.words import View, bounds

pytestmark = MARKS
SUITES = {suite.name: suite for suite in (VISION, TEXT)}  # in the page's order
VIEWS = {
    "Hypothesis": "hypothesis",
    "When it holds": "holds",
    "Automatic choice": "choice",
    "No expert fits": "fits",
}


@cache
def reached(name: str, example: int, probe: str) -> dict[str, dict[str, list[float]]]:
    """Distances of an example at every layer and pooling."""
    suite = SUITES[name]
    sample = sample_of({"example": example}, suite, EXAMPLES)
    layers = valid_layers(suite)
    probed = engine(name).probe(sample, Settings(probe=probe, layer=FINAL), layers)
    found: dict[str, dict[str, list[float]]] = {str(layer): {} for layer in layers}
    for key, distances in probed.distances.items():
        if key.probe == probe:
            found[str(key.layer)][key.pool] = distances[0].tolist()
    return found


def at(suite: Suite, where: Where) -> View:
    example = EXAMPLES.opening(suite.modality)
    assert example is not None
    distances = reached(suite.name, example.index, where.probe)
    return routed(engine(suite.name), distances, where, example)[where.layer]


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def settle(page: Any, view: View) -> None:
    """Wait until the page shows what these distances are routed to."""
    chosen = view.title(view.result["chosen"])
    where = words.layer(view.result["layer"])
    page.wait_for_function(
        """([where, chosen, bar, values, distances]) => {
            const told = document.querySelector('#layers-told .se-sentence')?.textContent ?? '';
            const bars = [...document.querySelectorAll('#layers-similarity .se-value')];
            return told.includes(where) && told.includes(chosen)
                && bars.some(text => text.textContent.includes(bar))
                && values.every(v => bars.some(text => text.textContent.startsWith(v)))
                && distances.every(d => document.querySelector(
                    '#layers-tables tr.current')?.textContent.includes(d));
        }""",
        arg=[
            where,
            chosen,
            f"{words.number(view.result['similarities'][view.chosen])} chosen",
            [words.number(value) for value in view.result["similarities"]],
            [words.distance(value) for value in view.result["distances"]],
        ],
    )
    assert page.locator("#layers-tables tr.current").count() == 2


def look(page: Any) -> None:
    """As it is now, nothing is wider than the window and axe finds nothing serious."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(page) == {}


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_a_visitor_walks_through_the_layers_of_both_suites(
    visit: Any, size: tuple[int, int], theme: str
) -> None:
    page = visit(size=size, theme=theme)
    go_to_layers(page)
    for number, suite in enumerate(SUITES.values()):
        if number:
            choose(page, "Suite", suite.title)
        where = Where.default(suite)
        settle(page, at(suite, where))
        slider = page.get_by_role("slider", name="Layer")
        # by keyboard: to the first block and on to the second
        slider.focus()
        slider.press("Home")
        settle(page, at(suite, Where(where.probe, 1, where.pool, where.preset)))
        slider.press("ArrowRight")
        here = Where(where.probe, 2, "mean", where.preset)
        if where.pool != "mean":
            page.locator("#layers-pool").get_by_text("mean", exact=True).click()
        settle(page, at(suite, here))
        page.locator("#layers-probe").get_by_text("experts (the paper's)").click()
        settle(page, at(suite, Where("experts", 2, "mean", where.preset)))
        look(page)
        diagnosis = read_diagnosis(suite)
        assert diagnosis is not None
        for label, name in VIEWS.items():
            go(page, label)
            view = page.locator(f"#layers-{name}")
            view.get_by_text(f"Measured on {diagnosis['samples']['test']:,} test").wait_for()
            # what these figures do not go by is not beside them
            assert page.locator("#layers-suite").is_visible()
            for asked in ("choices", "example", "image", "text"):
                assert page.locator(f"#layers-{asked}").is_hidden()
            look(page)
        made = diagnosis["abstention"]["made"][diagnosis["abstention"]["score"]]
        assert bounds(made["false_alarm"]) in page.locator("#layers-fits").inner_text()
        go(page, "When it holds")
        text = page.locator("#layers-holds").inner_text()
        assert diagnosis["displacement"]["verdict"] in text
        go(page, "This input")


# charts of a dark page are saved in test_browser_present.py
@pytest.mark.parametrize("theme", ["light", wide("dark")])
def test_the_views_open_by_keyboard_and_their_charts_are_drawn_and_saved(
    visit: Any, tmp_path: Path, theme: str
) -> None:
    page = visit(theme=theme)
    go_to_layers(page)
    suite = SUITES["mini-vision"]
    titles = [task.title for task in suite.tasks]
    page.locator("#layers-similarity .se-value").first.wait_for()
    told = saved_chart(page, "layers-similarity", tmp_path)
    assert all(title in told for title in ("chosen expert", *titles))
    for label, name, charts in (
        ("Hypothesis", "hypothesis", {
            "margins": ["How clear the choice was", "Right expert", "Wrong expert", "margin"],
            "bias": ["Representation bias", "static merge", *titles],
            "map": ["Map of the merged model's representations", "axis 1", *titles],
        }),
        ("When it holds", "holds", {
            "moves": ["How far the experts move an input", "its own expert", *titles],
            "curve": ["The λ of the merged model that is probed", "measured", "predicted"],
        }),
    ):  # fmt: skip
        tab = page.get_by_role("tab", name=label)
        tab.focus()
        tab.press("Enter")
        page.locator(f"#layers-{name}").wait_for()
        for one, words_in_it in charts.items():
            page.locator(
                f"#layers-{one} .js-plotly-plot .scatterlayer, #layers-{one} .barlayer"
            ).first.wait_for()
            told = saved_chart(page, f"layers-{one}", tmp_path)
            assert [word for word in words_in_it if word not in told] == []
    fold = page.locator("#layers-holds summary").first
    fold.focus()
    fold.press("Enter")
    page.locator("#layers-holds details[open] table").first.wait_for()
    # and one of About
    go(page, "About")
    page.locator("#about-cost-0 .js-plotly-plot .scatterlayer").wait_for()
    told = saved_chart(page, "about-cost-0", tmp_path)
    assert "cost, in static passes" in told and "the suite's default" in told


@pytest.mark.parametrize("name", SUITES)
def test_a_copied_link_opens_to_the_same_state(visit: Any, name: str) -> None:
    suite = SUITES[name]
    example = EXAMPLES.opening(suite.modality)
    assert example is not None
    query = f"tab=layers&suite={name}&example={example.index}&probe=base&layer=3&pool=mean"
    query += "&preset=literal"
    where = Where("base", 3, "mean", "literal")
    page = visit(query=query)
    settle(page, at(suite, where))
    page.get_by_role("tab", name="Automatic choice").click()
    button = page.locator("#layers-link [data-link*=show]")
    link = button.get_attribute("data-link")
    assert link == f"{query}&show=choice"
    fresh = visit(query=link)
    fresh.locator("#layers-choice").get_by_text("the criterion picks").wait_for()
    fresh.get_by_role("tab", name="This input").click()
    settle(fresh, at(suite, where))
    fresh.get_by_role("tab", name="Automatic choice").click()
    fresh.get_by_role("link", name="Open this tab at the pick").click()
    diagnosis = read_diagnosis(suite)
    assert diagnosis is not None
    pick = diagnosis["choice"]["pick"]
    usual = Where.default(suite)
    settle(fresh, at(suite, replace(usual, **{k: pick[k] for k in ("probe", "layer", "pool")})))
    assert fresh.locator("#link-notice .se-notice").count() == 0


def test_the_option_to_fall_back_names_its_effect_and_is_in_the_link(visit: Any) -> None:
    """The option in the Vision tab names the effect that the report has measured."""
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    page.get_by_role("button", name="Options").first.click()
    diagnosis = read_diagnosis(SUITES["mini-vision"])
    assert diagnosis is not None
    back = diagnosis["abstention"]["fallback"]
    page.get_by_text(f"{back['fell_back']} of {back['n']} test samples").first.wait_for()
    page.get_by_text("fall back to the static coefficients").first.click()
    page.locator("#vision-link [data-link*='fallback=static']").wait_for()
