"""The map of a suite: its plane, where inputs and sets lie on it, and how it is drawn."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from concurrency import sample_of
from hypothesis import given
from hypothesis import strategies as st
from inspecting import Inspector, examples_of, tab_of
from labelled import write_sentences
from tiny import tiny_text_suite

from recipes.maps import main as recipe
from semerge.common import UserError
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.inspection import inspect
from semerge.evaluation.measure import each_batch
from semerge.evaluation.plane import Looks, spread
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.examples import Example
from semerge.ui import maps
from semerge.ui.links import Query
from semerge.ui.maps import Map, Near, Spot
from semerge.ui.tabs.inspect_choice import Look, numbers, ranges, read_look, region

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
HOSTILE = "<script>alert(1)</script>\"'{{x}}"


def examples(engine: Engine, count: int) -> tuple[list[Example], list[Any]]:
    """Made-up examples of the engine's suite, and the inputs that they are."""
    tasks = engine.suite.tasks
    found = [
        Example(10 + i, tasks[i % len(tasks)].name, tasks[i % len(tasks)].classes[0], text=f"t{i}")
        for i in range(count)
    ]
    return found, [sample_of(engine, i) for i in range(count)]


def representation(engine: Engine, sample: Any) -> torch.Tensor:
    return Looks.usual(engine).at(maps.batch_of(engine, sample))[0].double()


# ---- the plane -----------------------------------------------------------------------------------


def test_the_reports_samples_lie_where_the_report_has_them(
    engine: Engine, diagnosed: Path, diagnosis: dict[str, Any]
) -> None:
    found = Map.make(load_engine(diagnosed), [], [])
    assert found is not None and found.stored and "test samples" in found.count
    stored = diagnosis["map"]
    assert found.tasks == tuple(stored["tasks"])
    sets = suite_sets(engine.suite, diagnosed.parent / "four").sets
    batches = [batch for _, _, batch in each_batch(engine, sets)]
    looked = torch.cat([found.plane.places(found.looks.at(batch)) for batch in batches])
    assert len(stored["x"]) > 3
    for place in zip(stored["x"], stored["y"], strict=True):  # a cut of these
        nearest = (looked - torch.tensor(place)).norm(dim=1).min()
        assert float(nearest) < 2e-3 * max(1.0, *map(abs, place))


def test_without_axes_the_examples_make_the_plane(engine: Engine, diagnosed: Path) -> None:
    own = examples(engine, 6)
    report = json.loads((diagnosed / "report.json").read_text(encoding="utf-8"))
    before = (diagnosed / "report.json").read_text(encoding="utf-8")
    for change in ("axes", "weights", "damaged"):
        told = json.loads(before)
        if change == "axes":
            del told["diagnosis"]["map"]["axes"]
        elif change == "weights":
            told["diagnosis"]["at"]["weights_sha256"] = "0" * 64
        else:
            told["diagnosis"]["map"]["axes"] = [[1.0]]
        (diagnosed / "report.json").write_text(json.dumps(told), encoding="utf-8")
        try:
            found = Map.make(engine, *own)
            assert found is not None and not found.stored, change
            assert found.count == "6 bundled examples"
            assert Map.make(engine, *examples(engine, maps.NEAREST)) is None  # too few
        finally:
            (diagnosed / "report.json").write_text(before, encoding="utf-8")
    assert report["diagnosis"]["map"]["axes"]


def test_the_nearest_are_so_in_the_whole_representation(engine: Engine) -> None:
    every, samples = examples(engine, 6)
    found = Map.make(engine, every, samples)
    assert found is not None
    rows = torch.stack([representation(engine, sample) for sample in samples])
    for own in (None, 12):
        sample = samples[2] if own else sample_of(engine, 99)
        spot = found.spot(maps.batch_of(engine, sample), own)
        row = representation(engine, sample)
        far = {e.index: float((rows[i] - row).norm()) for i, e in enumerate(every)}
        far.pop(own or -1, None)  # an example is not its own neighbour
        want = sorted(far, key=lambda index: far[index])[: maps.NEAREST]
        assert [near.example for near in spot.nearest] == want
        assert [near.distance for near in spot.nearest] == pytest.approx(
            [far[index] for index in want], rel=1e-4, abs=1e-6
        )
        place = ((row - found.plane.mean) @ found.plane.axes.mT).tolist()
        assert spot.place == pytest.approx(place, abs=1e-4)
        assert 0 <= spot.share <= 1


# ---- the drawing ---------------------------------------------------------------------------------

places = st.tuples(st.floats(-100, 100), st.floats(-100, 100))


