"""The published suites: what their files promise, and their family's figures beside a run's."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hub_sets import FakeDatasets, FakeSet
from published_suites import gpt2_suite
from tiny import edit

from semerge.cli import main
from semerge.common import UserError
from semerge.data import hub
from semerge.data.hub import hub_set
from semerge.data.sets import suite_sets
from semerge.settings import Settings
from semerge.suites import SUITES_FOLDER, Suite, available_suites, published_suites, read_suite
from semerge.suites.published import FAMILIES, published_lines

NAMES = ("clip-vit-b-16", "clip-vit-b-32", "clip-vit-l-14", "gpt2-glue")
CLASSES = {
    "sun397": 397,
    "stanford-cars": 196,
    "resisc45": 45,
    "eurosat": 10,
    "svhn": 10,
    "gtsrb": 43,
    "mnist": 10,
    "dtd": 47,
}
# the hub's listings name these
COMMITS = {
    "tanganke/clip-vit-base-patch16_sun397": "4af3b59",
    "tanganke/clip-vit-base-patch32_gtsrb": "7b11ced",
    "tanganke/clip-vit-base-patch32_sun397": "4628de7",
    "tanganke/clip-vit-large-patch14_gtsrb": "6eacfe7",
    "tanganke/clip-vit-large-patch14_sun397": "3b814ef",
    "tanganke/gpt2_mrpc": "dc55223",
}


def test_bundled_and_published_are_apart() -> None:
    assert published_suites() == list(NAMES)
    assert not set(available_suites()) & set(NAMES)
    assert not any(read_suite(name).published for name in available_suites())


@pytest.mark.parametrize("name", NAMES)
def test_a_published_suite_is_a_file_alone(name: str) -> None:
    suite = read_suite(name)
    assert [file.name for file in suite.folder.iterdir()] == ["suite.json"]
    assert suite.published and suite.name == name
    Settings().resolve(suite)
    assert suite.defaults.static_lambda == suite.defaults.probe_lambda  # one merge in memory
    assert set(suite.thresholds.values()) == {None}  # made for no data of ours
    assert "not chosen on validation data" in suite.about
    assert suite.family in FAMILIES
    assert FAMILIES[suite.family].tasks == suite.task_names
    assert all(task.data for task in suite.tasks)


def test_a_known_commit_is_pinned_and_no_other_source_claims_one() -> None:
    """A source without a known commit is `main`: what the first download finds there is then held
    by the lock file, commit and hash, see test_hub.test_the_first_commit_stays."""
    sources = [s for name in NAMES for s in read_suite(name).sources.values()]
    assert {s.repo for s in sources} >= set(COMMITS)
    for source in sources:
        assert source.revision == COMMITS.get(source.repo, "main"), source.repo


def test_the_words_of_clip() -> None:
    for name in NAMES[:3]:
        suite = read_suite(name)
        assert {task.name: len(task.classes) for task in suite.tasks} == CLASSES
        assert all("{}" in template for task in suite.tasks for template in task.templates)
        assert suite.architecture["quick_gelu"] is True
        for task in suite.tasks:
            assert task.weights.endswith(f"_{task.name}/model.safetensors")
            assert len(set(task.classes)) == len(task.classes)
    words = json.loads((SUITES_FOLDER.parent / "clip_tasks.json").read_text(encoding="utf-8"))
    assert len(words["tasks"]) == 20


def test_download_sizes() -> None:
    """To the third digit, as the literature and the hub's listings state them, in GB."""
    sizes = {name: round(read_suite(name).download_size / 1e9, 1) for name in NAMES}
    assert sizes["clip-vit-b-32"] == 3.4
    assert sizes["clip-vit-l-14"] == 11.4
    assert sizes["gpt2-glue"] == 4.0


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_published_averages_are_those_of_their_rows(name: str) -> None:
    family = FAMILIES[name]
    for method, figures in family.rows.items():
        assert len(figures) in (1, len(family.tasks) + 1), method
        if len(figures) > 1:
            mean = sum(figures[:-1]) / len(family.tasks)
            # as printed at the source, where one average is 0.2 off its own row
            assert abs(mean - figures[-1]) < 0.25, f"{method}: {mean:.2f}"


def test_a_run_stands_beside_its_own_family() -> None:
    columns = ("base_oracle", "static_oracle", "se_oracle", "expert")
    found = {task: dict.fromkeys(columns, 0.5) for task in FAMILIES["fusionbench-gpt2-glue"].tasks}
    text = published_lines("fusionbench-gpt2-glue", found, "hub: 7 samples")
    assert "FusionBench checkpoints, GPT-2 on GLUE" in text[0]
    assert text[0].endswith("; task given; here: hub: 7 samples")
    assert next(line for line in text if line.startswith("here: SE-Merging")).endswith("50.0")
    assert any(line.startswith("TIES 0.6") and line.endswith("70.0") for line in text)
    assert any(line.startswith("SE-Merging (its paper)") and line.endswith("76.9") for line in text)
    assert not any("task_vectors" in line for line in text)
    # no average over other tasks than the table's
    part = published_lines("fusionbench-gpt2-glue", {"cola": found["cola"]}, "hub")
    assert next(line for line in part if line.startswith("here: base")).count("50.0") == 1
    assert published_lines(None, found, "") == published_lines("nobody", found, "") == []


