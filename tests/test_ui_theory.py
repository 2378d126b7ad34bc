"""Layers on what the theory assumes: every figure is the report's, and what it lacks is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
import torch
from concurrency import sample_of
from labelled import DATA
from tags import Tags
from visitor import Visitor

from semerge.common import UserError
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.dynamic import subspace
from semerge.evaluation.field.assumptions import assumptions
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples
from semerge.suites.report import write_report
from semerge.ui import charts, maps
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.tabs.layers import LayersTab
from semerge.ui.tabs.layers_outside import Readers, outside
from semerge.ui.tabs.layers_theory import LINES, contents, names

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
HOSTILE = "<script>alert(1)</script><b onclick='x'>{{y}}"
SENTENCE = {"text": "The cat sat on the mat.", "text_b": ""}
KEYS = ("disentanglement", "linearity")


@pytest.fixture(scope="module")
def measured(folder: Path, engine: Engine) -> dict[str, Any]:
    """What the tiny suite's report.json holds of pairs, and nothing else."""
    data = DATA[engine.suite.modality](folder.parent / "four", tasks=4)
    found = assumptions(engine, suite_sets(engine.suite, data, "validation"), samples=3)
    write_report(folder / "report.json", found)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def suite(folder: Path, measured: dict[str, Any]) -> Suite:
    return read_suite(folder)


@pytest.fixture(scope="module")
def tab(suite: Suite) -> LayersTab:
    context = Context.make([suite], Examples(), lambda s: load_engine(s.folder))
    with gr.Blocks(), gr.Tabs(), gr.Tab("Layers", elem_id="layers-tab"):
        return LayersTab(context)


@pytest.fixture
def page(tab: LayersTab) -> Visitor:
    return Visitor.around(tab.known)


def linked(html: str) -> dict[str, str]:
    query = re.search(r'data-link="([^"]+)"', html)
    assert query
    return dict(parse_qsl(query[1].replace("&amp;", "&")))


def cells(html: str) -> list[list[str]]:
    """By table, what its cells hold."""
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    return [re.findall(r"<td[^>]*>([^<]*)", re.sub(r"<thead.*?</thead>", "", t)) for t in tables]


def reported(folder: Path, suite: Suite, report: Any) -> Suite:
    """The suite with another report."""
    folder.mkdir()
    text = report if isinstance(report, str) else json.dumps(report)
    (folder / "report.json").write_text(text, encoding="utf-8")
    return replace(suite, folder=folder)


def test_a_pair_and_all_pairs_have_the_reports_figures(
    suite: Suite, measured: dict[str, Any]
) -> None:
    pairs = list(combinations(suite.task_names, 2))
    assert names(suite) == tuple(",".join(pair) for pair in pairs)
    found, at = measured["disentanglement"], measured["disentanglement"]["alphas"].index(1.0)
    full = {tuple(row["tasks"]): row["error"][at][at] for row in found["pairs"]}
    for row, linear in zip(found["pairs"], measured["linearity"]["pairs"], strict=True):
        shown = contents(suite, ",".join(row["tasks"]))
        assert shown["pair"] == ",".join(row["tasks"]) and shown["body"] and shown["place"]
        grid, matrix = cells(shown["grid"])
        assert grid == [f"{x:.2f}" for line in row["error"] for x in line]
        wanted = []
        for a in suite.task_names:
            for b in suite.task_names:
                error = full.get((a, b), full.get((b, a)))
                wanted.append("–" if error is None else f"{error:.2f}")
        assert matrix == wanted
        words = Tags(shown["grid"]).words
        assert words.count("(1, 1)") == 2 and words.count("shown") == 2
        (figures,) = cells(shown["below"])
        every = zip(*(linear[key] for key in LINES), strict=True)
        assert figures == [f"{x:.3f}" for line in every for x in line]
        told = Tags(shown["head"]).words
        n = sum(found["samples"][task] for task in row["tasks"])
        assert f"{linear['cosine'][0]:.3f} at block 1" in told and f"n = {n}" in told
    assert "validation samples, at most 3 a task" in Tags(shown["top"]).words


