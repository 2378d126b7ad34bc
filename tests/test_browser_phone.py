"""The page on a phone, in a headless chromium: after every input the answer is in sight, and of
what scrolls sideways the part that was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import MARKS, PHONE, check_look, drawn, go, shown, until, upload
from fakes import fake_suite

from semerge.suites.examples import Examples, load_examples
from semerge.ui.words import View

pytestmark = MARKS

# whether the window has come to rest
STILL = """async () => {
  const before = scrollY;
  await new Promise(resolve => setTimeout(resolve, 150));
  return scrollY === before;
}"""
# whether all of a node is in the window, and in every box around it that scrolls
IN_SIGHT = """node => {
  let box = node.getBoundingClientRect();
  if (!node.checkVisibility({visibilityProperty: true}) || !box.height) return false;
  if (box.top < 0 || box.bottom > innerHeight) return false;
  if (box.left < 0 || box.right > innerWidth) return false;
  for (let at = node.parentElement; at; at = at.parentElement) {
    if (at.scrollWidth <= at.clientWidth + 1 && at.scrollHeight <= at.clientHeight + 1) continue;
    if (getComputedStyle(at).overflowX === 'visible') continue;
    const frame = at.getBoundingClientRect();
    if (box.left < frame.left - 1 || box.right > frame.right + 1) return false;
  }
  return true;
}"""


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


@pytest.fixture(scope="module")
def examples(app: str, drawings: Path) -> Examples:
    return load_examples(drawings)


def tells(page: Any, tab: str) -> None:
    """Wait until the answer of the Result that is there can be read without a move."""
    page.wait_for_function(
        f"""tab => {{
          const seen = {IN_SIGHT};
          const answer = `#${{tab}}-answers .se-card.se .se-answer`;
          const want = document.querySelector(answer).textContent;
          const places = [...document.querySelectorAll(
            `${{answer}}, #${{tab}}-sentence .is-se, .se-strip strong`)];
          return places.some(node => node.textContent === want && seen(node));
        }}""",
        arg=tab,
    )


def asked(page: Any, tab: str, before: dict[str, Any]) -> None:
    """Wait for another Result than the one before."""
    page.wait_for_function(
        "([tab, before]) => document.querySelector(`#${tab}-footer a[download]`).href !== before",
        arg=[tab, before["href"]],
    )


def now(page: Any, tab: str) -> dict[str, Any]:
    return {"href": page.locator(f"#{tab}-footer a[download]").evaluate("a => a.href")}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_answer_is_in_sight_after_every_input(
    visit: Any, drawings: Path, examples: Examples, theme: str
) -> None:
    page = visit(PHONE, theme)
    drawn(page, "vision")
    strip = page.locator(".se-strip")
    # a file
    before = now(page, "vision")
    upload(page, drawings / "vision" / "gtsrb_2.png")
    asked(page, "vision", before)
    tells(page, "vision")
    strip.wait_for()
    view = View(shown(page, "vision"), fake_suite("image"))
    assert strip.locator("strong").inner_text() == view.answer("se")
    assert view.titles[view.chosen] in strip.inner_text()
    check_look(page, theme)
    # it leads to the answer, and goes there
    strip.click()
    strip.wait_for(state="hidden")
    answer = page.locator("#vision-answers .se-card.se .se-answer")
    until(page, lambda: answer.evaluate(IN_SIGHT))  # it glides there
    assert answer.evaluate(IN_SIGHT)
    page.wait_for_function(STILL)
    # an example
    page.evaluate("scrollTo(0, 0)")
    strip.wait_for()
    before = now(page, "vision")
    page.locator("#vision-examples [data-example='4']").click()
    asked(page, "vision", before)
    tells(page, "vision")
    # a drawing
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("tab", name="Draw").click()
    pad = page.locator("#vision-pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    before = now(page, "vision")
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 160, steps=5)
    page.mouse.up()
    asked(page, "vision", before)
    tells(page, "vision")
    # it covers nothing of the end of the page
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    tells(page, "vision")
    check_look(page, theme)


def test_a_sentence_and_the_chosen_task_are_in_sight(visit: Any) -> None:
    page = visit(PHONE)
    drawn(page, "vision")
    go(page, "Language")
    drawn(page, "language")
    before = now(page, "language")
    field = page.locator("#language-text textarea")
    field.fill("Two words")
    field.press("Enter")
    asked(page, "language", before)
    tells(page, "language")
    # an example of the last task presses its chip, and the row of chips goes there
    last = page.locator("#language-examples [data-of]").last.locator("[data-example]").first
    before = now(page, "language")
    page.evaluate("document.querySelector('#language-examples .se-chips').scrollLeft = 0")
    last.evaluate("line => line.click()")
    asked(page, "language", before)
    assert page.evaluate(
        """() => {
          const of = name => document.querySelector(`#language-examples ${name}`)
            .getBoundingClientRect();
          const strip = of('.se-chips'), chip = of('.se-chip[aria-pressed=true]');
          return chip.left >= strip.left - 1 && chip.right <= strip.right + 1;
        }"""
    )


def test_the_strip_is_a_phones_alone(visit: Any) -> None:
    page = visit()
    drawn(page, "vision")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.locator("#vision-footer").wait_for()
    assert not page.locator(".se-strip:visible").count()
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.evaluate("scrollTo(0, 0)")
    page.locator(".se-strip").wait_for()
    go(page, "About")
    page.locator(".se-strip").wait_for(state="hidden")


def test_layers_shows_its_tables_first_and_the_nearest_expert_in_them(
    browser: Any, shipped_page: str
) -> None:
    context = browser.new_context(viewport={"width": PHONE[0], "height": PHONE[1]}, has_touch=True)
    page = context.new_page()
    page.goto(f"{shipped_page}?tab=layers&suite=mini-text")
    table = page.locator("#layers-tables .se-heat").first
    table.wait_for(timeout=120_000)
    top = "node => node.getBoundingClientRect().top"
    charts = page.locator("#layers-similarity").evaluate(top)
    assert page.locator("#layers-tables").evaluate(top) < charts
    for cell in page.locator("#layers-tables tr.current td.marked").all():
        cell.evaluate("cell => scrollBy(0, cell.getBoundingClientRect().top - 400)")
        assert cell.evaluate(IN_SIGHT)
    assert page.locator("#layers-tables tr.current td.marked").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
