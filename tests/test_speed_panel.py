"""What About shows of the bench: every figure, with its limit; nothing where nobody measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

from semerge import common
from semerge.evaluation.tables import read_bench
from semerge.ui import charts
from semerge.ui.tabs import about

FOUND = {
    "suite": "mini-text",
    "weights": "trained",
    "experts": 7,
    "figures": {"exact_over_needed": 1.234, "reference_over_exact": None, "other": 2.0,
                "sweep_over_loop": 2.1, "sweep_limit": 2.6, "sweep_bound": 2.9},
    "stages_ms": {"probe": 3.25, "merge": 1.0},
    "start_ms": None,
    "acceptance": [
        {"figure": "exact_over_needed", "limit": "<= 1.5", "value": 1.234, "met": True},
        {"figure": "reference_over_exact", "limit": ">= 3", "value": None, "met": None},
        {"figure": "sweep_over_loop", "limit": ">= 4", "value": 2.1, "met": False},
    ],
    "about": {"exact_over_needed": "exact over what it can't avoid"},
    "machine": {"processor": "A <B>", "threads": 2, "torch": "2.9"},
    "labelled": {
        "split": "test",
        "n": 700,
        "modes": [
            {"mode": "static", "cost": 1.0, "agreement": 0.6, "default_agreement": 0.6,
             "accuracy": 0.5, "alone": 0.0},
            {"mode": "fast", "cost": 2.5, "agreement": 0.996, "default_agreement": 0.99,
             "accuracy": 0.8, "alone": 0.25},
        ],
    },
}  # fmt: skip


OTHER = {**FOUND, "suite": "gpt2-glue", "weights": "random", "figures": {"other": 1234.5},
         "stages_ms": {"merge": 80.04}, "start_ms": {"load": 9.0}, "acceptance": []}  # fmt: skip


def cells(text: str) -> list[list[str]]:
    """The words of each row of a table."""
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [
        [re.sub("<[^>]*>", " ", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_every_figure_is_shown_by_suite_with_its_limit() -> None:
    text = about.figures([FOUND, OTHER])
    assert cells(text) == [
        ["Figure", "mini-text", "gpt2-glue"],
        ["Exact over what it can&#39;t avoid", "1.23  ≤ 1.5, met", ""],
        ["The tests&#39; plain implementation over exact", "not measured  ≥ 3", ""],
        ["One by one over in batches", "2.10  ≥ 4, missed   at most 2.60 here", ""],
        ["The most that this can be, merges for nothing", "2.60", ""],
        ["The same at the speed of one large matrix product", "2.90", ""],
        ["other", "2.00", "1,234"],
    ]
    assert "mini-text (7 experts): trained weights; A &lt;B&gt;, 2 threads, torch 2.9." in text
    assert "gpt2-glue (7 experts): random weights; A &lt;B&gt;, 2 threads, torch 2.9." in text
    meanings = about.meanings([FOUND, OTHER])
    assert "<code>exact_over_needed</code></dt><dd>exact over what it can&#39;t avoid" in meanings


def test_every_figure_that_a_bench_knows_has_words() -> None:
    assert all(words["called"] and words["about"] for words in common.FIGURES.values())


def test_every_stage_is_shown_by_suite() -> None:
    assert cells(about.times([FOUND, OTHER])) == [
        ["Stage", "mini-text", "gpt2-glue"],
        ["an exact answer: probe", "3.25", ""],
        ["an exact answer: merge", "1.00", "80.0"],
        ["a start: load", "", "9.00"],
    ]
    swept = {**FOUND, "cases_ms": {"loop": 7.32, "sweep": 3.74, "passes": 2.81, "copy": 1.0}}
    assert cells(about.times([swept, OTHER]))[-3:] == [
        ["an input of a set: one by one", "7.32", ""],
        ["an input of a set: in batches", "3.74", ""],
        ["an input of a set: in batches, the passes alone", "2.81", ""],
    ]


def test_growth_is_shown_by_the_number_of_experts() -> None:
    rows = [{"experts": n, "static": 1.0, "exact": 2.5 * n} for n in (2, 20)]
    grown, missing = {**FOUND, "growth": rows}, {**OTHER, "growth": [{"left_out": "needs 9 GB"}]}
    assert cells(about.growth([grown, missing])) == [
        ["Experts", "2", "20"],
        ["mini-text: exact", "5.00", "50.0"],
        ["mini-text: static", "1.00", "1.00"],
        ["gpt2-glue: needs 9 GB", "", ""],
    ]
    assert about.growth([FOUND, OTHER]) == ""


def test_every_way_is_shown_with_its_agreement() -> None:
    assert cells(about.ways(FOUND))[2] == [
        "fast", "2.50", "99.6\u00a0%", "99.0\u00a0%", "80.0\u00a0%", "25.0\u00a0%",
    ]  # fmt: skip
    assert "700 samples" in about.ways(FOUND)


def test_the_plot_has_a_mark_for_every_way() -> None:
    figure = charts.cost(FOUND["labelled"]["modes"])
    assert [(t.name, t.x[0], t.y[0]) for t in figure.data] == [
        ("static", 1.0, 0.6),
        ("fast", 2.5, 0.996),
    ]


def test_nothing_is_shown_where_nobody_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    assert read_bench(file) == []
    file.write_text("{", encoding="utf-8")
    assert read_bench(file) == []
    both = {"mini-text": FOUND, "mini-text, validation": FOUND}
    file.write_text(json.dumps(both), encoding="utf-8")
    assert read_bench(file) == [FOUND]