def test_the_line_over_blocks_is_the_reports(measured: dict[str, Any]) -> None:
    found = measured["linearity"]
    row = found["pairs"][0]
    figure = charts.by_block([*map(str, found["layers"])], {t: row[k] for k, t in LINES.items()})
    assert [list(trace.y) for trace in figure.data] == [row[key] for key in LINES]
    assert {tuple(trace.x) for trace in figure.data} == {tuple(map(str, found["layers"]))}
    # apart without colour: by mark and by dash
    looks = {(trace.marker.symbol, trace.line.dash) for trace in figure.data}
    assert len(looks) == len(LINES)
    low, high = figure.layout.yaxis.range
    assert low < min(map(min, (row[k] for k in LINES))) and high > 1


@pytest.mark.parametrize("key", KEYS)
def test_one_part_alone_is_shown_and_the_other_named(
    key: str, suite: Suite, measured: dict[str, Any], tmp_path: Path
) -> None:
    alone = reported(tmp_path / "a", suite, {key: measured[key]})
    shown = contents(alone)
    assert shown["body"] and bool(shown["grid"]) is (key == KEYS[0])
    assert shown["place"] is (key == KEYS[1])
    missing = "cross-task linearity" if key == KEYS[0] else "disentanglement error"
    made = "evaluate --suite FOLDER --data DIR --disentanglement --diagnose FOLDER/report.json"
    told = Tags(shown["top"]).words
    assert f"has no {missing} yet" in told and made in told


@pytest.mark.parametrize(
    ("report", "what"),
    [
        ({}, "has no figures of pairs of tasks yet"),
        ({"disentanglement": {"pairs": []}}, "has no figures"),
        ("{", "can't be read"),
        ("3", "can't be read"),
        ({"disentanglement": 3}, "can't be read"),
        ({"disentanglement": {"pairs": [{"tasks": ["task0", "task9"]}]}}, "can't be read"),
        ({"linearity": {"pairs": [{"tasks": ["task0", "task1"]}]}}, "can't be read"),
        ({"linearity": {"pairs": [{"tasks": "x"}], "layers": []}}, "can't be read"),
    ],
)
def test_what_a_report_lacks_is_said(report: Any, what: str, suite: Suite, tmp_path: Path) -> None:
    own = reported(tmp_path / "a", suite, report)
    shown = contents(own)
    assert what in Tags(shown["top"]).words and "--disentanglement --diagnose" in shown["top"]
    assert not shown["body"] and not shown["place"] and shown["pairs"] == []


def test_a_bundled_suite_names_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from semerge.ui.tabs import layers_theory

    monkeypatch.setattr(layers_theory, "read_report", lambda suite: None)
    made = "--suite mini-text --data DIR --disentanglement --diagnose assets/suites/mini-text/rep"
    assert made in contents(read_suite("mini-text"))["top"]


def test_what_a_suite_is_called_is_escaped(suite: Suite, engine: Engine) -> None:
    titled = replace(suite, tasks=tuple(replace(t, title=HOSTILE) for t in suite.tasks))
    shown = contents(titled)
    for key in ("top", "grid", "head", "below"):
        assert "script" not in Tags(shown[key]).names and "onclick" not in Tags(shown[key]).names
    assert "&lt;script" in shown["grid"]


def test_another_pair_is_shown_and_linked(tab: LayersTab, page: Visitor, suite: Suite) -> None:
    page[tab.picker.source] = dict(SENTENCE) if suite.modality == "text" else {"example": 0}
    first, second, *_ = names(suite)
    assert page["layers-pair"] == first
    page.event(tab.theory.tab, "select")
    assert linked(page["layers-link"])["show"] == "theory"
    page.change("layers-pair", second)
    assert page["layers-grid"] == contents(suite, second)["grid"]
    asked = linked(page["layers-link"])
    assert (asked["show"], asked["pair"]) == ("theory", second)
    asked.pop("example", None)  # there is none here
    query = Query(asked)
    back = tab.restore(query)
    assert query.notices == [] and set(back) <= set(tab.outputs)
    assert back[tab.theory.pair]["value"] == second and back[tab.open] == f"theory:{second}"
    strange = Query({**asked, "pair": "task0,task9"})
    assert tab.restore(strange)[tab.theory.pair]["value"] == first and len(strange.notices) == 1
    # what is open when the suite changes: a pair of its own stays, another's does not
    kept = tab._suited(suite.name, f"theory:{second}")
    assert kept[tab.theory.pair]["value"] == second
    assert tab._suited(suite.name, "theory:a,b")[tab.theory.pair]["value"] == first


