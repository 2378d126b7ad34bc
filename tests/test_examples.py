"""The project's own examples: one index, true to its sources, its figures those of the engine."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes import make_examples as maker
from recipes.strokes import STROKES, pad_image
from recipes.vision_tasks import TASKS
from semerge.common import UserError
from semerge.data import rendered
from semerge.inputs import clean_text, decode_image
from semerge.suites import SUITES_FOLDER, read_suite
from semerge.suites.examples import EXAMPLES_FOLDER, Example, load_examples

EXAMPLES = load_examples()
INDEX = maker.read_index(EXAMPLES_FOLDER)
SECTIONS = tuple(maker.SUITES)


def of_task(section: str) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in getattr(EXAMPLES, section):
        found.setdefault(example.task, []).append(example)
    return found


def test_every_task_has_enough_and_varied_examples() -> None:
    vision, text = of_task("vision"), of_task("text")
    assert set(vision) == set(TASKS) and len(text) == 7
    assert all(len(found) >= 5 for found in vision.values())
    assert all(len(found) >= 8 for found in text.values())
    for found in vision.values():
        assert len({e.label for e in found}) == len(found)
    for task, found in text.items():
        two = task in ("sentiment_mr", "clickbait")
        assert len({e.label for e in found}) >= (2 if two else 7)
        if two:
            labels = [e.label for e in found]
            assert {labels.count(label) for label in labels} == {len(labels) // 2}


def test_index_is_what_the_command_writes() -> None:
    bare = {key: INDEX[key] for key in (*SECTIONS, "notes")}
    for section in SECTIONS:
        bare[section] = [{k: e[k] for k in e if k != "measured"} for e in INDEX[section]]
    fresh = maker.fresh_index()
    assert bare == {key: fresh[key] for key in bare}


def test_images_are_readable_and_small() -> None:
    sizes = []
    for example in EXAMPLES.vision:
        assert example.file is not None
        decoded = decode_image(example.file)
        assert decoded.image.size == (maker.SIZE, maker.SIZE) and not decoded.notices
        sizes.append(example.file.stat().st_size)
    assert max(sizes) <= maker.MAX_BYTES and sum(sizes) < 3_000_000
    named = {e.file for e in EXAMPLES.vision}
    assert set((EXAMPLES_FOLDER / "vision").iterdir()) == named, (
        "files that the index does not name"
    )


def test_the_digit_that_draws_itself_is_its_strokes() -> None:
    example = EXAMPLES.drawn
    assert example is not None and example.file is not None
    assert example.index == len(EXAMPLES.vision)  # links to the others stay what they were
    assert EXAMPLES.shown("image") == (*EXAMPLES.vision, example)
    assert EXAMPLES.of("image") == EXAMPLES.vision and EXAMPLES.shown("text") == EXAMPLES.text
    assert EXAMPLES.opening("image", ["mnist", "charts"]) == example
    assert EXAMPLES.opening("image") == example != EXAMPLES.opening("image", ["charts"])
    strokes = STROKES[example.label]
    assert [list(map(tuple, one)) for one in example.strokes] == strokes
    assert example.label in TASKS[example.task].classes
    drawn = np.asarray(pad_image(strokes), dtype=np.float64)
    with Image.open(example.file) as image:
        assert np.abs(drawn - np.asarray(image.convert("RGB"), dtype=np.float64)).mean() < 1.0
    for digit in STROKES.values():  # whole on the board, and no blot
        picture = np.asarray(pad_image(digit))[..., 0]
        assert not picture[[0, -1]].any() and not picture[:, [0, -1]].any()
        assert 0.05 < (picture > 128).mean() < 0.25


@pytest.mark.parametrize("strokes", [None, [], [[]], [["a"]], [[[1, 2, 3]]], 7])
def test_strokes_that_are_none_are_told(tmp_path: Path, strokes: Any) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    entry = {"file": "a.png", "task": "t", "label": "l", "strokes": strokes}
    (tmp_path / "index.json").write_text(json.dumps({"drawn": entry}), encoding="utf-8")
    with pytest.raises(UserError, match=r"drawn\.strokes must be lists of points"):
        load_examples(tmp_path)


def test_sentences_pass_unchanged() -> None:
    for example in EXAMPLES.text:
        cleaned = clean_text(example.text)
        assert cleaned.text == example.text and not cleaned.notices
    assert len({plain(e.text) for e in EXAMPLES.text}) == len(EXAMPLES.text)


def test_drawings_are_marked_and_photos_invited() -> None:
    assert {e.task for e in EXAMPLES.vision if e.drawing} == set(maker.PHOTOGRAPHED)
    assert all(e.drawing for e in EXAMPLES.vision if e.task in maker.PHOTOGRAPHED)
    assert "photo of your own" in INDEX["notes"]["cifar10"]


def test_labels_are_class_names() -> None:
    for example in EXAMPLES.vision:
        assert example.label in TASKS[example.task].classes


@pytest.mark.parametrize("section", SECTIONS)
def test_labels_are_in_the_bundled_suite(section: str) -> None:
    suite = read_suite(bundled(section))
    assert set(of_task(section)) == set(suite.task_names)
    for example in getattr(EXAMPLES, section):
        assert example.label in suite.task(example.task).classes


@pytest.mark.data
@pytest.mark.parametrize("section", SECTIONS)
def test_labels_are_in_the_data(section: str, data_dir: Path) -> None:
    for task, found in of_task(section).items():
        file = data_dir / section / task / "classes.json"
        if task in rendered.GENERATED:
            assert not file.exists()
            continue
        classes = json.loads(file.read_text(encoding="utf-8"))
        assert {e.label for e in found} <= set(classes)


@pytest.mark.data
def test_no_sentence_is_from_the_data(data_dir: Path) -> None:
    """No example equals a text of the data or is a part of one."""
    mine = {plain(e.text) for e in EXAMPLES.text}
    files = sorted((data_dir / "text").glob("*/*.jsonl.gz"))
    assert files
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            theirs = plain("\n".join(json.loads(line)["text"] for line in lines))
        assert not [text for text in mine if text in theirs], file


def plain(text: str) -> str:
    """Letters and digits alone, so that neither case nor spacing hides a copy."""
    return re.sub(r"[\W_]+", "", text.casefold())


def test_seeds_are_of_their_own() -> None:
    for split in ("train", "val", "test"):
        first = rendered.split_seed(split) << 32
        used = range(first, first + 2**32)
        assert not any(maker.FIRST_SEED + e["seed"] in used for e in INDEX["vision"])


def check_drawn(entry: dict[str, Any]) -> None:
    """The same picture, but for the palette of a few files and rounding in other versions."""
    drawn = np.asarray(maker.draw(entry["task"], entry["label"], entry["seed"]), dtype=np.float64)
    with Image.open(EXAMPLES_FOLDER / entry["file"]) as image:
        stored = np.asarray(image.convert("RGB"), dtype=np.float64)
    assert np.abs(drawn - stored).mean() < 2.0, entry["file"]


@pytest.mark.parametrize("task", TASKS)
def test_an_image_is_rendered_from_its_seed(task: str) -> None:
    check_drawn(next(e for e in INDEX["vision"] if e["task"] == task))


@pytest.mark.slow
def test_every_image_is_rendered_from_its_seed() -> None:
    for entry in INDEX["vision"]:
        check_drawn(entry)


# ---- what the models make of them ----------------------------------------------------------------


def bundled(section: str) -> str:
    name = maker.SUITES[section]
    if not (SUITES_FOLDER / name / "suite.json").is_file():
        pytest.skip(f"suite {name} is not in assets/suites")
    return name


@cache
def measured_now(section: str) -> tuple[list[dict[str, Any]], dict[str, Any], list[Any]]:
    from semerge.engine import load_engine

    return maker.measure(load_engine(bundled(section)), EXAMPLES_FOLDER, INDEX[section])


@pytest.mark.parametrize("section", SECTIONS)
def test_figures_are_what_the_engine_says_now(section: str) -> None:
    bundled(section)
    hits = INDEX["hits"].get(section)
    stale = "run python -m recipes.make_examples --measure"
    assert hits is not None, stale
    measured, now, _ = measured_now(section)
    assert hits["weights_sha256"] == now["weights_sha256"], stale
    assert hits == now
    for entry, found in zip(INDEX[section], measured, strict=True):
        stored = entry["measured"]
        assert {**stored, "margin": 0} == {**found, "margin": 0}, entry
        assert stored["margin"] == pytest.approx(found["margin"], abs=2e-4)


def test_a_damaged_stored_result_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = {"text": "x", "task": "t", "label": "l"}
    index = {"text": [entry], "first": {"text": 0}}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    file = tmp_path / "first_text.json"
    assert not load_examples(tmp_path).stored and not caplog.messages  # it may be missing
    for content, why in (
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "no result"),
        (b"{}", "no res"),
    ):
        file.write_bytes(content)
        assert not load_examples(tmp_path).stored
        (told,) = caplog.messages
        assert str(file) in told and why in told
        caplog.clear()
    whole = {"suite": "s", "tasks": [], "predictions": {}}
    file.write_text(json.dumps(whole), encoding="utf-8")
    assert load_examples(tmp_path).stored["text"] == whole and not caplog.messages


@pytest.mark.parametrize("section", SECTIONS)
def test_opening_example_is_missed_by_static_and_got_by_se(section: str) -> None:
    bundled(section)
    measured, _, results = measured_now(section)
    first = maker.opening(measured, results)
    assert INDEX["first"].get(section) == first
    file = EXAMPLES_FOLDER / f"first_{section}.json"
    if section == "vision":
        check_drawn_first(json.loads(file.read_text(encoding="utf-8")))
        return
    if first is None:
        assert not file.exists()
        return
    stored = json.loads(file.read_text(encoding="utf-8"))
    label, task = INDEX[section][first]["label"], INDEX[section][first]["task"]
    assert stored["chosen"] == task == stored["head"]
    assert stored["predictions"]["se"][0]["label"] == label
    assert stored["predictions"]["static"][0]["label"] != label
    check_stored(stored, results[first].to_dict())


def check_drawn_first(stored: dict[str, Any]) -> None:
    """Vision opens with the digit that draws itself: the one that the recipe picks of all."""
    from semerge.engine import load_engine

    with TemporaryDirectory() as folder:
        found = maker.measure_drawn(load_engine(bundled("vision")), Path(folder))
        assert found is not None
        entry, result = found
        assert entry["label"] == INDEX["drawn"]["label"]
        picture = (Path(folder) / maker.DRAWN).read_bytes()
    assert picture == (EXAMPLES_FOLDER / maker.DRAWN).read_bytes()
    check_stored(stored, result.to_dict())


def check_stored(stored: dict[str, Any], now: dict[str, Any]) -> None:
    assert stored.keys() == now.keys()
    for key in ("suite", "tasks", "preset", "layer", "pool", "weights_sha256", "chosen"):
        assert stored[key] == now[key]
    for key in ("distances", "similarities", "coefficients"):
        assert stored[key] == pytest.approx(now[key], rel=1e-4, abs=1e-6)


# ---- the command itself, on a made-up engine -----------------------------------------------------


class Oracle:
    """An engine that knows the answer, but for the static merge, and one wrong turn."""

    suite = SimpleNamespace(name="made-up")

    def predict(self, asked: Any, settings: Any) -> Any:
        text = asked.text
        head = settings.head if settings.head != "auto" else ("b" if "lost" in text else "a")
        labels = {"se": "yes", "static": "yes" if "easy" in text else "no"}
        labels |= {"expert": "yes", "base": "no"}
        return SimpleNamespace(
            chosen=head,
            head=head,
            margin=len(text) / 100,
            notices=("near tie",) if "tie" in text else (),
            predictions={
                k: [SimpleNamespace(label=v, score=0.5 if "unsure" in text else 0.9)]
                for k, v in labels.items()
            },
        )

    def weights_sha256(self) -> str:
        return "0" * 64


def test_measure_counts_and_picks(tmp_path: Path) -> None:
    texts = (
        "easy one",
        "hard",
        "harder",
        "hardest of all, with a tie",
        "lost altogether, and long",
        "hard, and the answer unsure",
    )
    entries = [{"text": text, "task": "a", "label": "yes"} for text in texts]
    measured, hits, results = maker.measure(Oracle(), tmp_path, entries)
    assert hits["n"] == 6 and hits["routing"] == 5
    assert (hits["se"], hits["static"], hits["expert"], hits["base"]) == (5, 1, 5, 0)
    assert hits["given_head"] == {"se": 6, "static": 1, "base": 0}
    assert measured[4]["chosen"] == "b" and not measured[4]["se"]
    assert maker.opening(measured, results) == 2  # the longest without a notice that is sure
    assert maker.opening(measured[:1], results[:1]) is None
    assert maker.opening(measured[3:4], results[3:4]) == 0


def test_a_stored_result_is_kept_when_only_timings_differ(tmp_path: Path) -> None:
    file = tmp_path / "first_text.json"
    first = {"margin": 0.5, "timings_ms": {"total": 3.0}}
    maker.write_result(file, first)
    before = file.read_bytes()
    maker.write_result(file, first | {"timings_ms": {"total": 7.0}})
    assert file.read_bytes() == before
    maker.write_result(file, first | {"margin": 0.25})
    assert json.loads(file.read_text(encoding="utf-8"))["margin"] == 0.25


def test_index_file_round_trips(tmp_path: Path) -> None:
    maker.write_index(tmp_path, INDEX)
    assert maker.read_index(tmp_path) == INDEX
    assert (tmp_path / "index.json").read_bytes() == (EXAMPLES_FOLDER / "index.json").read_bytes()