# ---- data by their ids on the hub ------------------------------------------------------------


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> FakeDatasets:
    fake = FakeDatasets()
    monkeypatch.setattr(hub.importlib, "import_module", lambda name: fake)
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: SimpleNamespace())
    return fake


def test_images_from_the_hub(datasets: FakeDatasets) -> None:
    suite = read_suite("clip-vit-b-32")
    names = ["A nnual crop land", *suite.task("eurosat").classes[1:]]
    datasets.sets["tanganke/eurosat", None, "test"] = FakeSet.of_images([3, 0, 9, 1], names)
    found = hub_set(suite.task("eurosat"), "test", "image")
    assert found.labels.tolist() == [3, 0, 9, 1]
    assert found.classes == suite.task("eurosat").classes  # the same but for case and signs
    assert found.visual and found.pixels(2).shape == (8, 8, 3)
    assert int(found.pixels(2)[0, 0, 0]) == 2
    assert int(found.take(np.array([3, 1])).pixels(0)[0, 0, 0]) == 3


def test_validation_is_cut_from_train(datasets: FakeDatasets) -> None:
    suite = read_suite("clip-vit-b-32")
    names = list(suite.task("mnist").classes)
    made = FakeSet.of_images([i % 10 for i in range(40)], names)
    datasets.sets["ylecun/mnist", None, "train"] = made
    parts = [hub_set(suite.task("mnist"), split, "image") for split in ("train", "validation")]
    assert [len(part) for part in parts] == [36, 4]


def test_pairs_from_the_hub_with_a_limit(datasets: FakeDatasets) -> None:
    suite = read_suite("gpt2-glue")
    for task in suite.tasks:
        rows = [(f"{task.name} {i}", f"b {i}", i % len(task.classes)) for i in range(12)]
        place = (task.data["id"], task.data["config"], task.data["split"])
        datasets.sets[place] = FakeSet.of_texts(task.data["columns"], rows)
    sets = suite_sets(suite, "hub", limit=6)
    assert (sets.data, sets.total, sets.complete) == ("hub", 42, False)
    mnli = sets.sets[1]
    assert (mnli.task, sorted(mnli.labels.tolist())) == ("mnli", [0, 0, 1, 1, 2, 2])
    assert mnli.texts[0].startswith("mnli ") and mnli.texts_b[0] is not None
    assert sets.sets[0].texts_b == (None,) * 6  # single sentences, as batches wants them


def test_the_command_stands_a_run_on_the_hubs_data_beside_its_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite of one's own that names a family, from the hub's data to the printed table."""
    folder, names = gpt2_suite(tmp_path / "suite"), ("cola", "mnli")

    def name(raw: dict[str, Any]) -> None:
        raw["family"] = "fusionbench-gpt2-glue"
        for task, own in zip(raw["tasks"], names, strict=True):
            columns = ["sentence1", "sentence2"]
            task |= {"name": own, "data": {"id": f"glue/{own}", "columns": columns}}

    edit(folder, name)
    suite, fake = read_suite(folder), FakeDatasets()
    for task in suite.tasks:
        rows = [(f"{task.name} {i}", f"b {i}", i % len(task.classes)) for i in range(12)]
        columns = ["sentence1", "sentence2"]
        fake.sets[task.data["id"], None, "test"] = FakeSet.of_texts(columns, rows)
    fake.__spec__ = ModuleSpec("datasets", None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", cast(Any, fake))
    command = ["evaluate", "--suite", str(folder), "--data", "hub"]

    def ran(*options: str) -> list[str]:
        assert main([*command, *options]) == 0
        return capsys.readouterr().out.splitlines()

    whole, part = ran(), ran("--limit", "5")
    for lines, words in (
        (whole, "hub: 24 samples"),
        (part, "hub: 10 samples, at most 5 a task"),
    ):
        assert lines[0].endswith(f", test, {words}")
        (header,) = [line for line in lines if line.startswith("published for the same family")]
        assert header.endswith(f"task given; here: {words}")
        here = [line for line in lines if line.startswith("here: SE-Merging")]
        assert len(here[0].split()) == 4  # the two tasks that were run, and no average
    own = tmp_path / "own.json"
    assert main([*command, "--json", str(own)]) == 0
    assert json.loads(own.read_text(encoding="utf-8"))["family"] == "fusionbench-gpt2-glue"


def test_what_the_hub_lacks_is_told(
    datasets: FakeDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = read_suite("clip-vit-b-32")
    with pytest.raises(UserError, match=r"tanganke/dtd can't be had from the hub: no such set"):
        hub_set(suite.task("dtd"), "test", "image")
    datasets.sets["tanganke/dtd", None, "test"] = FakeSet.of_texts(["x"], [("a", "b", 0)])
    with pytest.raises(UserError, match="has no column 'image'"):
        hub_set(suite.task("dtd"), "test", "image")
    datasets.sets["ylecun/mnist", None, "test"] = FakeSet.of_images([10], None)
    with pytest.raises(UserError, match="labels must be 0 to 9"):
        hub_set(suite.task("mnist"), "test", "image")
    with pytest.raises(UserError, match="names no data sets on the hub"):
        suite_sets(read_suite("mini-text"), "hub")
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="install it by `pip install datasets`"):
        suite_sets(suite, "hub")


def refused(suite: Suite, task: str, **data: object) -> str:
    """What is said of a task's test split, its place on the hub changed by `data`."""
    named = suite.task(task)
    with pytest.raises(UserError) as caught:
        hub_set(replace(named, data=named.data | data), "test", suite.modality)
    return str(caught.value)