@given(st.lists(places, min_size=1, max_size=30), places)
def test_all_is_inside_on_one_scale(samples: list[tuple[float, float]], own: Any) -> None:
    suite = read_suite("mini-text")
    tasks = suite.task_names
    spot = Spot(own, 0.5, (Near(0, 1.0, samples[0]),))
    given_ = [(tasks[i % len(tasks)], place) for i, place in enumerate(samples)]
    drawn = maps.drawing("m", suite, given_, spot=spot, near_tasks=[tasks[0]])
    assert drawn.own is not None
    at = [*drawn.marks, drawn.own, *(mark for mark, _ in drawn.near)]
    assert all(-1e-6 <= mark.x <= maps.WIDTH + 1e-6 for mark in at)
    assert all(-1e-6 <= mark.y <= maps.HEIGHT + 1e-6 for mark in at)
    first, second = drawn.marks[0], drawn.own
    across, up = own[0] - samples[0][0], own[1] - samples[0][1]
    # a step to the right and one up are as long on the picture: cross products agree
    assert across * (first.y - second.y) == pytest.approx(up * (second.x - first.x), abs=1e-3)


def test_parts_hold_every_sample_once_and_what_is_not_shown_is_faint() -> None:
    suite = read_suite("mini-text")
    samples = [(suite.task_names[i % 3], (i % 7, i % 5)) for i in range(40)]
    drawn = maps.drawing("m", suite, samples, list(range(100, 140)), on={100, 103}, row=103)
    held = [number for _, rows in drawn.parts for number in rows]
    assert len(drawn.parts) == 9 and sorted(held) == list(range(100, 140))
    top = dict(drawn.parts)["top left"]
    assert all(samples[number - 100][1][1] >= 3 for number in top) and top
    assert [m.number for t in range(3) for m in drawn.of_task(t, True)] == [100, 103]
    assert drawn.opened is not None and drawn.opened.number == 103


def test_text_stays_text_and_the_picture_is_told_in_words(engine: Engine) -> None:
    every, samples = examples(engine, 6)
    found = Map.make(engine, every, samples)
    assert found is not None
    hostile = [replace(example, label=HOSTILE, text=HOSTILE) for example in every]
    by_number = [*([hostile[0]] * 10), *hostile]  # an example's place is its number
    spot = found.spot(maps.batch_of(engine, sample_of(engine, 50)))
    html = maps.of_input("m", found, spot, engine.suite, by_number, HOSTILE)
    assert "<script" not in html and "&lt;script" in html
    assert html.count("<use ") == len(found.places) and html.count('class="badge') == 3
    label = re.search(r'role="img" aria-label="([^"]*)"', html)
    assert label and "Nearest to this input" in label[1]
    first, _ = found.plane.explained
    assert f"{100 * first:.1f}" in html and found.count in html
    for near in spot.nearest:
        assert f"distance {near.distance:.4g}" in html


def test_numbers_lie_over_nothing_that_they_name() -> None:
    suite = read_suite("mini-text")
    tasks, here = suite.task_names, (0.0, 0.0)
    spot = Spot(here, 1.0, tuple(Near(i, 1.0, (0.001 * i, 0.0)) for i in range(3)))
    far = [(tasks[0], (-10.0, -10.0)), (tasks[1], (10.0, 10.0))]
    drawn = maps.drawing("m", suite, far, spot=spot, near_tasks=tasks[:3])
    assert drawn.own is not None
    at = [(drawn.own.x, drawn.own.y), *(place for _, place in drawn.near)]
    apart = [math.dist(a, b) for i, a in enumerate(at) for b in at[:i]]
    assert min(apart) >= maps.ROOM - 1e-9
    alone = Spot((10.0, 10.0), 1.0, spot.nearest[:1])
    drawn = maps.drawing("m", suite, far, spot=alone, near_tasks=tasks[:1])
    ((mark, place),) = drawn.near
    assert place == (mark.x, mark.y)  # there is room


# ---- a region of a set ---------------------------------------------------------------------------


@given(st.sets(st.integers(0, 300)))
def test_a_region_is_the_same_after_a_link(rows: set[int]) -> None:
    text = ranges(rows)
    assert numbers(text) == tuple(sorted(rows)) and region(text) == text
    look = Look(region=text)
    suite = read_suite("mini-text")
    assert read_look(Query({k: str(v) for k, v in look.link().items()}), suite) == look


@pytest.mark.parametrize(
    "text", ["x", "1-", "-1", "1,,2", "0-99999999", 3, None, "1;2", "0-999999"]
)
def test_a_region_that_a_client_makes_up_is_none(text: Any) -> None:
    assert region(text) == ""


