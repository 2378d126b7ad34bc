"""The README's figures are those of the suites' reports, the bench and the examples' index."""

from pathlib import Path

import pytest

from recipes import readme
from recipes import readme as readme_costs
from recipes import readme as readme_unfit
from semerge.suites import available_suites


@pytest.mark.parametrize("name", ["results", "examples", "unfit", "costs"])
def test_figures_are_those_that_were_measured(name: str) -> None:
    if not available_suites():
        pytest.skip("no bundled suite is here")
    text = readme.README.read_text(encoding="utf-8")
    assert readme.between(text, name).strip() == readme.parts()[name].strip()


def test_write_keeps_what_is_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "parts", lambda: {"a": "## New\n\nfigures", "b": "more"})
    page = tmp_path / "README.md"
    page.write_text(
        "above\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\n", encoding="utf-8"
    )
    readme.write(page)
    readme.write(page)
    assert page.read_text(encoding="utf-8") == (
        "above\n<!-- a -->\n\n## New\n\nfigures\n<!-- /a -->\nbetween\n"
        "<!-- b -->\n\nmore\n<!-- /b -->\n"
    )


def test_the_notice_is_told_with_its_errors_and_gains() -> None:
    rate = {"share": 0.5, "n": 20}
    notice = {
        "score": "either",
        "made": {
            "either": {
                "false_alarm": {"share": 0.061, "n": 80},
                "kinds": {"noise": rate, "blank": {"share": 0.1, "n": 30}},
                "miss": 0.3,
            }
        },
        "left_out": {"either": {"miss": {"share": 0.045, "n": 70}}},
        "fallback": {
            "n": 80,
            "oracle": {"se": 0.8, "with_fallback": 0.79},
            "left_out": {"n": 70, "oracle": {"se": 0.3, "with_fallback": 0.6, "static": 0.61}},
        },
    }
    assert readme_unfit.errors(notice) == ["6.1 % (n = 80)", "4.5 % (n = 70)", "30.0 % (n = 50)"]
    assert readme_unfit.gains(notice) == (
        "missed 50.0 % of noise. Falling back to the static coefficients takes SE-Merging with the "
        "given head from 80.0 to 79.0 % on the suite's own tasks (n = 80), and from 30.0 to 60.0 % "
        "on tasks whose expert was left out (n = 70), where the static merge has 61.0 %."
    )


def test_a_missed_line_is_bold_and_an_unmeasured_one_empty() -> None:
    found = {
        "weights": "trained",
        "figures": {"sweep_over_loop": 1.956, "fast_agreement": 0.99736, "peak_over_weights": 2.2},
        "acceptance": [
            {"figure": "sweep_over_loop", "limit": ">= 4", "value": 1.956, "met": False},
            {"figure": "fast_agreement", "limit": ">= 0.995", "value": 0.99736, "met": True},
        ],
    }
    cells = [
        readme_costs._cell(found, name)
        for name in ("sweep_over_loop", "fast_agreement", "sandbox_ms", "peak_over_weights")
    ]
    assert cells == ["**1.96**", "99.7 %", "", ""]
    assert readme_costs._limit(found, "sweep_over_loop") == "≥ 4"


def test_a_missed_sweep_comes_with_its_profile_and_no_row_is_empty() -> None:
    missed, met = ([{"figure": "sweep_over_loop", "met": m}] for m in (False, True))
    times = {"cases_ms": {"loop": 7.317, "sweep": 3.74, "passes": 2.809}}
    suites = {
        name: {**times, "acceptance": missed if name == "mini-text" else met}
        for name in (*readme_costs.SMALL, *readme_costs.LARGE)
    }
    assert readme_costs._sweeps(suites) == (
        "An input of `mini-text` takes 7.32 ms one by one and 3.74 in batches, 2.81 of them for "
        "the passes.\n\n"
    )
    suites["mini-text"]["acceptance"] = met
    assert readme_costs._sweeps(suites) == ""
    rows = [line for line in readme_costs.costs().splitlines() if line.startswith("|")][2:]
    assert rows and all(any(c.strip() for c in row.split("|")[2:-1]) for row in rows)
