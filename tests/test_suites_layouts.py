"""suite.json of weights from elsewhere: layouts, sources and heads, each error by its key."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import edit

from semerge.common import UserError
from semerge.suites import SUITES_FOLDER, read_suite
from semerge.suites.suite import loaded_files, own_files

MNIST = "tanganke/clip-vit-base-patch32_mnist/model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SUITES_FOLDER / "clip-vit-b-32", tmp_path / "suite"))


def test_where_everything_comes_from(folder: Path) -> None:
    suite = read_suite(folder)
    assert (suite.base_layout, suite.heads, suite.head_source) == ("hf-clip", None, "text-tower")
    task, source = suite.task("mnist"), suite.sources[MNIST]
    assert (task.weights, task.layout) == (MNIST, "fusionbench-clip")
    assert (source.repo, source.file) == (
        "tanganke/clip-vit-base-patch32_mnist",
        "model.safetensors",
    )
    assert len(loaded_files(suite)) == 9 and own_files(suite) == ()
    assert suite.path(MNIST) == folder / MNIST  # where a folder in hub layout has it


def test_a_vocabulary_has_its_merges_beside_it() -> None:
    files = loaded_files(read_suite("gpt2-glue"))
    assert files[-2:] == ("tanganke/gpt2_mrpc/vocab.json", "tanganke/gpt2_mrpc/merges.txt")


def test_heads_in_files_and_a_text_tower_of_its_own(folder: Path) -> None:
    def change(raw: Any) -> None:
        raw["heads"] = {"from": "files"}
        raw["text_tower"] = {"weights": "clip/model.bin", "layout": "hf-clip"}
        raw["base"] = {"weights": "zeroshot.pt", "layout": "openclip-pickle"}
        for task in raw["tasks"]:
            task |= {"weights": f"{task['name']}.pt", "layout": "openclip-pickle"}
            task["head"] = f"head_{task['name']}.pt"
        raw["sources"] = {}

    edit(folder, change)
    suite = read_suite(folder)
    assert suite.head_source == "files" and not suite.published
    assert suite.tasks[0].head == "head_sun397.pt"
    assert (suite.text_tower, suite.text_tower_layout) == ("clip/model.bin", "hf-clip")
    assert len(loaded_files(suite)) == 18


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["base"].update(layout="keras"), r"base\.layout 'keras' is unknown"),
        (lambda s: s["base"].update(layout="gpt2-classifier"), "valid are semerge, hf-clip"),
        (lambda s: s["tasks"][0].update(layout="gpt2"), r"tasks\[0\]\.layout 'gpt2' is unknown"),
        (lambda s: s["tasks"][0].update(layout=1), r"tasks\[0\]\.layout is missing or"),
        (lambda s: s["tasks"][0].update(weights="../m.bin"), "inside the suite's folder"),
        (lambda s: s["tasks"][0].update(weights="a//m.bin"), "inside the suite's folder"),
        (lambda s: s["tasks"][0].update(weights="m.exe"), r"\.safetensors or \.bin or"),
        (lambda s: s["heads"].update({"from": "sky"}), r"heads\.from 'sky' is unknown"),
        (lambda s: s["heads"].update({"from": "files"}), r"tasks\[0\]\.head is missing"),
        (lambda s: s["sources"].pop(MNIST), r"mnist/model\.safetensors is missing, and so is"),
        (lambda s: s["sources"][MNIST].pop("bytes"), r"mnist/model\.safetensors\.bytes"),
        (lambda s: s["sources"][MNIST].pop("revision"), r"model\.safetensors\.revision"),
        (lambda s: s["sources"][MNIST].update(sha256="1"), "64 hexadecimal digits"),
        (lambda s: s["sources"].update({"a/b": {}}), "not of the form owner/repo/file"),
        (lambda s: s["sources"].update({"a/b/../../c.bin": {}}), "not of the form owner/repo/file"),
        (lambda s: s["sources"][MNIST].update(revision="../up"), "is no branch and no commit"),
        (lambda s: s.update(family=3), "family is missing or"),
    ],
)
def test_wrong_keys_are_named(folder: Path, change: Callable[[Any], object], words: str) -> None:
    edit(folder, change)
    with pytest.raises(UserError, match=words):
        read_suite(folder)
