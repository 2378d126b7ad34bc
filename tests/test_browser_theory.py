"""The Theory view in a headless chromium, on a tiny suite whose report has figures of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import DESKTOP, MARKS, PHONE, choose, go, serious_faults
from fakes import served
from labelled import DATA
from PIL import Image
from tiny import tiny_vision_suite

from semerge.data.sets import suite_sets
from semerge.engine import load_engine
from semerge.evaluation.field.assumptions import assumptions
from semerge.suites import read_suite
from semerge.suites.examples import Examples
from semerge.suites.report import write_report
from semerge.ui.context import Context
from semerge.ui.tabs.layers_theory import contents

pytestmark = MARKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("theory")
    folder, data = tiny_vision_suite(home / "suite"), DATA["image"](home / "data")
    engine = load_engine(folder)
    sets = suite_sets(engine.suite, data, "validation")
    write_report(folder / "report.json", assumptions(engine, sets, samples=2))
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    suite = read_suite(folder)
    with served(Context.make([suite], Examples(), lambda s: load_engine(s.folder))) as url:
        yield url


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_a_pair_is_chosen_and_its_link_shows_it_again(
    visit: Any, folder: Path, size: tuple[int, int], theme: str
) -> None:
    from playwright.sync_api import expect

    suite = read_suite(folder)
    page = visit(size=size, theme=theme, query="tab=layers&show=theory")
    page.locator("#layers-grid .se-heat").first.wait_for()
    page.locator("#layers-linearity .scatterlayer .trace").nth(2).wait_for()
    first = page.locator("#layers-grid").inner_text()
    pair = f"{suite.tasks[1].title} and {suite.tasks[2].title}"
    choose(page, "Pair of tasks", pair)
    expect(page.locator("#layers-grid caption").first).to_contain_text(suite.tasks[2].title)
    assert page.locator("#layers-grid").inner_text() != first
    cell = page.locator("#layers-grid td.marked").first
    expect(cell).to_contain_text("(1, 1)")
    head = page.locator("#layers-theory .se-chart .se-summary")
    expect(head).to_contain_text(suite.tasks[1].title)
    names = f"{suite.tasks[1].name},{suite.tasks[2].name}"
    assert contents(suite, names)["pair"] == names
    # a reader gets every figure of the line as a table
    page.locator("#layers-theory summary", has_text="Figures of this chart").click()
    expect(page.locator("#layers-theory .se-more-figures tbody tr")).to_have_count(suite.depth + 1)
    link = page.locator("#layers-link [data-link]")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(page) == {}
    query = link.get_attribute("data-link")
    assert "show=theory" in query and "pair=" in query
    again = visit(size=size, theme=theme, query=query)
    expect(again.locator("#layers-grid caption").first).to_contain_text(suite.tasks[2].title)


def test_what_lies_outside_is_shown_when_asked(visit: Any, folder: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page, suite = visit(size=PHONE), read_suite(folder)
    go(page, "Layers")
    file = tmp_path / "own.png"
    Image.linear_gradient("L").convert("RGB").save(file)
    page.locator("#layers-image input[type=file]").set_input_files(file)
    page.locator("#layers-tables .se-heat").first.wait_for()
    assert page.locator("#layers-outside .se-heat").count() == 0
    page.locator("#layers-lies").press("Enter")
    marked = page.locator("#layers-outside td.marked")
    expect(marked).to_have_count(suite.depth)
    expect(marked.first).to_contain_text("least")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(page) == {}
