"""How forms and tables look in a headless chromium: what axe does not see, measured."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import MARKS, OTHER_LOOKS, go

pytestmark = MARKS
TABS = ("Vision", "Inspect", "Layers", "Sandbox", "Compare")

# of every visible box to choose from: does its edge differ from that of a box to type in, and does
# its text run under its arrow
BOXES = """() => {
  const edge = getComputedStyle(document.body).getPropertyValue('--se-edge').trim();
  const probe = Object.assign(document.createElement('i'), {style: `color: ${edge}`});
  document.body.append(probe);
  const want = getComputedStyle(probe).color;
  probe.remove();
  const seen = [...document.querySelectorAll('[role=combobox]')].filter(n => n.offsetParent);
  return [seen.length, seen.filter(n => {
    const arrow = n.parentElement.querySelector('.icon-wrap').getBoundingClientRect();
    return getComputedStyle(n.closest('.wrap')).borderTopColor !== want
      || n.getBoundingClientRect().right > arrow.left;
  }).map(n => n.ariaLabel)];
}"""
DROPS = """() => [...document.querySelectorAll('.block:has(input[type=file])')]
  .filter(n => n.offsetParent).map(n => getComputedStyle(n).borderTopWidth)"""
# the rail of every visible slider, and what it has to be like
RAILS = """() => [...document.querySelectorAll('.block input[type=range]')]
  .filter(n => n.offsetParent).map(n => ['--neutral-200', '--se-edge']
    .map(name => getComputedStyle(n).getPropertyValue(name)))"""
# a caption that is wider than what shows of its table would be cut off with it
CUT = """() => [...document.querySelectorAll('.se-scroll caption')].filter(n => n.offsetParent)
  .filter(n => n.getBoundingClientRect().width > n.closest('.se-scroll').clientWidth + 1)
  .map(n => n.textContent)"""


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


@pytest.mark.parametrize(("size", "theme"), OTHER_LOOKS)
def test_forms_and_captions_look_alike_on_every_tab(
    visit: Any, size: tuple[int, int], theme: str
) -> None:
    page = visit(size, theme, query=f"tab=inspect&suite=mini-text&set=examples&__theme={theme}")
    page.locator("#inspect-table .se-samples").wait_for()
    for name in TABS:
        go(page, name)
        if name == "Layers":
            page.locator("#layers-tables .se-heat").first.wait_for()
        if name in ("Layers", "Sandbox"):
            rails = page.evaluate(RAILS)
            assert rails and all(rail == edge for rail, edge in rails)
        if name == "Compare":
            page.locator("#compare-differs table").wait_for()
        if name == "Vision":  # which opens on the pad
            page.get_by_role("tab", name="Image", exact=True).click()
        many, odd = page.evaluate(BOXES)
        assert (many or name == "Vision") and not odd, (name, odd)
        assert not page.evaluate(CUT)
        if name != "Inspect":
            widths = page.evaluate(DROPS)
            assert widths and set(widths) == {"1px"}, name


def test_a_link_to_an_inspection_says_that_it_is_opening(visit: Any) -> None:
    """Not the invitation to run something, while what the link names is computed."""
    page = visit(query="tab=inspect&suite=mini-vision&set=upload")
    page.wait_for_function("document.documentElement.dataset.opening === 'inspect'")
    told = "getComputedStyle(document.querySelector('#inspect-status'), '::before').content"
    page.locator("#inspect-status").wait_for(state="attached")
    assert "Opening the link" in page.evaluate(told)
    page.locator("#inspect-status").get_by_text("No link holds an upload").wait_for()
    assert page.evaluate(told) == "none"
    assert page.evaluate(DROPS) == ["1px"]
