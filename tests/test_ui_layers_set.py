"""The views of a suite's diagnosis: every figure is the report's own, with its sample size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tags import Tags

from semerge.common import templates
from semerge.suites import Suite, read_suite
from semerge.suites.report import read_diagnosis
from semerge.ui import charts
from semerge.ui.tabs import layers, layers_report
from semerge.ui.tabs.layers_report import Page
from semerge.ui.words import bounds, macro

CURVES = [chart for row in layers_report.TOPICS["curves"].charts for chart in row]
HOSTILE = "<script>alert(1)</script><b onclick='x'>{{y}}"


@pytest.fixture(scope="module")
def suite(diagnosed: Path) -> Suite:
    return read_suite(diagnosed)


# ---- heat maps -----------------------------------------------------------------------------------


def test_a_heat_map_is_a_table_with_every_figure_and_words_for_what_stands_out() -> None:
    table = """{% from "layers.html" import cell, heat, line %}
        {% call heat("Caption <x>", ["Layer", "A", "B", "C"], [("p", 3)]) %}
        {% call line("block 1", true) %}
        {{ cell("1.5", 2.0, "1.2 to 1.7", "nearest") }}{{ cell("9", -1.0, span=2) }}
        {% endcall %}{% endcall %}"""
    text = templates().from_string(table).render()
    found = Tags(text)
    assert "Caption &lt;x&gt;" in text and found.names.count("td") == 3
    for word in ("1.5", "1.2 to 1.7", "nearest", "9", "shown"):
        assert word in found.words
    assert "--heat:46%" in text and "--heat:0%" in text and 'colspan="2"' in text
    assert 'scope="colgroup" colspan="3"' in text and 'tabindex="0"' in text


# ---- a suite's diagnosis -------------------------------------------------------------------------


def test_every_view_shows_the_reports_figures_with_their_sample_sizes(
    suite: Suite, diagnosis: dict[str, Any]
) -> None:
    pages = layers_report.pages(suite)
    said = {}
    for name, page in pages.items():
        heads = "".join(chart.summary for chart in page.charts.values())
        said[name] = Tags(page.top + heads + page.below).words.replace("\u00a0", " ")
        assert f"Measured on {diagnosis['samples']['test']} test samples" in said[name]
        assert "None" not in said[name] and "nan" not in said[name]
    for row in diagnosis["hypothesis"]["rows"]:
        assert f"{100 * row['share']:.1f}{bounds(row, '–')}" in said["hypothesis"]
    assert "default" in said["hypothesis"] and "best" in said["hypothesis"]
    for kind, gap in diagnosis["bias"]["average"].items():
        assert f"{gap:.3f}" in said["hypothesis"], kind
    moved = diagnosis["displacement"]
    assert moved["verdict"] in said["holds"] and f"n = {moved['n']}" in said["holds"]
    for row in moved["tasks"].values():
        assert f"{row['own']:#.3g}" in said["holds"] and f"{row['others']:#.3g}" in said["holds"]
    picked = diagnosis["choice"]
    assert f"n = {picked['n']} validation samples" in said["choice"]
    for row in (picked, *picked["by_probe"].values()):
        for figures in (row["pick"], row["best"], row["test"]["pick"]):
            assert f"{100 * figures['routing']:.1f} %" in said["choice"]
    assert "python -m semerge choose --suite FOLDER SAMPLES" in said["choice"]
    kept = diagnosis["abstention"]
    for score, row in kept["made"].items():
        assert score in said["fits"]
        for one in (row["false_alarm"], *row["kinds"].values(), kept["left_out"][score]["miss"]):
            assert f"{100 * one['share']:.1f} %{bounds(one, '–')}" in said["fits"]
            assert f"n = {one['n']}" in said["fits"]
    back = kept["fallback"]
    assert f"{back['fell_back']} of {back['n']} test samples" in said["fits"]
    for row in (back["left_out"], *back["left_out"]["tasks"].values()):
        cells = [f"{100 * row['oracle'][k]:.1f} %" for k in ("se", "static", "with_fallback")]
        assert f"{''.join(cells)}{row['fell_back']} of {row['n']}" in said["fits"]


def test_the_pick_can_be_opened_where_the_tab_can_show_it(
    suite: Suite, diagnosis: dict[str, Any]
) -> None:
    def shown(**pick: Any) -> str:
        row = diagnosis["choice"] | {"pick": diagnosis["choice"]["pick"] | pick}
        return layers_report.choice(diagnosis | {"choice": row}, suite).top

    at = {"layer": 1, "pool": "mean"}
    link = f'href="?tab=layers&amp;suite={suite.name}&amp;probe=%s&amp;layer=%s"'
    assert link % ("base", "1&amp;pool=mean") in shown(probe="base", probe_lambda=0.0, **at)
    final = {"layer": "final", "pool": "final"}
    assert link % ("cache", "final") in shown(probe="cache", probe_lambda=0.1, **final)
    assert link % ("experts", "1&amp;pool=mean") in shown(probe="experts", probe_lambda=0.1, **at)
    assert "href" not in shown(probe="experts", probe_lambda=0.3, **at)  # a λ that it can't show


def test_what_a_suite_is_called_is_escaped(suite: Suite) -> None:
    titled = replace(suite, tasks=tuple(replace(t, title=HOSTILE) for t in suite.tasks))
    for page in layers_report.pages(titled).values():
        assert "script" not in Tags(page.top + page.below).names
        for title, summary, figure in page.charts.values():
            head = macro("chart_head", title, summary, "layers", "x")
            assert "script" not in Tags(head).names and "<script" not in figure.to_json()
    missing = replace(titled, title=HOSTILE, folder=Path("/nowhere"))
    assert "script" not in Tags(layers_report.pages(missing)["fits"].top).names


def test_the_charts_hold_the_reports_figures(suite: Suite, diagnosis: dict[str, Any]) -> None:
    margins = charts.margins(diagnosis["hypothesis"]["margins"])
    assert [list(bar.y) for bar in margins.data] == [
        diagnosis["hypothesis"]["margins"][key] for key in ("right", "misrouted")
    ]
    where = diagnosis["map"]
    places = charts.task_map(where, {t.name: t.title for t in suite.tasks})
    drawn = sorted((x, y) for trace in places.data for x, y in zip(trace.x, trace.y, strict=True))
    assert drawn == sorted(zip(where["x"], where["y"], strict=True))
    assert len({trace.marker.symbol for trace in places.data}) == len(suite.tasks)
    rows = diagnosis["displacement"]["curve"]
    predicted, measured = charts.curve(rows, 0.1).data
    assert list(predicted.y) == [row["predicted"]["share"] for row in rows]
    known = [row["measured"] for row in rows if "measured" in row]
    assert list(measured.y) == [row["share"] for row in known]
    ends = zip(measured.y, measured.error_y.array, strict=True)
    assert [share + up for share, up in ends] == pytest.approx([row["high"] for row in known])
    assert len(charts.curve(rows, None).layout.shapes) == 0


def test_more_tasks_than_marks_still_look_apart() -> None:
    names = [f"t{i}" for i in range(2 * len(charts.MARKS))]
    found = {"tasks": names, "x": [0.0] * 16, "y": [0.0] * 16, "explained": [0.5, 0.25]}
    figure = charts.task_map(found, {name: name for name in names})
    assert len({trace.marker.symbol for trace in figure.data}) == len(names)


def test_a_suite_without_a_diagnosis_says_how_to_make_one(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = read_suite("mini-text")
    for report, what in (
        (None, "has no diagnosis yet"),
        ("{}", "has no diagnosis yet"),
        ("{", "can't be read"),
        ('{"diagnosis": {"at": {}}}', "can't be read"),
        ('{"diagnosis": {"samples": 3}}', "can't be read"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        if report is not None:
            (folder / "report.json").write_text(report, encoding="utf-8")
        pages = layers_report.pages(replace(suite, folder=folder))
        for page in pages.values():
            assert page == Page(page.top) and what in Tags(page.top).words
            assert "evaluate --suite FOLDER --data DIR --diagnose FOLDER/report.json" in page.top
        assert "python -m semerge choose --suite FOLDER SAMPLES" in pages["choice"].top
    monkeypatch.setattr(layers_report, "read_diagnosis", lambda suite: None)
    place = layers_report.pages(bundled)["fits"].top
    assert "--suite mini-text --data DIR --diagnose assets/suites/mini-text/report.json" in place


@pytest.mark.parametrize("name", ["mini-vision", "mini-text"])
def test_every_view_of_a_bundled_suite_has_its_figures(name: str) -> None:
    for view, page in layers_report.pages(read_suite(name)).items():
        assert bool(layers_report.TOPICS[view].charts) == bool(page.charts)
        assert "can't be read" not in page.top and "no figures" not in page.top


def test_the_curves_are_the_reports_for_the_suite_and_each_family(
    suite: Suite, diagnosis: dict[str, Any], tmp_path: Path
) -> None:
    found = diagnosis["curve"]
    page = layers_report.pages(suite)["curves"]
    chart = page.charts["over"].figure
    keys = ("static", "nearest", "hard_given", "hard_routed")
    for trace, key in zip(chart.data, keys, strict=True):
        assert list(trace.x) == [row["lambda"] for row in found["rows"]]
        assert list(trace.y) == [row[key] for row in found["rows"]]
    assert [shape.x0 for shape in chart.layout.shapes] == [0.5, diagnosis["at"]["static_lambda"]]
    text = Tags(page.below).words.replace("\u00a0", " ")
    for row in found["rows"]:
        assert all(f"{100 * row[key]:.1f} %" in text for key in keys)
    assert set(page.charts) == {"over"}  # this report has no families: an empty chart says nothing
    places = {each: layers.contents(suite)[each, "place"]["visible"] for each in CURVES}
    assert places == {"over": True, "families-nearest": False, "families-static": False}
    families = [
        {"experts": name, "curve": {"rows": [row | {"nearest": share} for row in found["rows"]]}}
        for name, share in (("plain", 0.2), ("preserve and drift", 0.5), ("disentangled", 0.9))
    ]
    without = {"experts": "as it was measured before there were curves"}
    report = {"diagnosis": diagnosis, "ablation": [without, *families]}
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    page = layers_report.pages(replace(suite, folder=tmp_path))["curves"]
    lines = page.charts["families-nearest"].figure.data
    assert [set(line.y) for line in lines] == [{0.2}, {0.5}, {0.9}]
    assert "preserve and drift, by λ" in page.below
    old = {name: part for name, part in diagnosis.items() if name != "curve"}
    (tmp_path / "report.json").write_text(json.dumps({"diagnosis": old}), encoding="utf-8")
    page = layers_report.pages(replace(suite, folder=tmp_path))["curves"]
    assert not page.charts and "no figures over λ yet" in page.top


def test_a_report_is_read_once_until_it_changes(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, reads, plain = tmp_path / "report.json", [], Path.read_text

    def counted(path: Path, *args: Any, **options: Any) -> str:
        reads.append(path.name)
        return plain(path, *args, **options)

    file.write_text('{"diagnosis": {"at": 1}}', encoding="utf-8")
    monkeypatch.setattr(Path, "read_text", counted)
    own = replace(suite, folder=tmp_path)
    assert [read_diagnosis(own) for _ in range(3)] == [{"at": 1}] * 3
    layers_report.pages(own)
    assert reads == ["report.json"]
    file.write_text('{"diagnosis": {"at": 12}}', encoding="utf-8")
    assert read_diagnosis(own) == {"at": 12} and reads == ["report.json"] * 2