def test_a_long_region_is_left_out_of_the_link() -> None:
    look = Look(region=ranges(range(0, 4000, 2)))
    assert region(look.region) == look.region and "region" not in look.link()


@pytest.mark.parametrize("most", [5, 1000])
def test_a_set_lies_where_its_samples_do(engine: Engine, home: Path, most: int) -> None:
    found = inspect(engine, suite_sets(engine.suite, home / "data"), Settings())
    every, samples = examples(engine, 6)
    map_ = Map.make(engine, every, samples)
    assert map_ is not None
    lies = spread(map_.looks, map_.plane, found, most)
    count = len(found.rows)
    step = max(1, -(-count // most))
    assert [number for number, _, _ in lies] == list(range(0, count, step)) and len(lies) <= most
    for number, *place in (lies[0], lies[-1], lies[len(lies) // 2]):
        row = representation(engine, found.sample(number))
        want = ((row - map_.plane.mean) @ map_.plane.axes.mT).tolist()
        assert place == pytest.approx(want, abs=2e-3 * max(1.0, *map(abs, want)))


# ---- the Inspect tab -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    tiny_text_suite(folder / "text")
    write_sentences(folder / "text-data")
    return folder


def test_a_part_of_the_map_filters_the_table_and_the_files(
    sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    tab = tab_of([read_suite(sentences / "text")], examples_of(sentences / "text"))
    visitor = Inspector(tab, kind="folder", folder=str(sentences / "text-data"))
    visitor.press_run()
    found = visitor.found
    drawn = unescape(str(visitor[tab.page.map]))
    assert drawn.count("data-row=") == len(found.rows) and ' off"' not in drawn
    parts = re.findall(r'data-key="part ([a-z ]+)" data-act=\'({[^\']*})\'', drawn)
    name, act = parts[0]
    picked = numbers(json.loads(act)["value"])
    visitor.act(**json.loads(act))
    want = [found.rows[i].id for i in picked]
    assert visitor.ids() == want[: len(visitor.ids())] and visitor.look.region == ranges(picked)
    assert f"{len(want)} of {len(found.rows)} samples" in visitor[tab.page.table]
    assert [row["id"] for row in json.loads(visitor.export("json")["text"])["rows"]] == want
    assert f"<td>{len(want)} that were picked" in visitor.export("html")["text"]
    drawn = str(visitor[tab.page.map])
    assert ' off"' in drawn and re.search(rf'"part {name}"[^>]*aria-pressed="true"', drawn)
    assert "region=" in visitor.query
    visitor.act(do="region", value="garbage")
    assert visitor.look.region == "" and len(visitor.ids()) > len(want)
    # a list of the tasks does the same as the drop-down, and a click opens a row by its number
    task = found.suite.task_names[1]
    visitor.act(do="task", value=task)
    assert visitor.look.task == task == visitor[tab.page.task]
    visitor.act(do="task", value=task)
    assert visitor.look.task == ""
    visitor.act(do="open", row=3)
    assert visitor.look.row == found.rows[3].id and 'class="now"' in str(visitor[tab.page.map])
    visitor.act(do="open", row=10**6)
    assert visitor.look.row == found.rows[3].id


def test_a_suite_without_samples_has_no_map(
    sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    tab = tab_of([read_suite(sentences / "text")])
    visitor = Inspector(tab, kind="folder", folder=str(sentences / "text-data"))
    visitor.press_run()
    assert visitor[tab.page.map] == "" and visitor.ids()


# ---- the recipe ----------------------------------------------------------------------------------


def test_the_recipe_puts_axes_into_a_report_of_before(
    diagnosed: Path, diagnosis: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path, plain = diagnosed / "report.json", (diagnosed / "report.json").read_text("utf-8")
    told = json.loads(plain)
    for key in ("mean", "axes"):
        del told["diagnosis"]["map"][key]
    path.write_text(json.dumps(told), encoding="utf-8")
    try:
        argv = [str(diagnosed), "--data", str(diagnosed.parent / "four")]
        assert recipe(argv) == 0
        assert json.loads(path.read_text("utf-8")) == json.loads(plain)
        assert f"{diagnosis['map']['n']} samples" in capsys.readouterr().out
        told["diagnosis"]["at"]["weights_sha256"] = "0"
        path.write_text(json.dumps(told), encoding="utf-8")
        with pytest.raises(UserError, match="other weights"):
            recipe(argv)
    finally:
        path.write_text(plain, encoding="utf-8")
