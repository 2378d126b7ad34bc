"""The picture and the map in a headless chromium, on the bundled suites with their real weights:
sizes of letters, the fold of a projector, saved pictures, and the loop that filters a table."""

from __future__ import annotations

import json
import re
import struct
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from browsing import MARKS, PHONE, check_look, go, go_to_layers, until
from bundled import EXAMPLES, VISION, engine

from semerge.data.sets import example_sets
from semerge.evaluation.inspection import inspect
from semerge.settings import Settings
from semerge.ui.tabs.inspect_choice import ranges

pytestmark = MARKS
PROJECTOR = (1280, 720)
# the height of the smallest letters of a drawing in px, as it is on screen
LETTERS = """id => Math.min(...[...document.querySelectorAll(`#${id} svg[role=img] text`)].map(
  node => parseFloat(getComputedStyle(node).fontSize) * node.getScreenCTM().a))"""
# texts of a drawing that lie over each other, of labels of the rays
OVER = """id => {
  const boxes = [...document.querySelectorAll(`#${id} .label`)].map(n => n.getBoundingClientRect());
  return boxes.some((a, i) => boxes.slice(i + 1).some(b =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
}"""


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def opened(page: Any) -> None:
    """The Layers tab with its picture and map."""
    go_to_layers(page)
    page.locator("#layers-scene svg[role=img]").wait_for()
    page.locator("#layers-input-map .se-map-plot").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_are_large_enough_for_a_phone_and_lie_apart(visit: Any, theme: str) -> None:
    page = visit(PHONE, theme)
    opened(page)
    for name in ("layers-scene", "layers-input-map"):
        assert page.evaluate(LETTERS, name) >= 12, name
    assert not page.evaluate(OVER, "layers-scene")
    check_look(page, theme)
    go(page, "Vision")
    page.locator("#vision-scene svg[role=img]").wait_for()
    assert page.evaluate(LETTERS, "vision-scene") >= 12
    assert not page.evaluate(OVER, "vision-scene")


def test_the_answers_of_the_picture_are_above_the_fold_of_a_projector(visit: Any) -> None:
    page = visit(PROJECTOR)
    page.locator("#vision-scene .answers").wait_for()
    page.locator("#status li").first.wait_for(state="detached")
    bottom = "document.querySelector('#vision-scene svg[role=img]').getBoundingClientRect().bottom"
    until(page, lambda: page.evaluate(f"{bottom} + scrollY") <= PROJECTOR[1])
    assert page.evaluate(f"{bottom} + scrollY") <= PROJECTOR[1]


def saved(page: Any, button: Any, folder: Path, *parts: str) -> bytes:
    """Press a button by key; the picture that comes, whose name has these parts and the date."""
    button.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    name = download.value.suggested_filename
    assert all(part in name for part in parts), name
    found = re.fullmatch(r"[\w.+-]+-(\d{4}-\d\d-\d\d)\.png", name)
    assert found and abs(date.fromisoformat(found[1]) - date.today()) <= timedelta(days=1)
    download.value.save_as(folder / name)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_and_map_are_saved_by_key(visit: Any, tmp_path: Path, theme: str) -> None:
    page = visit(theme=theme)
    opened(page)
    example = EXAMPLES.opening("image")
    assert example is not None and example.file is not None
    at = Settings().resolve(VISION)
    names = ("mini-vision", example.file.stem)
    pictures = [
        saved(page, page.locator("#layers-scene [data-picture]"), tmp_path, *names,
              at.method, at.preset),
        saved(page, page.locator("#layers-input-map [data-picture]"), tmp_path, *names),
    ]  # fmt: skip
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")
    assert page.locator(".se-ghost").count() == 0
    assert page.locator("#layers-scene [data-stage]").count() == 1
    from PIL import Image

    for png in pictures:
        assert png.startswith(b"\x89PNG") and struct.unpack(">II", png[16:24]) == (1920, 1080)
    for file in tmp_path.iterdir():
        image = Image.open(file).convert("RGB")
        # dark on white in either theme: a white ground, dark words, the tasks' colours
        assert image.getpixel((5, 5)) == (255, 255, 255)
        colours = {colour for _, colour in image.getcolors(2**21)}
        assert (22, 24, 29) in colours and (213, 94, 0) in colours


