"""What About shows of the bench: every figure, with its limit; nothing where nobody measured."""

from __future__ import annotations

import json
from pathlib import Path

from semerge.ui import charts, speed

FOUND = {
    "suite": "mini-text",
    "weights": "trained",
    "experts": 7,
    "figures": {"exact_over_needed": 1.234, "reference_over_exact": None, "other": 2.0,
                "sweep_over_loop": 2.1, "sweep_limit": 2.6},
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


def test_every_figure_is_shown_with_its_limit() -> None:
    text = speed.figures(FOUND)
    for part in ("1.23", "&lt;= 1.5 met", "not measured", "A &lt;B&gt;", "other"):
        assert part in text
    ways = speed.ways(FOUND)
    assert "99.6\u00a0%" in ways
    assert "700 samples" in ways
    assert "25.0\u00a0%" in ways
    assert "&gt;= 4 missed; at most 2.6 here" in text
    times = speed.times(FOUND)
    assert "probe" in times
    assert "3.25" in times


def test_the_plot_has_a_mark_for_every_way() -> None:
    figure = charts.cost(FOUND["labelled"]["modes"])
    assert [(t.name, t.x[0], t.y[0]) for t in figure.data] == [
        ("static", 1.0, 0.6),
        ("fast", 2.5, 0.996),
    ]


def test_nothing_is_shown_where_nobody_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    assert list(speed.read_bench(file)) == []
    file.write_text("{", encoding="utf-8")
    assert list(speed.read_bench(file)) == []
    both = {"mini-text": FOUND, "mini-text, validation": FOUND}
    file.write_text(json.dumps(both), encoding="utf-8")
    assert list(speed.read_bench(file)) == [FOUND]
