"""The Layers tab without a browser: what it computes from one probe, and what it shows of a report.

Figures are compared with the engine's and the diagnosis's own; none is written here.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
import torch
from concurrency import sample_of
from tags import Tags
from visitor import Visitor

from semerge.engine import Engine, load_engine
from semerge.routing import nearest
from semerge.settings import FINAL, PRESETS, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import charts, links
from semerge.ui.context import Context, of_settings
from semerge.ui.context import sample_of as context_sample
from semerge.ui.links import Query
from semerge.ui.options import Options
from semerge.ui.tabs import layers
from semerge.ui.tabs.layers import LayersTab, Where, routed

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
SENTENCE = {"text": "The cat sat on the mat.", "text_b": ""}


@pytest.fixture(scope="module")
def suite(diagnosed: Path) -> Suite:
    return read_suite(diagnosed)


@pytest.fixture(scope="module")
def tab(suite: Suite) -> LayersTab:
    context = Context.make([suite], Examples(), lambda s: load_engine(s.folder))
    with gr.Blocks(), gr.Tabs(), gr.Tab("Layers", elem_id="layers-tab"):
        return LayersTab(context)


@pytest.fixture
def page(tab: LayersTab) -> Visitor:
    return Visitor.around(tab.known)


def probed(engine: Engine, probe: str, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Distances as the tab keeps them."""
    layers = valid_layers(engine.suite)
    found = engine.probe(sample_of(engine, seed), Settings(probe=probe, layer=FINAL), layers)
    reached: dict[str, dict[str, list[float]]] = {str(layer): {} for layer in layers}
    for key, distances in found.distances.items():
        reached[str(key.layer)][key.pool] = distances[0].tolist()
    return reached


def ask(page: Visitor, suite: Suite, folder: Path) -> dict[str, Any]:
    """Give an input of a visitor's own; the source that names it."""
    if suite.modality == "text":
        page["layers-text"] = SENTENCE["text"]
        page.event("layers-text", "submit")
        return dict(SENTENCE)
    file = folder / "own.png"
    sample_of(load_engine(suite.folder), 3).image.save(file)  # type: ignore[union-attr]
    page["layers-image"] = str(file)
    page.event("layers-image", "upload")
    return {"file": str(file)}


def linked(html: str) -> dict[str, str]:
    query = re.search(r'data-link="([^"]+)"', html)
    assert query
    return dict(parse_qsl(query[1].replace("&amp;", "&")))


# ---- one input -----------------------------------------------------------------------------------


def test_every_place_is_routed_as_the_engine_does(engine: Engine) -> None:
    suite = engine.suite
    for probe in valid_probes(suite):
        reached = probed(engine, probe)
        for pool in valid_pools(suite, probe, 1):
            for preset in PRESETS:
                views = routed(engine, reached, Where(probe, 1, pool, preset))
                assert list(views) == list(valid_layers(suite))
                for layer, view in views.items():
                    where = Where(probe, layer, pool, preset)
                    want = engine.predict(sample_of(engine, 0), where.settings).to_dict()
                    same = ("layer", "pool", "probe", "preset", "tasks", "chosen", "head")
                    for key in same:
                        assert view.result[key] == want[key], key
                    for key in ("distances", "similarities", "coefficients", "margin"):
                        assert view.result[key] == pytest.approx(want[key], rel=1e-5), key


def test_the_layers_at_which_the_expert_changes(engine: Engine) -> None:
    a, b = [1.0, 2.0, 3.0, 4.0], [5.0, 2.0, math.nan, 4.0]
    c, d = [math.nan, 4.0, 4.0, 5.0], [math.nan, math.inf, math.nan, math.nan]
    base = routed(engine, probed(engine, "base"), Where.default(engine.suite))
    view = next(iter(base.values()))

    def said(*rows: list[float]) -> str:
        views = {}
        for layer, row in zip([*range(1, len(rows)), FINAL], rows, strict=True):
            near = nearest(torch.tensor([row]))
            chosen = engine.suite.task_names[int(near[0])]
            views[layer] = replace(view, result={**view.result, "chosen": chosen})
        return Tags(layers.changes(views)).words

    assert said(a, a, a) == "The nearest expert is Task 0 at every layer."
    assert said(a, b, b) == (
        "The nearest expert changes at block 2: Task 0 at block 1, "
        "Task 1 at block 2 and the final embedding."
    )
    assert said(a, a, b) == (
        "The nearest expert changes at the final embedding: Task 0 at blocks 1 to 2, "
        "Task 1 at the final embedding."
    )
    assert said(a, b, a).startswith("The nearest expert changes at block 2 and the final embedding")
    assert said(d, c).startswith("The nearest expert changes at the final embedding: Task 0 at")


