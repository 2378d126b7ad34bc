"""The folder format, the validation cut, and what the bundled suites were made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from labelled import write_images, write_sentences
from safetensors import safe_open

from recipes.finish import cached_samples
from recipes.statistics import record
from semerge.common import UserError
from semerge.data.labelled import (
    SPLITS,
    LabelledSet,
    balanced_rows,
    read_set,
    tasks_in,
    validation_rows,
)
from semerge.data.sets import GENERATED_COUNT, generated_set, rendered_tasks
from semerge.suites import SUITES_FOLDER, read_suite

PINNED = [6, 11, 15, 17, 26, 34, 80, 91, 95, 96]
"""What is held out of 100 samples of `mnist`."""


def contents(samples: LabelledSet) -> list[bytes]:
    """One hash a sample, whatever its label."""
    if samples.images is not None:
        return [hashlib.sha256(x.tobytes()).digest() for x in samples.images]
    pairs = zip(samples.texts, samples.texts_b, strict=True)
    return [hashlib.sha256(repr(pair).encode()).digest() for pair in pairs]


@pytest.mark.parametrize("write", [write_images, write_sentences])
def test_splits_are_disjoint_and_complete(write: object, tmp_path: Path) -> None:
    data = write(tmp_path, train=50, test=20)  # type: ignore[operator]
    assert tasks_in(data) == ["task0", "task1", "task2"]
    for task in tasks_in(data):
        found = {split: read_set(data, task, split) for split in SPLITS}
        assert {k: len(v) for k, v in found.items()} == {"train": 45, "validation": 5, "test": 20}
        marks = {k: set(contents(v)) for k, v in found.items()}
        assert len(set.union(*marks.values())) == sum(len(m) for m in marks.values()) == 70
        assert len({v.sha256() for v in found.values()}) == 3
        assert found["validation"].sha256() == read_set(data, task, "validation").sha256()


def test_the_cut_is_seeded_by_the_tasks_name() -> None:
    labels = np.zeros(100, dtype=np.int64)
    first = validation_rows("mnist", labels)
    assert first.sum() == 10 and np.array_equal(first, validation_rows("mnist", labels))
    assert not np.array_equal(first, validation_rows("gtsrb", labels))
    # pinned: a change would put training samples into validation
    assert list(np.flatnonzero(first)) == PINNED


def test_hash_sees_samples_and_labels(tmp_path: Path) -> None:
    data = write_sentences(tmp_path)
    samples = read_set(data, "task0", "test")
    assert samples.take(range(len(samples))).sha256() == samples.sha256()
    assert samples.take([1, 0]).sha256() != samples.take([0, 1]).sha256()


def test_balanced_rows() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 20)
    rows = balanced_rows(labels, 12, seed=0)
    assert list(np.bincount(labels[rows])) == [5, 3, 4] or list(np.bincount(labels[rows])) == [
        4,
        3,
        5,
    ]
    assert list(rows) == sorted(set(rows)) and list(rows) == list(balanced_rows(labels, 12, seed=0))
    assert list(rows) != list(balanced_rows(labels, 12, seed=1))
    assert list(balanced_rows(labels, 99, seed=0)) == list(range(73))


def test_bad_folders_are_told(tmp_path: Path) -> None:
    data = write_images(tmp_path)
    with pytest.raises(UserError, match="Unknown split"):
        read_set(data, "task0", "dev")
    with pytest.raises(UserError, match="no data folder"):
        tasks_in(tmp_path / "none")
    (data / "task0" / "test.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="can't be read"):
        read_set(data, "task0", "test")
    (data / "task1" / "test.npz").unlink()
    with pytest.raises(UserError, match="has neither"):
        read_set(data, "task1", "test")
    (data / "task2" / "classes.json").write_text('["one"]')
    with pytest.raises(UserError, match="labels must be 0 to 0"):
        read_set(data, "task2", "test")


def test_rendered_splits_are_disjoint() -> None:
    found = {split: generated_set("charts", split, 48, limit=16) for split in SPLITS}
    marks = [m for samples in found.values() for m in contents(samples)]
    assert len(set(marks)) == len(marks) == 48
    shorter = generated_set("charts", "test", 48, limit=8)
    assert contents(shorter) == contents(found["test"])[:8]
    assert list(found["test"].labels[:9]) == [0, 1, 2, 3, 4, 5, 6, 7, 0]


@pytest.mark.data
@pytest.mark.parametrize(("suite", "kind"), [("mini-vision", "vision"), ("mini-text", "text")])
def test_real_splits_share_no_sample_and_are_those_of_the_bundled_suites(
    suite: str, kind: str, data_dir: Path, request: pytest.FixtureRequest
) -> None:
    """Images: none at all. Sentences do repeat in public sets: what matters is that training
    leaves out what is held out, see test_held_out_sentences_are_left_out. Images take their time to
    unpack: of two tasks, and of all with --slow."""
    report = SUITES_FOLDER / suite / "report.json"
    made_from = json.loads(report.read_text(encoding="utf-8"))["data"]["tasks"]
    tasks = tasks_in(data_dir / kind)
    assert set(tasks) & set(made_from)  # others are rendered: see the next but one
    wide = kind == "text" or request.config.getoption("--slow")
    for task in tasks if wide else [task for task in tasks if task in ("mnist", "eurosat")]:
        sizes, marks = {}, {}
        for split in SPLITS:
            samples = read_set(data_dir / kind, task, split)
            sizes[split], marks[split] = len(samples), set(contents(samples))
            if known := made_from.get(task, {}).get(split):
                assert known == {"n": len(samples), "sha256": samples.sha256()}, (task, split)
        share = sizes["validation"] / (sizes["train"] + sizes["validation"])
        assert share == pytest.approx(0.1, abs=0.001), task
        if kind == "vision":
            assert not marks["train"] & marks["validation"], task
            assert not (marks["train"] | marks["validation"]) & marks["test"], task


@pytest.mark.data
def test_held_out_sentences_are_left_out(data_dir: Path) -> None:
    from recipes.text_config import TASKS
    from recipes.text_data import HeldOut, fingerprint, training_set

    folder = data_dir / "text"
    held_out = HeldOut(folder, TASKS)
    marks = {
        fingerprint(text)
        for task in TASKS
        for split in ("validation", "test")
        for text in read_set(folder, task, split).texts
    }
    for task in TASKS:
        train = training_set(folder, task, held_out)
        assert len(train) and not marks & {fingerprint(text) for text in train.texts}, task


@pytest.mark.slow
def test_the_bundled_suite_was_made_from_these_pictures() -> None:
    suite = read_suite("mini-vision")
    report = json.loads(suite.path("report.json").read_text(encoding="utf-8"))
    side = suite.architecture["vision_cfg"]["image_size"]
    rendered = rendered_tasks(suite)
    assert rendered == ["charts", "textures"]
    for task in rendered:
        found = report["data"]["tasks"][task]
        assert found.pop("train") == {"n": GENERATED_COUNT["train"], "rendered": True}
        assert set(found) == {"validation", "test"}
        for split, known in found.items():
            samples = generated_set(task, split, side)
            assert known == {"n": len(samples), "sha256": samples.sha256()}, (task, split)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("mini-vision", "vision"), ("mini-text", "text")])
def test_bundled_statistics_were_made_from_training_samples(
    name: str, kind: str, data_dir: Path
) -> None:
    """Those of today's train splits, less what is held out: the hash is in file and report."""
    suite = read_suite(name)
    assert suite.statistics is not None
    report = json.loads(suite.path("report.json").read_text(encoding="utf-8"))["statistics"]
    samples = cached_samples(suite, data_dir / kind, int(report["samples_per_task"]))
    made = record(samples, suite.defaults.probe_lambda)
    assert made == report
    with safe_open(suite.path(suite.statistics), "pt") as file:
        assert file.metadata() == {"format": "pt", **made}
