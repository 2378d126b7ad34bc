"""The Methods tab: the table of a suite, read from its folder, and published figures apart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tables import row, table_of, write_table
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.common import measured
from semerge.evaluation.field.reading import FILE, command, read_field
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples
from semerge.suites.published import FAMILIES
from semerge.ui import charts
from semerge.ui.app import build
from semerge.ui.context import Context
from semerge.ui.tabs import names
from semerge.ui.tabs.methods import part


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return read_suite(tiny_text_suite(tmp_path / "suite"))


def test_without_a_table_there_is_the_command(suite: Suite) -> None:
    assert read_field(suite) is None
    told = command(suite)
    assert f"--suite {suite.folder}" in told and "--methods all --probes all --tune" in told
    assert told.endswith(f"--json {suite.folder / FILE}")
    assert told.replace("&", "&amp;") in part("missing", suite.title, told)


def test_lines_are_those_of_the_file(suite: Suite) -> None:
    write_table(suite)
    found = read_field(suite)
    assert found is not None and found.current
    assert [(x.method, x.probe, x.kind) for x in found.lines] == [
        ("ties", "experts", "se"),
        ("ties", "base", "se"),
        ("task_arithmetic", "experts", "se"),
        ("ties", "centroid", "rival"),
        ("tall", "", "told"),
    ]
    # of each method the best probe, of each rival itself; the best first
    assert [(x.method, x.probe) for x in found.best] == [
        ("tall", ""),
        ("ties", "centroid"),
        ("task_arithmetic", "experts"),
        ("ties", "base"),
    ]
    own, rival = found.summary
    assert own is not None and own.method == "task_arithmetic"
    assert rival is not None and rival.probe == "centroid"  # not the one that is told
    assert found.absent == (("OTA", "It needs <moments>."), ("TIES, cache", "No statistics."))
    line = found.lines[4]
    assert line.static is None and line.merge is None and line.against is None
    assert found.lines[0].megabytes == 12 and found.lines[0].data == ()


def test_placebo_and_ceiling_are_told_once(suite: Suite) -> None:
    told = {"probe": "oracle", "note": "ceiling", "data": ["the task of each sample"]}
    rows = [row("ties", 0.5), row("ties", 0.9, **told), row("average", 0.95, **told)]
    rows += [row(name, 0.1, probe="random", note="placebo") for name in ("ties", "average")]
    write_table(suite, table_of(suite, rows))
    found = read_field(suite)
    assert found is not None and len(found.lines) == 5
    assert [(x.method, x.probe) for x in found.best] == [
        ("average", "oracle"),
        ("ties", "experts"),
        ("ties", "random"),
    ]


def test_what_is_helped_most_and_least_is_told(suite: Suite) -> None:
    """By how far SE-Merging is above the method's own static merge, for its own probes alone."""

    def line(method: str, static: float | None, se: float, **more: Any) -> dict[str, Any]:
        shares = {"static_oracle": static, "se_oracle": se, "se_routed": se, "routing": 1.0}
        return row(method, se, average_all=shares, **more)

    rows = [line("a", 0.75, 0.875), line("b", 0.25, 0.75), line("c", 0.875, 0.8125)]
    rows += [line("d", 0.125, 0.9, note="other", probe="d"), line("e", None, 0.9)]
    write_table(suite, table_of(suite, rows))
    found = read_field(suite)
    assert found is not None and found.helped is not None
    assert [x.method for x in found.helped] == ["b", "c"]
    assert [x.gain for x in found.helped] == [0.5, -0.0625]
    told = re.sub(r"<.*?>", "", part("helped", found)).replace("\xa0", " ")
    assert "adds most to B, from 25.0 % for its static merge to 75.0 %" in told
    assert "least to C, from 87.5 % to 81.2 %" in told
    write_table(suite, table_of(suite, [line("e", None, 0.9)]))
    found = read_field(suite)
    assert found is not None and found.helped is None and not part("helped", found).strip()


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update(suite="another"),
        lambda table: table.pop("table"),
        lambda table: table["table"][0].pop("average_all"),
        lambda table: table["table"][0]["average_all"].update(se_routed="high"),
        lambda table: table.update(table=[1]),
        lambda table: table.update(config=None),
    ],
)
def test_what_is_no_table_is_none(
    suite: Suite, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    content = table_of(suite)
    change(content)
    write_table(suite, content)
    assert read_field(suite) is None and "field.json can't be read" in caplog.text
    suite.path(FILE).write_text("[", encoding="utf-8")
    assert read_field(suite) is None


def test_a_table_of_other_weights_says_so(suite: Suite) -> None:
    write_table(suite)
    for weights, current in (("w", True), ("v", False)):
        report = json.dumps({"weights_sha256": weights})
        suite.path("report.json").write_text(report, encoding="utf-8")
        found = read_field(suite)
        assert found is not None and found.current is current
        assert ("of other weights" in part("suite", found)) is not current
        suite.path("report.json").unlink()


def test_the_table_in_html(suite: Suite) -> None:
    """Every heading is a button that sorts, every cell has what it is sorted by, and what comes
    from a file is no markup."""
    rows = [row("a<b>", 0.5, title="A<b>"), row("c", 0.25, note="n<i>", data=["samples"])]
    write_table(suite, table_of(suite, rows))
    found = read_field(suite)
    assert found is not None
    text = part("rows", found, found.lines, "C<p>", measured)
    assert "A&lt;b&gt;" in text and "<b>" not in text and "<i>" not in text and "<p>" not in text
    heads = re.findall(
        r"<th scope=\"col\" aria-sort=\"none\"><button type=\"button\" data-sort", text
    )
    (head,) = re.findall(r"<thead>.*?</thead>", text, re.DOTALL)
    assert len(heads) == head.count("<th ") == 13
    (body,) = re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    lines = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    assert len(lines) == 2
    for line in lines:
        cells = re.findall(r"<t[hd][^>]*>", line)
        assert len(cells) == 13 and all("data-value=" in cell for cell in cells)
    assert "other</span>" in lines[1] and "other</span>" not in lines[0]
    assert "50.0" in lines[0] and "-1.00" in lines[0] and "p 0.04" in lines[0]
    write_table(suite)
    whole = read_field(suite)
    assert whole is not None
    assert "told the task" in part("rows", whole, whole.best, "C", measured)
    left_out = part("absent", whole, "run <it>")
    assert "It needs &lt;moments&gt;." in left_out and "run &lt;it&gt;" in left_out
    assert "RegMean" in whole.not_run and not {"TIES-Merging", "OTA"} & set(whole.not_run)
    assert ", ".join(whole.not_run) in left_out
    assert "1,200 test samples" in part("columns", whole) and "not tuned" in part("columns", whole)


def test_options_that_were_tuned_are_told(suite: Suite) -> None:
    tuning = {"rule": "The rule.", "split": "validation", "n": 800, "methods": {}}
    write_table(suite, table_of(suite) | {"tuning": tuning})
    found = read_field(suite)
    assert found is not None
    told = part("columns", found)
    assert "on 800 validation samples: The rule." in told and "not tuned" not in told


def test_the_chart_tells_kinds_apart_by_shape(suite: Suite) -> None:
    write_table(suite)
    found = read_field(suite)
    assert found is not None
    figure = charts.field(found.best)
    shapes = {trace.name: (trace.marker.symbol, len(trace.x)) for trace in figure.data}
    assert shapes == {"se": ("circle-open", 2), "rival": ("diamond", 1), "told": ("square-open", 1)}
    (rival,) = [trace for trace in figure.data if trace.name == "rival"]
    assert tuple(rival.x) == (2.0,) and tuple(rival.y) == (0.85,)


def test_families_of_published_figures_are_never_mixed() -> None:
    for family in FAMILIES.values():
        text = part("family", family)
        assert text.count("<table") == 1 and family.source in text
        names_ = re.findall(r'<th scope="row" data-value="([^"]*)"', text)
        assert len(names_) == len(family.rows)
        lines = re.findall(r"<tr><th scope=\"row\".*?</tr>", text, re.DOTALL)
        assert all(line.count("<td") == len(family.tasks) + 1 for line in lines)
        for other in FAMILIES.values():
            assert other is family or other.title not in text


def test_the_page_has_the_tab(tmp_path: Path) -> None:
    """A suite with a table, and one without."""
    assert "methods" in names()
    first = read_suite(tiny_vision_suite(tmp_path / "v"))
    second = read_suite(tiny_text_suite(tmp_path / "t"))
    write_table(first)
    page = build(Context.make([first, second], Examples(), lambda suite: None))
    parts = [str(x.get("props", {}).get("value")) for x in page.get_config_file()["components"]]
    assert any("Tiny, the best row of each" in x for x in parts)
    assert any("Tiny, every row" in x for x in parts)
    assert any(f"--json {second.path(FILE)}" in x for x in parts)
    (left_out,) = [x for x in parts if f"--json {first.path(FILE)}" in x]
    assert "not run for this table" in left_out
    assert any("What others have published" in x for x in parts)