def test_the_map_has_the_input_and_its_nearest_examples(visit: Any) -> None:
    page = visit()
    opened(page)
    svg = page.locator("#layers-input-map .se-map-plot")
    assert "Nearest to this input" in svg.get_attribute("aria-label")
    assert svg.locator("g.own").count() == 1 and svg.locator(".badge").count() == 3
    pictures = page.locator("#layers-input-map .se-nearest img")
    assert pictures.count() == 3
    loaded = "n => n.complete && n.naturalWidth > 0"
    assert all(pictures.nth(i).evaluate(loaded) for i in range(3))
    # another layer changes the picture, at its end, and leaves the map
    before = svg.evaluate("node => node.outerHTML")
    page.get_by_role("slider", name="Layer").focus()
    page.keyboard.press("Home")
    page.locator("#layers-told", has_text="block 1").wait_for()
    page.locator("#layers-scene [data-stage=rescale]").wait_for()
    assert svg.evaluate("node => node.outerHTML") == before


# the middle of each sample on the screen, by its row
DOTS = """() => [...document.querySelectorAll('#inspect-map use[data-row]')].map(use => {
  const at = new DOMPoint(use.x.baseVal.value, use.y.baseVal.value)
    .matrixTransform(use.ownerSVGElement.getScreenCTM());
  return [Number(use.dataset.row), at.x, at.y];
})"""


def linked(page: Any) -> dict[str, str]:
    """What the link of the tab holds."""
    link = page.locator("#inspect-link [data-link]").get_attribute("data-link")
    return dict(parse_qsl(link))


def test_a_loop_on_the_map_filters_the_table(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#inspect-run").click()
    found = inspect(engine(VISION.name), example_sets(VISION, EXAMPLES), Settings())
    svg = page.locator("#inspect-map .se-map-plot")
    svg.wait_for()
    svg.scroll_into_view_if_needed()
    dots = page.evaluate(DOTS)
    assert len(dots) == len(found.rows)
    box = svg.bounding_box()
    left, top = box["x"] + 2, box["y"] + 2
    right, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"] - 2
    inside = sorted(row for row, x, y in dots if left < x < right and top < y < bottom)
    assert 0 < len(inside) < len(dots)
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 1)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    told = f"{len(inside)} of {len(found.rows)} samples"
    page.locator("#inspect-table [role=status]", has_text=told).wait_for()
    shown = page.locator("#inspect-table tbody th button").all_text_contents()
    assert shown == [found.rows[i].id for i in inside][: len(shown)]
    assert linked(page)["region"] == ranges(inside)
    # the same by keyboard alone: all again, then one part of the map
    page.locator("#inspect-map [data-key='region all']").focus()
    page.keyboard.press("Enter")
    page.locator("#inspect-table [role=status]", has_text=f"{len(dots)} of").wait_for()
    part = page.locator("#inspect-map [data-key^='part ']").first
    rows = json.loads(part.get_attribute("data-act"))["value"]
    key, count = part.get_attribute("data-key"), part.inner_text()
    part.focus()
    page.keyboard.press("Space")
    page.locator("#inspect-table [role=status]", has_text=f"{count} of").wait_for()
    assert linked(page)["region"] == rows
    page.wait_for_function("key => document.activeElement?.dataset.key === key", arg=key)
    # a click on a sample opens it
    row, x, y = page.evaluate(DOTS)[0]
    page.mouse.click(x, y)
    page.locator("#inspect-opened .se-open h2", has_text=found.rows[row].id).wait_for()
    check_look(page, "light")
