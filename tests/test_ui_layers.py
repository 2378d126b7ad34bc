"""The Layers tab without a browser: what it computes from one probe, and what it shows of a report.

Figures are compared with the engine's and the diagnosis's own; none is written here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from concurrency import sample_of
from tags import Tags

from semerge.engine import Engine, load_engine
from semerge.settings import FINAL, PRESETS, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import links
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.options import Options
from semerge.ui.tabs import layers_html
from semerge.ui.tabs.layers import LayersTab
from semerge.ui.tabs.layers_html import Where, routed

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
SENTENCE = {"text": "The cat sat on the mat.", "text_b": ""}


@pytest.fixture(scope="module")
def suite(diagnosed: Path) -> Suite:
    return read_suite(diagnosed)


@pytest.fixture(scope="module")
def tab(suite: Suite) -> Iterator[LayersTab]:
    context = Context.make([suite], Examples(), lambda s: load_engine(s.folder))
    with gr.Blocks(), gr.Tabs(), gr.Tab("Layers"):
        yield LayersTab(context)


def probed(engine: Engine, probe: str, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Distances as the tab keeps them."""
    layers = valid_layers(engine.suite)
    found = engine.probe(sample_of(engine, seed), Settings(probe=probe, layer=FINAL), layers)
    reached: dict[str, dict[str, list[float]]] = {str(layer): {} for layer in layers}
    for (_, layer, pool), distances in found.distances.items():
        reached[str(layer)][pool] = distances[0].tolist()
    return reached


def source_of(suite: Suite, folder: Path) -> dict[str, Any]:
    """An input of a visitor's own."""
    if suite.modality == "text":
        return dict(SENTENCE)
    file = folder / "own.png"
    sample_of(load_engine(suite.folder), 3).image.save(file)  # type: ignore[union-attr]
    return {"file": str(file)}


# ---- one input -----------------------------------------------------------------------------------


def test_every_place_is_routed_as_the_engine_does(engine: Engine) -> None:
    suite = engine.suite
    for probe in valid_probes(suite):
        reached = probed(engine, probe)
        for layer in valid_layers(suite):
            for pool in valid_pools(suite, probe, 1):
                for preset in PRESETS:
                    where = Where(probe, layer, pool, preset)
                    view = routed(suite, reached, where)
                    want = engine.predict(sample_of(engine, 0), where.settings).to_dict()
                    same = ("layer", "pool", "probe", "preset", "tasks", "chosen", "head")
                    for key in same:
                        assert view.result[key] == want[key], key
                    for key in ("distances", "similarities", "coefficients", "margin"):
                        assert view.result[key] == pytest.approx(want[key], rel=1e-5), key


def test_the_layers_at_which_the_expert_changes(engine: Engine) -> None:
    suite = replace(engine.suite, architecture={**engine.suite.architecture})
    a, b = [1.0, 2.0, 3.0], [5.0, 2.0, math.nan]

    def said(*rows: list[float]) -> str:
        names = [*map(str, range(1, len(rows))), FINAL]
        pools = [{"mean": row, FINAL: row} for row in rows]
        return Tags(layers_html.changes(suite, dict(zip(names, pools, strict=True)), "mean")).words

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
    assert layers_html.nearest([math.nan, 4.0, 4.0]) == 1
    assert layers_html.nearest([math.nan, math.inf]) == 0


def test_the_tables_hold_every_distance_and_mark_the_nearest(engine: Engine) -> None:
    suite, reached = engine.suite, probed(engine, "experts")
    where = Where("experts", 2, "mean", "literal")
    view = routed(suite, reached, where)
    text = Tags(layers_html.tables(view, reached, where)).words
    for layer in valid_layers(suite):
        for distance in layers_html.at(reached, layer, "mean"):
            assert f"{distance:.4g}" in text
    assert text.count("nearest") == 2 * len(valid_layers(suite)) and text.count("shown") == 2
    assert "preset literal" in text


def test_distances_that_failed_are_dashes(engine: Engine) -> None:
    reached = probed(engine, "experts")
    reached["2"]["mean"][0] = math.nan
    where = Where("experts", 2, "mean", "sharp")
    view = routed(engine.suite, reached, where)
    assert view.result["distances"][0] is None
    assert view.result["coefficients"] == view.result["static_coefficients"]
    assert "–" in Tags(layers_html.tables(view, reached, where)).words


# ---- the tab -------------------------------------------------------------------------------------


def shown_of(tab: LayersTab, values: list[Any]) -> dict[str, Any]:
    """Values of `_outputs` by what they fill."""
    names = [
        *("layer", "pool", "probe", "preset", "known", "given"),
        *("told", "body", "similar_head", "similar", "weights_head", "weights"),
        *("changes", "tables", "link"),
    ]
    return dict(zip(names, values, strict=True))