# ---- what lies outside ---------------------------------------------------------------------------


def test_shares_outside_are_the_residual_over_the_length(engine: Engine) -> None:
    """At every block as MASS's router has it at one, from the activation itself."""
    batch = maps.batch_of(engine, sample_of(engine, 0))
    readers = Readers().of(engine)
    scale = engine.suite.defaults.probe_lambda
    found = subspace.outside(engine, batch, readers, scale, "task_arithmetic")
    assert [reader.layer for reader in readers] == list(range(1, engine.suite.depth + 1))
    for reader, shares in zip(readers, found, strict=True):
        params = engine.models.vectors.merge(torch.full((engine.models.vectors.count,), scale))
        with torch.inference_mode():
            z = engine.models.read(lambda _, p=params: p, batch, reader.layer, reader.name)  # type: ignore[misc]
        z = engine.backbone.pool(z, subspace.pool_of(engine), batch)[0].double()
        for share, v in zip(shares, reader.bases, strict=True):
            torch.testing.assert_close(v.mT @ v, torch.eye(v.shape[1], dtype=v.dtype))
            inside = (v.mT @ z).square().sum() / z.square().sum()
            assert share == pytest.approx(float(1 - inside) ** 0.5, abs=1e-5)
            assert 0 <= share <= 1


def test_an_expert_that_reads_nothing_new_leaves_all_outside(engine: Engine) -> None:
    vectors = engine.models.vectors.mapped(
        lambda deltas: deltas * torch.tensor([1.0] + [0.0] * (len(deltas) - 1))[:, None]
    )
    reader = subspace.reader_at(vectors, 1)
    assert reader is not None
    assert [basis.shape[1] > 0 for basis in reader.bases] == [True, False, False]
    z = torch.ones(1, reader.bases[0].shape[0])
    r = subspace.residuals(z, reader.bases)[0]
    assert r[1] == r[2] == pytest.approx(len(z[0]) ** 0.5) and r[0] < r[1]
    same = vectors.mapped(lambda deltas: deltas * 0)
    assert subspace.reader_at(same, 1) is None or not any(
        basis.shape[1]
        for basis in subspace.reader_at(same, 1).bases  # type: ignore[union-attr]
    )


def test_the_table_marks_the_least_of_every_block(engine: Engine) -> None:
    batch, readers = maps.batch_of(engine, sample_of(engine, 1)), Readers().of(engine)
    drawn = outside(engine, readers, batch, "task_arithmetic", None)
    scale = engine.suite.defaults.probe_lambda
    shares = subspace.outside(engine, batch, readers, scale, "task_arithmetic")
    assert cells(drawn)[0] == [f"{100 * x:.1f}" for row in shares for x in row]
    words = Tags(drawn).words
    assert words.count("least") == len(readers) + 1  # and once in the sentence
    rank, width = readers[0].bases[0].shape[::-1]
    assert f"{rank} of {width} directions" in words
    assert f"{100 * (1 - rank / width) ** 0.5:.1f}" in words


def test_it_is_computed_when_asked_and_goes_with_the_input(
    tab: LayersTab, page: Visitor, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tab.context.engines.get(suite.name)
    if suite.modality == "text":
        page["layers-text"] = SENTENCE["text"]
        page.event("layers-text", "submit")
    else:
        file = tmp_path / "own.png"
        sample_of(engine, 3).image.save(file)  # type: ignore[union-attr]
        page["layers-image"] = str(file)
        page.event("layers-image", "upload")
    assert page["layers-outside"] == ""
    page.press("layers-lies")
    shown = page["layers-outside"]
    assert "reads most of this input" in Tags(shown).words
    page.change("layers-layer", 1)
    assert page["layers-outside"] == shown  # it is of all layers
    page.change("layers-method", "ties")
    assert page["layers-outside"] == ""  # another merged model
    page.press("layers-lies")
    assert "se-heat" in page["layers-outside"]

    def refused(*_: Any) -> None:
        raise UserError("It can't be read.")

    monkeypatch.setattr(tab, "lie", refused)
    page.press("layers-lies")
    assert "be read." in page["layers-outside"] and "alert" in page["layers-outside"]
