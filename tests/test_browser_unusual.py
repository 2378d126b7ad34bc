"""Bad and unusual input in the app as it is shipped: told in a sentence, or answered as shown."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import MARKS, settle, upload
from bundled import TEXT, VISION, answer, engine, first_of, language
from PIL import Image

from semerge.inputs import decode_image
from semerge.ui.words import seen

pytestmark = MARKS


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def picture() -> Image.Image:
    with Image.open(first_of(VISION, 3).file) as image:
        return image.convert("RGB")


def ramp() -> Image.Image:
    return Image.linear_gradient("L")


def see_through() -> Image.Image:
    """The left half of a picture; the right half is transparent over colours that must not tell."""
    image = picture().convert("RGBA")
    image.putalpha(ramp().rotate(90).resize(image.size).point([0, 255] * 128))
    return image


REFUSED = {
    "text.png": (lambda: b"this is no image", "not a readable image"),
    "cut.jpg": (lambda: saved(picture(), "JPEG")[:-900], "incomplete or damaged"),
    "huge.png": (lambda: saved(Image.new("1", (9400, 9400)), "PNG"), "the limit is 25 megapixels"),
}
ANSWERED = {  # file: (content, the same picture as plain 8-bit RGB)
    "deep.png": (
        lambda: saved(Image.fromarray(np.asarray(ramp()) * np.uint16(257)), "PNG"),
        lambda: ramp().convert("RGB"),
    ),
    "clear.png": (
        lambda: saved(see_through(), "PNG"),
        lambda: Image.alpha_composite(
            Image.new("RGBA", picture().size, "white"), see_through()
        ).convert("RGB"),
    ),
    "frames.gif": (
        lambda: saved(
            picture().quantize(64), "GIF", save_all=True, append_images=[Image.new("P", (96, 96))]
        ),
        lambda: picture().quantize(64).convert("RGB"),
    ),
}


def test_bad_images_are_told_in_a_sentence_and_the_next_one_works(
    visit: Any, tmp_path: Path
) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    for task, (name, (content, words)) in enumerate(REFUSED.items()):
        file = tmp_path / name
        file.write_bytes(content())
        upload(page, file)
        alert = page.locator("#vision-sentence [role=alert]")
        alert.wait_for()
        assert words in alert.inner_text() and str(tmp_path) not in alert.inner_text()
        assert not page.locator("#vision-answers").is_visible()  # no old answer beside it
        # no broken icon where the browser can't draw it; it draws a cut one, and a large one
        assert page.locator("#vision-image img").is_visible() is (name != "text.png")
        good = first_of(VISION, task).file
        upload(page, good)
        settle(page, answer(good), VISION)


def test_unusual_images_are_answered_as_the_picture_that_they_show(
    visit: Any, tmp_path: Path
) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    for name, (content, plain) in ANSWERED.items():
        file = tmp_path / name
        file.write_bytes(content())
        upload(page, file)
        want = answer(file)
        settle(page, want, VISION)
        same = answer(saved(plain(), "PNG"))
        assert want["distances"] == same["distances"] and want["predictions"] == same["predictions"]
        picture_seen = engine(VISION.name).picture(decode_image(file))
        assert page.locator("#vision-seen img").get_attribute("src") in seen(picture_seen)
        notices = page.locator("#vision-sentence .se-notice p").all_text_contents()
        assert notices == want["notices"]
    assert any("first" in notice for notice in notices)  # of the animation


def test_strange_sentences_are_answered_or_refused_and_the_next_one_works(visit: Any) -> None:
    page = visit()
    box = language(page)
    good = first_of(TEXT, 0).text
    for text, words in (("", "Type a sentence."), ("a" * 100_000, "the limit is 2,000")):
        box.fill(text)
        page.get_by_role("button", name="Run").click()
        page.get_by_text(words).first.wait_for()
        box.fill(good)
        box.press("Enter")
        settle(page, answer(good), TEXT)
    for text in ("\U0001f600", "<script>document.title = 'taken over'</script>"):
        box.fill(text)
        box.press("Enter")
        settle(page, answer(text), TEXT)
    assert page.title() == "SE-Merging"