def test_the_slider_moves_the_bars_without_a_new_probe(
    tab: LayersTab, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(suite, tmp_path)
    start = shown_of(tab, tab._show(suite, source, "input", Where.default(suite)))
    known = start["known"]
    json.dumps(known)  # plain numbers, as a State keeps them
    engine = tab.context.engines.get(suite.name)
    monkeypatch.setattr(type(engine), "probe", lambda *_, **__: pytest.fail("probed again"))
    seen = set()
    for number in range(1, suite.depth + 2):
        for pool in ("mean", "all"):
            values = tab._moved(
                suite.name, source, known, "input", number, pool, "experts", "literal"
            )
            told, bars = values[0], json.loads(values[3].plot)["data"][0]["x"]
            layer = FINAL if number > suite.depth else number
            where = Where("experts", layer, pool, "literal")
            want = routed(suite, known["reached"], where)
            assert bars == want.result["similarities"]
            assert want.title(want.result["chosen"]) in told
            seen.add(tuple(bars))
    assert len(seen) == 2 * suite.depth + 1  # the final embedding has one pooling
    # another input has not been probed yet
    skipped = tab._moved(suite.name, {"example": 1}, known, "input", 1, "mean", "base", "hard")
    assert skipped == [gr.skip()] * len(tab._shown)


def test_a_link_brings_back_what_was_shown(tab: LayersTab, suite: Suite, tmp_path: Path) -> None:
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
    del state["show"]
    query = Query({**state, "show": "holds"})
    values = tab.restore(query)
    assert len(values) == len(tab.restored) and query.notices == []
    if suite.modality == "text":
        outputs = values[len(tab.picker.outputs) : -2]
        link = str(outputs[-1]).split('data-link="')[1].split('"')[0].replace("&amp;", "&")
        wanted = {k: v for k, v in {**state, "show": "holds"}.items() if v}
        assert dict(parse_qsl(link)) == wanted
        assert "block 1" in outputs[6] and values[-2] == "holds"
    strange = Query({"tab": "layers", "probe": "oracle", "layer": "99", "pool": "max",
                     "preset": "odd", "show": "all"})  # fmt: skip
    tab.restore(strange)
    assert len(strange.notices) == 5


def test_an_input_that_cannot_be_used_is_told_in_its_place(tab: LayersTab, suite: Suite) -> None:
    source = {"text": " "} if suite.modality == "text" else {"file": "/nowhere/x.png"}
    values = shown_of(tab, tab._show(suite, source, "input", Where.default(suite)))
    assert 'role="alert"' in values["told"] and values["known"] is None and values["link"] == ""
    assert values["body"]["visible"] is False
    odd = tab._moved(
        suite.name, source, {"suite": suite.name, "source": source, "reached": {}}, "input",
        1, "mean", "oracle", "odd",
    )  # fmt: skip
    assert 'role="alert"' in odd[0]


def test_it_answers_when_it_is_opened_and_not_again(tab: LayersTab, suite: Suite) -> None:
    controls = (1, "mean", "experts", "hard")
    if suite.modality == "text":
        first = tab._opened(suite.name, dict(SENTENCE), None, "input", *controls)
        assert shown_of(tab, first)["known"] is not None
    again = tab._opened(suite.name, SENTENCE, {"suite": suite.name}, "input", *controls)
    assert again == [gr.skip()] * len(tab._outputs)


def test_another_suite_opens_at_its_own_defaults(
    tab: LayersTab, suite: Suite, tmp_path: Path
) -> None:
    source = source_of(suite, tmp_path)
    known = {"suite": "another", "source": {}, "reached": {}}
    values = tab._chosen(suite, source, known, "input", 1, "all", "base", "hard")
    found, usual = shown_of(tab, values), Where.default(suite)
    assert found["layer"]["value"] == usual.layer and found["pool"]["value"] == usual.pool
    assert found["preset"] == usual.preset
    assert ("The cat sat" in found["given"]) is (suite.modality == "text")
    assert len(tab.take(suite, source)) == len(tab.restored)


def test_the_views_follow_the_suite(tab: LayersTab, suite: Suite) -> None:
    values = tab.views.values(suite)
    assert len(values) == len(tab.views.outputs)
    lost = tab.views.values(replace(suite, folder=Path("/nowhere")))
    assert len(lost) == len(values) and "has no diagnosis yet" in lost[0]
    assert lost[1]["visible"] is False


# ---- the fallback in the options -----------------------------------------------------------------


def test_the_option_to_fall_back_names_its_measured_effect(
    suite: Suite, diagnosis: dict[str, Any]
) -> None:
    with gr.Blocks():
        options = Options([suite], "x", fast=True)
    fallback = options.put(suite, Settings(fallback="static"))[options.fallback]
    back = diagnosis["abstention"]["fallback"]
    assert fallback["value"] == "static" and fallback["interactive"] is True
    assert f"{back['fell_back']} of {back['n']} test samples" in fallback["info"]
    other = options.put(read_suite("clip-vit-b-32"), Settings())
    plain = other[options.fallback]
    assert plain["value"] == "route" and plain["interactive"] is False
    d = suite.defaults
    read = Options.read(suite, (d.preset, d.probe, d.layer, d.pool, "auto", "static"))
    assert read.fallback == "static"


def test_a_link_keeps_the_fallback(suite: Suite) -> None:
    state = links.of_settings(Settings(fallback="static"))
    assert state["fallback"] == "static" and "fallback" not in links.of_settings(Settings())
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
    where = Where("base", 1, "mean", "hard")
    view = routed(suite, reached, where, example)
    text = layers_html.tables(view, reached, where)
    assert text.count("its own</span>") == 2
    assert ("wrong expert chosen" in layers_html.sentence(view)) is (
        example.task != suite.task_names[0]
    )
