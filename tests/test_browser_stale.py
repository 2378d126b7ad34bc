"""An answer whose input is gone, a server that is lost, the clipboard, the browser's buttons."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from browsing import MARKS, drawn, go, settle, shown, until, upload
from fakes import FakeEngine, fake_suite

from semerge.inputs import decode_image

pytestmark = MARKS


@pytest.fixture(scope="module")
def folder(drawings: Path) -> Path:
    return drawings


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


def stale(page: Any, tab: str) -> bool:
    return bool(page.locator(f"#{tab}-result.se-stale").count())


def test_an_answer_dims_when_its_input_is_taken_away(visit: Any, folder: Path) -> None:
    page = visit()
    drawn(page, "vision")
    upload(page, folder / "vision" / "gtsrb_2.png")
    want = FakeEngine(fake_suite()).predict(decode_image(folder / "vision" / "gtsrb_2.png"))
    settle(page, want.to_dict(), fake_suite())
    assert not stale(page, "vision")
    page.get_by_label("Remove Image").click()
    until(page, lambda: stale(page, "vision"))
    assert stale(page, "vision")
    page.locator("#vision-examples [data-example='5']").click()
    until(page, lambda: not stale(page, "vision"))
    assert not stale(page, "vision")

    go(page, "Language")
    page.locator("#language-sentence .se-sentence").wait_for()
    page.get_by_label("Sentence", exact=True).fill("")
    until(page, lambda: stale(page, "language"))
    assert stale(page, "language") and not stale(page, "vision")


def test_a_server_that_is_lost_is_told_until_it_is_there_again(visit: Any) -> None:
    page = visit()
    drawn(page, "vision")
    told = page.get_by_text("The server can't be reached.")
    assert told.is_hidden()
    # fails as one does that reaches no server, and leaves no error in the console
    page.evaluate("() => fetch('http://[').catch(() => 0)")
    told.wait_for()
    assert float(page.locator("#vision-result").evaluate("n => getComputedStyle(n).opacity")) < 1
    told.wait_for(state="hidden")
    assert float(page.locator("#vision-result").evaluate("n => getComputedStyle(n).opacity")) == 1


def test_a_picture_is_pasted_anywhere_on_vision(visit: Any, folder: Path) -> None:
    page = visit()
    drawn(page, "vision")
    page.get_by_role("tab", name="Draw").click()
    file = folder / "vision" / "gtsrb_3.png"
    page.evaluate(
        """data => {
          const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], 'a.png', {type: 'image/png'}));
          document.body.dispatchEvent(new ClipboardEvent('paste', {bubbles: true, clipboardData}));
        }""",
        base64.b64encode(file.read_bytes()).decode("ascii"),
    )
    settle(page, FakeEngine(fake_suite()).predict(decode_image(file)).to_dict(), fake_suite())
    assert page.get_by_role("tab", name="Image").get_attribute("aria-selected") == "true"


def test_tabs_are_places_to_come_back_to(visit: Any) -> None:
    page = visit()
    drawn(page, "vision")
    page.locator("#vision-examples [data-example='5']").click()
    page.wait_for_url("**/?tab=vision&*example=5*")
    steps = page.evaluate("history.length")
    go(page, "About")
    page.wait_for_url("**/?tab=about*")
    assert page.evaluate("history.length") == steps + 1  # the example was none
    page.go_back()
    page.wait_for_url("**/?tab=vision&*example=5*")
    page.locator("#vision-sentence .se-sentence").wait_for()
    assert shown(page, "vision")["suite"] == "mini-vision"
    page.go_forward()
    page.wait_for_url("**/?tab=about*")
    page.locator("#about-link").wait_for()
