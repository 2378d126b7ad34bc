"""How forms and tables look in a headless chromium: what axe does not see, measured."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import MARKS, OTHER_LOOKS, go, serious_faults, until

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


# pairs of words and controls that lie over each other, as far as they can be seen: what floats, is
# drawn or is for screen readers alone does not count
OVER = """() => {
  const floats = n => ['absolute', 'fixed', 'sticky'].includes(getComputedStyle(n).position);
  const aside = 'svg, .js-plotly-plot, .se-unseen, .sr-only, [aria-hidden=true]';
  const kinds = 'h1, h2, h3, p, a, button, label, input, textarea, th, td, li, summary, figcaption';
  const visible = {visibilityProperty: true, opacityProperty: true};
  const all = [...document.querySelectorAll(`.gradio-container :is(${kinds})`)]
    .filter(n => !n.closest(aside) && n.checkVisibility(visible));
  const parts = all.filter(n => !all.some(other => other !== n && n.contains(other)));
  const seen = [];
  for (const node of parts) {
    let {left, top, right, bottom} = node.getBoundingClientRect(), out = false;
    for (let at = node; at !== document.body; at = at.parentElement) {
      if (floats(at)) { out = true; break; }
      if (at === node || getComputedStyle(at).overflow === 'visible') continue;
      const frame = at.getBoundingClientRect();
      left = Math.max(left, frame.left); right = Math.min(right, frame.right);
      top = Math.max(top, frame.top); bottom = Math.min(bottom, frame.bottom);
    }
    if (!out && right - left > 2 && bottom - top > 2) seen.push({node, left, top, right, bottom});
  }
  seen.sort((a, b) => a.top - b.top);
  const over = [];
  seen.forEach((a, i) => {
    for (const b of seen.slice(i + 1)) {
      if (b.top > a.bottom - 3) break;
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3)
        over.push([a, b].map(one => one.node.outerHTML.slice(0, 90)));
    }
  });
  return over.slice(0, 5);
}"""
OUT = "document.documentElement.scrollWidth - innerWidth"
WIDTHS = (320, 390, 600, 768, 961, 1100, 1280, 1440, 1920)


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


def test_nothing_runs_out_or_over_from_320_to_1920_px(visit: Any) -> None:
    """320 px is also what 1280 are at 400 %."""
    page = visit(query="tab=inspect&suite=mini-text&set=examples")
    page.locator("#inspect-table .se-samples").wait_for()
    for name in ("Vision", *TABS, "Methods", "About"):
        page.set_viewport_size({"width": 1280, "height": 900})
        go(page, name)
        serious_faults(page)  # waits for what is drawn
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function("width => innerWidth === width", arg=width)
            until(page, lambda: page.evaluate(OUT) <= 0 and not page.evaluate(OVER))
            assert page.evaluate(OUT) <= 0, (name, width)
            assert page.evaluate(OVER) == [], (name, width)


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
