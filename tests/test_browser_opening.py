"""The opening: a digit that draws itself, terms and classes to ask for, distances first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import DESKTOP, MARKS, PHONE, check_look, settle, until
from fakes import FakeEngine, fake_app, fake_suite

from semerge.inputs import decode_image
from semerge.ui.words import TERMS

pytestmark = MARKS
INK = (
    "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    ".filter((v, i) => i % 4 === 0 && v > 200).length"
)
PEN = "#vision-pad canvas"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    with fake_app(folder, drawn=True) as url:
        yield url


def opened(visit: Any, folder: Path, **more: Any) -> Any:
    page = visit(**more)
    drawn = FakeEngine(fake_suite()).predict(decode_image(folder / "drawn.png")).to_dict()
    settle(page, drawn, fake_suite())
    return page


def ink(page: Any) -> int:
    return int(page.locator(PEN).evaluate(INK))


def test_it_draws_itself_invites_and_gives_way_to_a_pen(visit: Any, folder: Path) -> None:
    page = opened(visit, folder)
    invite = page.locator(".se-invite")
    invite.wait_for()
    assert invite.inner_text() == "Draw your own"
    whole = ink(page)
    assert 26 * 300 < whole < 26 * 500
    box = page.locator(PEN).bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 40)
    page.mouse.down()
    assert invite.is_hidden()
    page.mouse.move(box["x"] + 210, box["y"] + 50, steps=2)
    page.mouse.up()
    assert 0 < ink(page) < whole / 3  # what drew itself has gone
    # the pen's own is asked about, and no example any more
    chosen = page.locator("[data-example][aria-pressed=true]")
    until(page, lambda: chosen.count() == 0)
    assert chosen.count() == 0
    # and it draws itself again when it is asked to
    page.get_by_role("button", name="Watch the digit 4 draw itself").click()
    invite.wait_for()
    assert ink(page) == whole


def test_who_wants_no_motion_sees_it_whole_at_once(visit: Any, folder: Path, browser: Any) -> None:
    page = visit()
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    page.locator(".se-invite").wait_for()
    whole = ink(page)
    page.get_by_role("button", name="Watch the digit 4 draw itself").click()
    seen = page.evaluate(
        """async ([selector, ink]) => {
          const canvas = document.querySelector(selector), seen = [];
          for (let i = 0; i < 30; i++) {
            await new Promise(requestAnimationFrame);
            seen.push(eval(ink)(canvas));
          }
          return seen;
        }""",
        [PEN, INK],
    )
    assert set(seen) == {whole}


def test_another_example_is_seen_where_images_are(visit: Any, folder: Path) -> None:
    page = opened(visit, folder)
    page.get_by_role("button", name="EuroSAT: river").click()
    page.locator("#vision-image img").wait_for()
    assert page.get_by_role("tab", name="Image").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_a_term_tells_its_sentence(
    visit: Any, folder: Path, size: tuple[int, int], theme: str
) -> None:
    page = opened(visit, folder, size=size, theme=theme)
    tip = page.locator(".se-tip")
    for name, sentence in TERMS.items():
        term = page.locator("#vision-sentence .se-term", has_text=name).first
        term.focus()
        assert tip.inner_text() == sentence
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        described = page.locator("#" + term.get_attribute("aria-describedby"))
        assert described.text_content() == sentence
    check_look(page, theme)
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_a_task_lists_its_classes(visit: Any, folder: Path) -> None:
    page = opened(visit, folder)
    card = page.locator("#vision-examples .se-task", has_text="EuroSAT")
    card.get_by_role("button", name="4 classes").click()
    found = card.locator(".se-classes")
    found.wait_for()
    assert found.locator("li").all_inner_texts() == list(fake_suite().task("eurosat").classes)
    page.keyboard.press("Escape")
    found.wait_for(state="hidden")


def test_distances_come_first_and_similarities_at_a_click(visit: Any, folder: Path) -> None:
    page = opened(visit, folder)
    card = page.locator("#vision-result .se-at-similarity")
    assert card.locator(".se-distances li").count() == 8
    assert card.locator(".se-distances").is_visible()
    assert not page.locator("#vision-similarity").is_visible()
    card.get_by_role("button", name="Relative similarity").first.click()
    page.locator("#vision-similarity").wait_for()
    assert not card.locator(".se-distances").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # the focus is where the same choice is now
    assert page.evaluate("document.activeElement.textContent") == "Relative similarity"
    card.get_by_role("button", name="Distance", exact=True).locator("visible=true").click()
    card.locator(".se-distances").wait_for()