def test_splits_of_the_hub_are_never_guessed(datasets: FakeDatasets) -> None:
    suite = read_suite("clip-vit-b-32")
    datasets.sets["ylecun/mnist", None, "train"] = FakeSet.of_images(range(10), None)
    assert refused(suite, "mnist") == "ylecun/mnist has no split 'test', only 'train'."
    assert refused(suite, "mnist", split="validation_matched") == (
        "ylecun/mnist has no split 'validation_matched', only 'train'."
    )
    for name in ("train", "train[:10%]", "test+train"):
        assert refused(suite, "mnist", split=name) == (
            f"mnist: suite.json names the split {name!r} of ylecun/mnist for testing, which is for "
            "training; name another."
        )
    datasets.sets["tanganke/dtd", None, "test"] = FakeSet.of_images([0], None)
    for wanted in ("train", "validation"):
        with pytest.raises(UserError) as caught:
            hub_set(suite.task("dtd"), wanted, "image")
        assert str(caught.value) == (
            "tanganke/dtd has no split 'train', which validation is cut from, only 'test'."
        )


def test_what_a_run_on_the_hub_can_not_promise_is_said(datasets: FakeDatasets) -> None:
    suite = read_suite("clip-vit-b-32")
    suite = replace(suite, tasks=(suite.task("mnist"), replace(suite.task("dtd"), data={})))
    names = [f"digit {i}" for i in range(10)]
    datasets.sets["ylecun/mnist", None, "train"] = FakeSet.of_images(
        [i % 10 for i in range(40)], names
    )
    told: list[str] = []
    found = suite_sets(suite, "hub", "validation", notice=told.append)
    assert told == [
        "dtd: clip-vit-b-32 names no data set of it on the hub, skipped.",
        (
            "validation is cut from each set's own train split, which the experts may have been "
            "trained on."
        ),
        "ylecun/mnist calls the class '0' 'digit 0'; its order is taken to be the suite's.",
    ]
    assert [(s.task, s.split, len(s)) for s in found.sets] == [("mnist", "validation", 4)]
    assert not found.complete
    told.clear()
    datasets.sets["ylecun/mnist", None, "test"] = FakeSet.of_images(range(10), None)
    hub_set(suite.task("mnist"), "test", "image", told.append)
    assert told == ["ylecun/mnist does not name its classes; they are taken in the suite's order."]


def test_classes_of_the_hub_go_by_name(datasets: FakeDatasets) -> None:
    suite = read_suite("clip-vit-b-32")
    place = ("ylecun/mnist", None, "test")
    names = [*"9876543210"]
    datasets.sets[place] = FakeSet.of_images(range(10), names)
    found = suite_sets(replace(suite, tasks=(suite.task("mnist"),)), "hub").sets[0]
    assert found.labels.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    datasets.sets[place] = FakeSet.of_images(range(10), [*"987654321", "nought"])
    assert refused(suite, "mnist") == (
        "ylecun/mnist names its classes otherwise than suite.json, in another order."
    )


def test_sets_of_the_hub_that_do_not_fit(datasets: FakeDatasets) -> None:
    suite, text = read_suite("clip-vit-b-32"), read_suite("gpt2-glue")
    bad = FakeSet([{"image": None, "label": 0.5}], {"image": None, "label": None})
    datasets.sets["ylecun/mnist", None, "test"] = bad
    assert refused(suite, "mnist") == ("ylecun/mnist: the column 'label' must hold whole numbers.")
    bad.rows[0]["label"] = 3
    lacking = hub_set(suite.task("mnist"), "test", "image")
    with pytest.raises(UserError, match=r"^The set on the hub has no picture in row 0\.$"):
        lacking.pixels(0)
    place = ("nyu-mll/glue", "cola", "validation")
    datasets.sets[place] = FakeSet([{"sentence": None, "label": 1}], dict.fromkeys(["sentence"]))
    datasets.sets[place].features["label"] = None
    assert refused(text, "cola") == ("nyu-mll/glue: row 0 of the column 'sentence' holds no text.")
    for wrong in ({"id": 5}, {"columns": "sentence"}, {"columns": []}, {"config": 1}):
        assert refused(text, "cola", **wrong) == (
            'cola: "data" in suite.json must hold "id", and may hold "config", "split" and "label" '
            'in words, and "columns" as a list of one or two.'
        )
