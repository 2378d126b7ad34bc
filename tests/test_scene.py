"""The picture of a Result: where everything stands, and that it says the Result's own numbers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from fakes import FakeEngine, fake_suite
from hypothesis import given, settings
from hypothesis import strategies as st

from semerge.common import ASSETS
from semerge.ui import charts, words
from semerge.ui import scene as drawn
from semerge.ui.scene import Box, Scene, picture, scene
from semerge.ui.words import View

HOSTILE = "<script>alert(1)</script><b onclick='x'>{{y}}${z}`"
NAMES = ("MNIST", "Fashion-MNIST", "Omniglot alphabets", "Traffic signs of many countries")
few = settings(max_examples=30)  # each draws a whole picture
distances_of = st.lists(
    st.floats(0, 1e300, allow_nan=False, allow_infinity=False), min_size=2, max_size=20
)


def view_of(distances: list[float | None], titles: list[str] | None = None, **changes: Any) -> View:
    """A View of a Result with as many tasks as distances, all else of the fakes."""
    count = len(distances)
    suite = fake_suite()
    titles = titles or [NAMES[i % len(NAMES)] for i in range(count)]
    task = suite.tasks[0]
    tasks = tuple(
        dataclasses.replace(task, name=f"t{i}", title=title) for i, title in enumerate(titles)
    )
    known = [d for d in distances if d is not None and math.isfinite(d)]
    nearest = distances.index(min(known)) if known else 0
    result = {
        **FakeEngine(suite).predict("a").to_dict(),
        "tasks": [task.name for task in tasks],
        "distances": distances,
        "similarities": [1.0 if i == nearest else 0.1 * i / count for i in range(count)],
        "coefficients": [1.0 if i == nearest else 0.0 for i in range(count)],
        "static_coefficients": [0.3] * count,
        "chosen": f"t{nearest}",
        "head": f"t{nearest}",
    }
    return View({**result, **changes}, dataclasses.replace(suite, tasks=tasks))


def markup(view: View) -> str:
    return str(picture(view))


def svg(view: View) -> ET.Element:
    """The drawing, which is well-formed by being read here."""
    found = re.search(r"<svg.*</svg>", markup(view), re.DOTALL)
    assert found
    return ET.fromstring(found[0])


def places(view: View) -> dict[str, tuple[float, float]]:
    """Where the markup has each expert, from the middle, by task."""
    return {
        node.attrib["data-expert"]: moved(node)
        for node in svg(view).iter("g")
        if "data-expert" in node.attrib
    }


def moved(node: ET.Element) -> tuple[float, float]:
    found = re.fullmatch(r"translate\((\S+) (\S+)\)", node.attrib["transform"])
    assert found
    return float(found[1]), float(found[2])


def texts(node: ET.Element) -> list[str]:
    return ["".join(text.itertext()).strip() for text in node.iter("text")]


def attributes(html: str) -> set[str]:
    """Names of all attributes, as a browser reads them."""
    found: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, pairs: found.update(  # type: ignore[method-assign]
        name for name, _ in pairs
    )
    parser.feed(html)
    return found


# ---- where the experts stand ---------------------------------------------------------------------


@few
@given(distances_of)
def test_radii_are_the_distances_to_a_pixel(distances: list[float]) -> None:
    view = view_of(distances)  # type: ignore[arg-type]
    largest = max(distances)
    for task, (x, y) in places(view).items():
        distance = distances[view.tasks.index(task)]
        want = drawn.RADIUS * (distance / largest) if largest else 0.0
        assert math.hypot(x, y) == pytest.approx(want, abs=0.02)
    assert len(places(view)) == len(distances)


def test_angles_go_by_the_task_alone() -> None:
    first = scene(view_of([3.0, 1.0, 2.0, 5.0])).rays
    other = scene(view_of([1e-9, 7.0, 7.0, 0.5])).rays
    assert [ray.angle for ray in first] == [ray.angle for ray in other]
    turns = [b.angle - a.angle for a, b in itertools.pairwise(first)]
    assert turns == pytest.approx([math.tau / 4] * 3)
    # clockwise from the top, and an expert is on its ray
    assert first[0].angle == pytest.approx(math.tau * (1 / 8 - 1 / 4))
    for ray in first:
        assert math.atan2(ray.place[1], ray.place[0]) == pytest.approx(
            math.remainder(ray.angle, math.tau)
        )


@pytest.mark.parametrize("distances", [[0.0] * 5, [2.5] * 5, [1e-320, 1e300], [5e-324] * 3])
def test_equal_and_extreme_distances(distances: list[float]) -> None:
    shares = [d / max(distances) if max(distances) else 0.0 for d in distances]
    view = view_of(distances)  # type: ignore[arg-type]
    radii = [math.hypot(*place) for place in places(view).values()]
    assert sorted(radii) == pytest.approx(sorted(drawn.RADIUS * s for s in shares), abs=0.02)
    assert words.distance(distances[0]) in markup(view)


def test_the_nearest_has_a_ring_bold_words_and_the_last_place_in_front() -> None:
    view = view_of([3.0, 1.0, 2.0])
    groups = [node for node in svg(view).iter("g") if "data-expert" in node.attrib]
    assert [node.attrib["data-expert"] for node in groups] == ["t0", "t2", "t1"]
    ringed = [g for g in groups if any(c.attrib.get("class") == "ring" for c in g.iter("circle"))]
    assert ringed == groups[-1:]
    bold = [n for n in svg(view).iter("g") if n.attrib.get("class") == "spoke chosen"]
    assert [n.attrib["data-task"] for n in bold] == ["t1"]
    assert "".join(texts(bold[0])[:-1]) == "Fashion-MNIST"


def test_tasks_have_the_marks_of_the_map_in_both_themes() -> None:
    assert set(drawn.SHAPES) == {symbol for symbol, _ in charts.MARKS}
    sheet = (ASSETS / "styles" / "frame.css").read_text(encoding="utf-8")
    light, dark = sheet.split("\n.dark", 1)
    for i, (_, colour) in enumerate(charts.MARKS):
        assert f"--se-task-{i}: {colour.lower()};" in light and f"--se-task-{i}: #" in dark
    layers = (ASSETS / "styles" / "layers.css").read_text(encoding="utf-8")
    for colour in re.findall(r"--se-task-[23467]: (#\w+);", dark):
        assert colour in layers
    rays = scene(view_of([1.0 + i for i in range(20)])).rays
    assert len({(ray.shape, ray.colour, ray.opened) for ray in rays[:16]}) == 16


# ---- the merge and the dials ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coefficients", "pull"),
    [([1.0, 0.0, 0.0, 0.0], 1.0), ([0.3] * 4, 0.0), ([0.1, 0.5, 0.3, 0.3], 0.0),
     ([0.625, 0.125, 0.125, 0.125], 0.5), ([None] * 4, 0.0), ([0.0] * 4, 0.0)],
)  # fmt: skip
def test_the_merge_goes_as_far_as_the_chosen_experts_share_grew(
    coefficients: list[float | None], pull: float
) -> None:
    view = view_of([2.0, 4.0, 4.0, 4.0], coefficients=coefficients)
    found = scene(view)
    assert found.pull == pytest.approx(pull)
    x, y = found.rays[0].place
    assert found.merge == pytest.approx((pull * x, pull * y))


@few
@given(st.lists(st.floats(0, 5), min_size=2, max_size=20), st.floats(0, 2))
def test_dials_turn_from_before_to_after(after: list[float], before: float) -> None:
    static = [before] * len(after)
    distances = [1.0 + i for i in range(len(after))]
    view = view_of(distances, coefficients=after, static_coefficients=static)  # type: ignore[arg-type]
    full = max(1.0, before, *after)
    for ray, value in zip(scene(view).rays, after, strict=True):
        want = drawn.SWEEP * before / full, drawn.SWEEP * value / full
        assert ray.turns == pytest.approx(want)
    needles = [n for n in svg(view).iter("line") if n.attrib.get("class") == "needle"]
    assert len(needles) == len(after)


@pytest.mark.parametrize("fallback", ["route", "static"])
def test_where_no_expert_fits_the_merge_stays_and_the_picture_says_so(fallback: str) -> None:
    found = scene(view := view_of([2.0, 4.0], fits=False, fallback=fallback))
    assert found.pull == 0 and found.merge == (0, 0)
    assert "No expert fits" in found.note and found.note in texts(svg(view))
    assert 'class="se-scene unfit"' in markup(view) and "No expert fits" in found.summary
    for known in (True, None):
        there = view_of([2.0, 4.0], fits=known)
        assert scene(there).pull == 1 and "No expert fits" not in markup(there)


def test_unknown_distances_have_no_place_and_the_merge_stays() -> None:
    view = view_of([2.0, None, 1.0])
    found = scene(view)
    assert found.rays[1].radius is None and set(places(view)) == {"t0", "t2"}
    assert found.pull == 0 and "Not all distances are known" in markup(view)
    assert "distance –" in found.rays[1].sentence
    nothing = view_of([None, None], similarities=[None] * 2, coefficients=[None] * 2)
    assert places(nothing) == {} and scene(nothing).pull == 0


def test_what_stands_in_the_middle_goes_by_the_probe() -> None:
    for probe, told in (("experts", "merged model"), ("base", "base model")):
        view = view_of([1.0, 2.0], probe=probe)
        assert f"this input in the {told}" in scene(view).summary
        assert f"In the middle: this input in the {told}." in markup(view)
    assert scene(view_of([1.0, 2.0], probe="displacement")).centre == ""


def test_the_picture_plays_in_less_than_three_seconds() -> None:
    script = (ASSETS / "scripts" / "scene.js").read_text(encoding="utf-8")
    sheet = (ASSETS / "styles" / "scene.css").read_text(encoding="utf-8")
    starts = re.search(r"const AT = \[([\d, ]+)\]", script)
    longest = max(float(x) for x in re.findall(r"\b(\d*\.?\d+)s\b", sheet))
    assert starts and 0 < longest <= 0.6
    assert max(map(int, starts[1].split(","))) + 1000 * longest < 3000


# ---- words ---------------------------------------------------------------------------------------


@few
@given(distances_of)
def test_the_words_beside_the_picture_say_its_numbers(distances: list[float]) -> None:
    view = view_of(distances)  # type: ignore[arg-type]
    found = re.search(r'<ul class="se-unseen">(.*?)</ul>', markup(view), re.DOTALL)
    assert found
    told = [unescape(item) for item in re.findall(r"<li>(.*?)</li>", found[1])]
    shown = {
        node.attrib["data-task"]: texts(node)[-1]
        for node in svg(view).iter("g")
        if "data-task" in node.attrib
    }
    for i, (task, item) in enumerate(zip(view.tasks, told, strict=True)):
        distance = words.distance(distances[i])
        before, after = view.column("static_coefficients"), view.column("coefficients")
        old, new = words.number(before[i]), words.number(after[i])
        assert item.startswith(f"{view.titles[i]}: distance {distance}")
        assert ("the nearest" in item) is (i == view.chosen)
        assert f"similarity {words.number(view.column('similarities')[i])};" in item
        assert item.endswith(f"coefficient {old} before, {new} after")
        assert shown[task] == f"{distance} · λ {old} · λ {new}"
    summary = svg(view).attrib["aria-label"]
    assert f"at {words.distance(distances[view.chosen])}" in summary
    assert view.answer("se") in summary and view.answer("static") in summary


def test_estimates_of_the_fast_mode_are_told_as_such() -> None:
    rays = scene(view_of([3.0, 1.0], estimated=["t0"])).rays
    assert "distance ≈ 3;" in rays[0].sentence and "≈" not in rays[1].sentence


def test_each_step_has_its_name_and_its_sentence() -> None:
    html = markup(view_of([2.0, 1.0]))
    names = re.findall(r'<button type="button" data-scene="(\w+)"', html)
    assert names == ["probe", "similarity", "rescale", "answer", "replay"]
    assert re.findall(r'class="se-step" data-step="(\w+)"', html) == names[:-1]
    assert 'data-scene="answer" aria-current="step">Answer<' in html
    assert "1 Probe</b>" in html and "4 Merge and answer</b>" in html


def test_the_layers_tabs_part_of_a_result_has_a_picture_without_answers() -> None:
    whole = view_of([2.0, 1.0])
    keys = ("suite", "tasks", "layer", "pool", "probe", "method", "preset", "distances",
            "similarities", "coefficients", "static_coefficients", "chosen", "head",
            "margin")  # fmt: skip
    view = View({key: whole.result[key] for key in keys}, whole.suite)
    assert scene(view).answers == () and scene(view).steps == ("Probe", "Similarity", "Rescale")
    assert 'data-scene="answer"' not in markup(view) and svg(view).tag == "svg"


def test_text_stays_text_whatever_it_holds() -> None:
    rtl = "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202e"
    view = view_of([2.0, 1.0, 3.0], titles=[HOSTILE, rtl, "a & b"])
    best = [{"label": HOSTILE, "score": 0.9}]
    predictions = {**view.result["predictions"], "se": best, "static": best}
    html = markup(View({**view.result, "predictions": predictions}, view.suite))
    assert "<script" not in html and "<b onclick" not in html
    assert not any(name.startswith("on") for name in attributes(html))
    assert "{{" not in html and "${" not in html and "`" not in html
    assert unescape(html).count(HOSTILE) >= 4  # whole in the words beside it, cut in the picture
    root = ET.fromstring(re.search(r"<svg.*</svg>", html, re.DOTALL)[0])  # type: ignore[index]
    tags = {"svg", "g", "line", "path", "circle", "text", "tspan", "title"}
    assert {node.tag for node in root.iter()} == tags
    assert rtl.split(maxsplit=1)[0] in "".join(texts(root))


# ---- layout --------------------------------------------------------------------------------------


def clashes(whole: Scene) -> list[str]:
    """Labels over each other, over the dials, or out of the picture."""
    x, y = whole.middle
    frame = Box(-x, -y, whole.width - x, whole.below - y)
    found = []
    for ray in whole.rays:
        box = ray.label.box
        if not (frame.left <= box.left and box.right <= frame.right + 0.01):
            found.append(f"{ray.task} is wider than the picture")
        if not (frame.top <= box.top and box.bottom <= frame.bottom + 0.01):
            found.append(f"{ray.task} is higher than the picture")
        near = math.hypot(
            max(box.left, -box.right, 0.0), max(box.top, -box.bottom, 0.0)
        )  # of the box to the middle
        if near < drawn.RIM + drawn.DIAL:
            found.append(f"{ray.task} is over the dials")
    for one, other in itertools.combinations(whole.rays, 2):
        if one.label.box.meets(other.label.box):
            found.append(f"{one.task} is over {other.task}")
        if math.dist(one.dial, other.dial) < 2 * drawn.DIAL + 3:
            found.append(f"the dials of {one.task} and {other.task} touch")
    return found


@pytest.mark.parametrize("count", range(2, 21))
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_nothing_overlaps(count: int, unit: float) -> None:
    found = scene(view_of([unit * (1 + 0.37 * i) for i in range(count)]))
    assert clashes(found) == []
    strip = found.height - found.below
    assert strip == drawn.STRIP  # the answers are below it all
    if count <= 8:  # compact
        assert found.height < 0.75 * found.width


def test_an_overlap_would_be_found() -> None:
    found = scene(view_of([1.0, 2.0, 3.0, 4.0]))
    first, second, *rest = found.rays
    moved = dataclasses.replace(second, label=dataclasses.replace(second.label, y=first.label.y))
    assert clashes(dataclasses.replace(found, rays=(first, moved, *rest)))


@given(st.lists(st.floats(-140, 140), min_size=1, max_size=10), st.floats(10, 50))
def test_rows_spread_in_order(wanted: list[float], high: float) -> None:
    wanted = sorted(wanted)
    half = max(153.0, high * len(wanted) / 2)
    found = drawn.spread(wanted, high, half)
    assert all(b - a >= high - 1e-6 for a, b in itertools.pairwise(found))
    assert found[0] >= high / 2 - half - 1e-6 and found[-1] <= half - high / 2 + 1e-6
    alone = [y for y in wanted if abs(y) <= half - high / 2]
    if len(wanted) == 1 and alone:
        assert found == wanted


@given(st.text(max_size=60), st.floats(30, 400))
def test_names_fit_their_room(text: str, room: float) -> None:
    whole = " ".join(text.split())
    cut = drawn.shortened(text, room)
    assert drawn.width(cut) <= room
    assert cut == whole if drawn.width(whole) <= room else cut.endswith("…")
    lines = drawn.wrapped(text, room, 2)
    assert 1 <= len(lines) <= 2 and all(drawn.width(x) <= room for x in lines)
    if not lines[-1].endswith("…"):
        assert "".join("".join(lines).split()) == "".join(whole.split())


def test_names_break_at_words_and_keep_their_marks() -> None:
    assert drawn.wrapped("Omniglot alphabets", 140, 2) == ("Omniglot", "alphabets")
    assert drawn.wrapped("Fashion-MNIST", 100, 2) == ("Fashion-", "MNIST")
    assert drawn.wrapped("MNIST", 140, 2) == ("MNIST",)
    # a letter and its accent, a family of four joined to one sign
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    for text in ("e\u0301" * 40, family * 10):
        cut = drawn.shortened(text, 100)[:-1]
        assert cut and text.startswith(cut) and text[len(cut)] in ("e", "\U0001f468")


def test_a_name_that_is_cut_is_whole_in_its_title() -> None:
    view = view_of([2.0, 1.0], titles=["A very long name of a task that has no room", "MNIST"])
    spoke = next(n for n in svg(view).iter("g") if n.attrib.get("data-task") == "t0")
    assert any(text.endswith("…") for text in texts(spoke))
    assert spoke.findtext("title", "").startswith(view.titles[0])


def test_a_results_json_has_the_same_picture_as_the_result() -> None:
    view = view_of([2.0, 1.0])
    again = View(json.loads(json.dumps(view.result)), view.suite)
    assert markup(again) == markup(view)