def test_the_tables_hold_every_distance_and_mark_the_nearest(engine: Engine) -> None:
    suite, reached = engine.suite, probed(engine, "experts")
    views = routed(engine, reached, Where("experts", 2, "mean", "literal"))
    text = Tags(layers.tables(views, 2)).words
    for layer in valid_layers(suite):
        for distance in reached[str(layer)][FINAL if layer == FINAL else "mean"]:
            assert f"{distance:.4g}" in text
    assert text.count("nearest") == 2 * len(valid_layers(suite)) and text.count("shown") == 2
    assert "preset literal" in text


def test_distances_that_failed_are_dashes(engine: Engine) -> None:
    reached = probed(engine, "experts")
    reached["2"]["mean"][0] = math.nan
    views = routed(engine, reached, Where("experts", 2, "mean", "sharp"))
    view = views[2]
    assert view.result["distances"][0] is None
    assert view.result["coefficients"] == view.result["static_coefficients"]
    assert "–" in Tags(layers.tables(views, 2)).words


# ---- the tab -------------------------------------------------------------------------------------


def test_the_slider_moves_the_bars_without_a_new_probe(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(page, suite, tmp_path)
    page.change("layers-probe", "experts")
    known = page[tab.known]
    json.dumps(known)  # plain numbers, as a State keeps them
    engine = tab.context.engines.get(suite.name)
    monkeypatch.setattr(type(engine), "probe_batch", lambda *_, **__: pytest.fail("probed again"))
    page.change("layers-preset", "literal")
    seen = set()
    for pool in ("mean", "all"):
        page.change("layers-pool", pool)
        for number in range(1, suite.depth + 2):
            page.change("layers-layer", number)
            bars = page["layers-similarity"]
            layer = FINAL if number > suite.depth else number
            want = routed(engine, known["reached"], Where("experts", layer, pool, "literal"))[layer]
            assert bars == charts.rows(charts.similarity(want))
            assert want.title(want.result["chosen"]) in page["layers-told"]
            seen.add(bars)
    assert len(seen) == 2 * suite.depth + 1  # the final embedding has one pooling
    # another input, or by another probe, has not been probed yet
    page["layers-probe"] = "base"
    assert page.change("layers-layer", 1) == {}
    page["layers-probe"] = "experts"
    assert page.change("layers-layer", 1) != {}
    page[tab.picker.source] = {"example": 1}
    assert page.change("layers-layer", 2) == {}


def test_controls_that_are_moved_while_it_is_probed_stay(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is shown in the end is what they say by then."""
    ask(page, suite, tmp_path)
    page.change("layers-layer", 1)

    def moved(shown: dict[Any, Any]) -> None:
        if tab.known in shown:  # the probe ends
            page["layers-layer"], page["layers-preset"] = 2, "literal"

    page["layers-probe"] = "base"
    page.event("layers-probe", "input", each=moved)
    assert (page["layers-layer"], page["layers-preset"]) == (2, "literal")
    assert "block 2" in page["layers-told"] and "preset literal" in page["layers-tables"]
    asked = linked(page["layers-link"])
    assert (asked["layer"], asked["preset"], asked["probe"]) == ("2", "literal", "base")


def test_another_input_leaves_the_controls_as_they_are(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path
) -> None:
    ask(page, suite, tmp_path)
    page.change("layers-layer", 1)
    page[tab.known] = {**page[tab.known], "source": {"example": 0}}
    event = ("layers-text", "submit") if suite.modality == "text" else ("layers-image", "upload")
    shown = page.event(*event)
    assert not {tab.layer, tab.pool, tab.probe, tab.preset} & set(shown)
    assert "block 1" in page["layers-told"]


def test_a_link_brings_back_what_was_shown(tab: LayersTab, suite: Suite) -> None:
    state = {
        "tab": "layers",
        "suite": suite.name,
        "probe": "base",
        "layer": "1",
        "pool": "all",
        "preset": "hard",
        "show": "holds",
        **(SENTENCE if suite.modality == "text" else {}),
    }
    query = Query(state)
    shown = tab.restore(query)
    assert set(shown) <= set(tab.outputs) and query.notices == []
    assert shown[tab.open] == "holds" and shown[tab.layer]["value"] == 1
    if suite.modality == "text":
        assert linked(shown[tab.link]) == {k: v for k, v in state.items() if v}
        assert "block 1" in shown[tab.told]
    strange = Query({"tab": "layers", "probe": "oracle", "layer": "99", "pool": "max",
                     "preset": "odd", "show": "all"})  # fmt: skip
    tab.restore(strange)
    assert len(strange.notices) == 5


def test_the_method_is_chosen_like_every_other_setting(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path
) -> None:
    source = ask(page, suite, tmp_path)
    page.change("layers-probe", "experts")
    density, before = tab.method.options["density"], page["layers-tables"]
    assert not page.visible(density) and "method" not in linked(page["layers-link"])
    page.change("layers-method", "ties")
    page.change(density, 0.5)
    assert page.visible(density) and page["layers-tables"] != before
    asked = linked(page["layers-link"])
    assert asked["method"] == "ties:density=0.5" and asked["probe"] == "experts"
    engine = tab.context.engines.get(suite.name)
    sample = context_sample(source, suite, Examples())
    for layer in valid_layers(suite):
        pool = FINAL if layer == FINAL else asked["pool"]
        settings = Settings("experts", layer, pool, method="ties", method_options={"density": 0.5})
        want = engine.predict(sample, settings)
        found = page[tab.known]["reached"][str(layer)][pool]
        assert found == pytest.approx(want.distances, rel=1e-6)
    restored = tab.restore(Query(asked))
    assert restored[tab.method.menu]["value"] == "ties" and restored[density]["value"] == 0.5
    if suite.modality == "text":
        assert restored[tab.tables] == page["layers-tables"]
    # what this method can't have is replaced, and comes back for nobody
    page.change("layers-method", "task_arithmetic")
    assert page["layers-tables"] == before and not page.visible(density)
    page.change("layers-probe", "cache")
    page.change("layers-method", "average")
    assert page["layers-probe"] == "experts" and page["layers-told"]
    assert [value for _, value in page.of("layers-probe", "choices")] == ["experts", "base"]
    strange = Query({**asked, "method": "nothing", "probe": "cache:x=1"})
    tab.restore(strange)
    assert len(strange.notices) == 2


def test_an_option_that_no_method_has_is_told(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path
) -> None:
    ask(page, suite, tmp_path)
    page.change("layers-method", "ties")
    page.change(tab.method.options["density"], 7)
    assert "density must be a number from 0 to 1" in page["layers-told"]
    page.change(tab.method.options["density"], 0.3)
    assert "nearest expert" in page["layers-told"]


def test_the_link_names_the_view_that_is_open(page: Visitor, suite: Suite, tmp_path: Path) -> None:
    ask(page, suite, tmp_path)
    page.event(page.part("layers-fits").parent, "select")
    assert linked(page["layers-link"])["show"] == "fits"


def test_an_input_that_cannot_be_used_is_told_in_its_place(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path
) -> None:
    source = {"text": " "} if suite.modality == "text" else {"file": "/nowhere/x.png"}
    page[tab.picker.source] = source
    page.event("layers-tab", "select")
    assert 'role="alert"' in page["layers-told"] and page["layers-link"] == ""
    assert page[tab.known] is None and not page.visible("layers-tables")
    ask(page, suite, tmp_path)
    page[tab.known] = {**page[tab.known], "probe": "oracle"}
    page["layers-probe"] = "oracle"
    page.change("layers-preset", "odd")
    assert 'role="alert"' in page["layers-told"]


def test_it_answers_when_it_is_opened_and_not_again(
    tab: LayersTab, page: Visitor, suite: Suite
) -> None:
    if suite.modality == "text":
        page[tab.picker.source] = dict(SENTENCE)
        page.event("layers-tab", "select")
    else:
        page[tab.known] = {"suite": suite.name}
    assert page[tab.known] is not None and page.event("layers-tab", "select") == {}


def test_another_suite_opens_at_its_own_defaults(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path
) -> None:
    source, usual = ask(page, suite, tmp_path), Where.default(suite)
    told = page["layers-told"]
    page[tab.known] = {**page[tab.known], "suite": "another"}
    page["layers-layer"], page["layers-preset"], page["layers-probe"] = 1, "literal", "base"
    ask(page, suite, tmp_path)
    assert page["layers-layer"] == usual.layer and page["layers-pool"] == usual.pool
    assert page["layers-preset"] == usual.preset and page["layers-told"] == told
    assert ("The cat sat" in page["layers-given"]) is (suite.modality == "text")
    taken = tab.take(suite, source)
    assert set(taken) <= set(tab.outputs) and taken[tab.told] == told


def test_the_views_follow_the_suite(tab: LayersTab, suite: Suite) -> None:
    topics = tab.topics
    # this suite's report has no families, whose charts are hidden
    hidden = {
        part
        for (name, what), part in topics.parts.items()
        if name.startswith("families-") and what != "place"
    }
    assert set(topics.show(suite)) == set(topics.outputs) - hidden
    lost = topics.show(replace(suite, folder=Path("/nowhere")))
    charts = {part for (_, what), part in topics.parts.items() if what in ("head", "chart")}
    assert set(lost) == set(topics.outputs) - charts
    assert "has no diagnosis yet" in lost[topics.parts["holds", "top"]]
    assert lost[topics.parts["holds", "body"]]["visible"] is False


# ---- the fallback in the options -----------------------------------------------------------------


def test_the_option_to_fall_back_names_its_measured_effect(
    suite: Suite, diagnosis: dict[str, Any]
) -> None:
    with gr.Blocks():
        options = Options([suite], "x", fast=True)
    fallback = options.put(suite, Settings(fallback="static"))[options.fields["fallback"]]
    back = diagnosis["abstention"]["fallback"]
    assert fallback["value"] == "static" and fallback["interactive"] is True
    assert f"{back['fell_back']} of {back['n']} test samples" in fallback["info"]
    other = options.put(read_suite("clip-vit-b-32"), Settings())
    plain = other[options.fields["fallback"]]
    assert plain["value"] == "route" and plain["interactive"] is False
    d = suite.defaults
    read = options.read(suite, (d.preset, d.probe, d.layer, d.pool, "auto", "static"))
    assert read.fallback == "static"


def test_a_link_keeps_the_fallback(suite: Suite) -> None:
    state = of_settings(Settings(fallback="static"))
    assert state["fallback"] == "static" and "fallback" not in of_settings(Settings())
    assert links.read_settings(Query({"fallback": state["fallback"]}), suite).fallback == "static"
    lacking = Query({"fallback": "static"})
    assert links.read_settings(lacking, read_suite("clip-vit-b-32")).fallback == "route"
    assert len(lacking.notices) == 1


def test_the_bundled_examples_are_marked_with_their_own_expert(engine: Engine) -> None:
    """With the real suites: an example's own task is named in the table's head."""
    examples = load_examples()
    suite = read_suite("mini-text" if engine.suite.modality == "text" else "mini-vision")
    example = examples.opening(suite.modality)
    assert example is not None
    row = [float(t + 1) for t in range(len(suite.tasks))]
    pools = dict.fromkeys((*valid_pools(suite, "base", 1), FINAL), row)
    reached = {str(layer): pools for layer in valid_layers(suite)}
    bundled = load_engine(suite.folder)
    views = routed(bundled, reached, Where("base", 1, "mean", "hard"), example)
    assert layers.tables(views, 1).count("its own</span>") == 2
    assert ("wrong expert chosen" in layers.part("sentence", views[1])) is (
        example.task != suite.task_names[0]
    )
