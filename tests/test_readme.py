"""The figures of README, docs and model cards are those of reports, bench and examples; what README
and docs name is there."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from test_import import FLOORS

from recipes import readme
from semerge import cli
from semerge.suites import available_suites

DOCS = sorted(readme.ROOT.glob("docs/*.md"))
FRONT_DOOR = 150  # lines


def test_figures_are_those_that_were_measured() -> None:
    if not available_suites():
        pytest.skip("no bundled suite is here")
    pages = readme.pages()
    assert {readme.README, *(s.path("README.md") for s, _ in readme.reports().values())} < set(
        pages
    )
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run python -m recipes.readme"


def test_what_is_around_a_part_stays() -> None:
    page = "above\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\n"
    parts = {"a": lambda: "## New\n\nfigures", "b": lambda: "more"}
    new = readme.filled(readme.filled(page, parts), parts)
    assert new == (
        "above\n<!-- a -->\n\n## New\n\nfigures\n\n<!-- /a -->\nbetween\n"
        "<!-- b -->\n\nmore\n\n<!-- /b -->\n"
    )


def test_the_readme_is_a_front_door() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FRONT_DOOR
    assert "make demo" in text and "make test" in text
    assert len(re.findall(r"^\| --- ", text, re.M)) == 1  # one table of results
    assert {readme.ROOT / link for link in links(readme.README)} >= set(DOCS)


@pytest.mark.parametrize("page", [readme.README, *DOCS], ids=lambda path: path.name)
def test_links_lead_to_files(page: Path) -> None:
    for link in links(page):
        assert (page.parent / link).is_file(), link


def links(page: Path) -> list[str]:
    """Files that a page links to or shows."""
    found = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    return [link for link in found if not link.startswith("http")]


def test_a_card_says_how_its_suite_is_made_again() -> None:
    from recipes.__main__ import SUITES, parser

    for suite, report in readme.reports().values():
        command = re.search(
            r"`python -m recipes ([^`]+)`", readme.card(suite, report, readme.rebuild(suite))
        )
        assert command and SUITES[parser().parse_args(command[1].split()).suite] == suite.name


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
    assert readme.errors(notice) == ["6.1 % (n = 80)", "4.5 % (n = 70)", "30.0 % (n = 50)"]
    assert readme.gains(notice) == (
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
        readme.cost(found, name)
        for name in ("sweep_over_loop", "fast_agreement", "sandbox_ms", "peak_over_weights")
    ]
    assert cells == ["**1.96**", "99.7 %", "", ""]
    assert readme.limit(found, "sweep_over_loop") == "≥ 4"


def test_a_missed_sweep_comes_with_its_profile_and_no_row_is_empty() -> None:
    missed, met = ([{"figure": "sweep_over_loop", "met": m}] for m in (False, True))
    times = {"cases_ms": {"loop": 7.317, "sweep": 3.74, "passes": 2.809}}
    suites = {
        name: {**times, "acceptance": missed if name == "mini-text" else met}
        for name in (*readme.SMALL, *readme.LARGE)
    }
    assert readme.sweeps(suites) == (
        "An input of `mini-text` takes 7.32 ms one by one and 3.74 in batches, 2.81 of them for "
        "the passes.\n\n"
    )
    suites["mini-text"]["acceptance"] = met
    assert readme.sweeps(suites) == ""
    rows = [line for line in readme.costs().splitlines() if line.startswith("|")][2:]
    assert rows and all(any(c.strip() for c in row.split("|")[2:-1]) for row in rows)


def test_the_house_that_is_drawn_is_the_one_that_stands() -> None:
    text = (readme.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = text.partition("## Rooms")[2].partition("Imports run downwards")[0]
    package = readme.ROOT / "semerge"
    names = set(re.findall(r"`(?:semerge/)?([\w/]+\.py|semerge/\w+/)`", rooms))
    drawn = {name.removeprefix("semerge/") for name in names}
    files = {path.name for path in package.glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert drawn - {"app.py", "reference.py"} == files | folders


def test_the_floors_that_are_drawn_are_those_that_are_held() -> None:
    text = (readme.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = text.partition("floor by floor")[2].split("```")[1].strip().splitlines()
    held = []
    for floor in reversed(FLOORS):
        inside = [name.removeprefix("semerge.").partition(".") for name in floor]
        held.append({f"{room}/" if dot else room for room, dot, _ in inside} - {"__main__"})
    assert [set(line.split()) for line in lines] == held


def test_pictures_are_small() -> None:
    shown = [readme.ROOT / link for link in links(readme.README) if link.endswith(".png")]
    assert {path.stem for path in shown} == {"light", "dark"}
    for path in shown:
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 300_000


def commands(page: Path) -> list[list[str]]:
    """Every command of a page that is semerge's or a module's, as words."""
    command = re.compile(r"^(?:[A-Z_]+=\S+ )?((?:semerge|python -m) .*)$", re.M)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    found = [line for language, block in blocks if not language for line in command.findall(block)]
    return [shlex.split(line, comments=True) for line in found]


# those of extending.md know its examples: see test_extending
PAGES = [readme.README, *(page for page in DOCS if page.stem != "extending")]


@pytest.mark.parametrize("words", [w for page in PAGES for w in commands(page)], ids=" ".join)
def test_commands_are_ones_that_there_are(words: list[str]) -> None:
    from recipes.__main__ import parser

    match words:
        case ["semerge", *rest] | ["python", "-m", "semerge", *rest]:
            cli.parser().parse_args(rest)
        case ["python", "-m", "recipes", *rest]:
            parser().parse_args(rest)
        case [_, _, module, *_]:
            assert importlib.util.find_spec(module)


def test_the_readme_s_lines_of_python_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", readme.README.read_text("utf-8"), re.S)
    monkeypatch.chdir(readme.ROOT)
    exec(code, {})
    assert capsys.readouterr().out.startswith("gtsrb Prediction(")
