"""Suites and their files: read and checked, with errors that name the file and the key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import edit, hash_files, tiny_text_suite, tiny_vision_suite

from semerge import suites
from semerge.common import UserError
from semerge.engine import load_engine
from semerge.suites import available_suites, published_suites, read_suite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_vision_suite(tmp_path / "suite")


def test_a_suite_is_read(folder: Path) -> None:
    suite = read_suite(folder)
    assert (suite.name, suite.modality, suite.depth) == ("tiny-vision", "image", 2)
    assert suite.task_names == ("task0", "task1", "task2")
    assert suite.tasks[1].classes == ("ant", "bee", "cat")
    assert suite.tasks[0].templates == ("a photo of a {}.",)
    assert suite.index("task2") == 2
    assert suite.task("task1") is suite.tasks[1]
    assert suite.defaults.static_lambda == 0.3
    assert suite.thresholds["far"] is None
    assert suite.path(suite.heads).is_file()
    with pytest.raises(UserError, match="valid are task0, task1, task2"):
        suite.index("task3")


def test_text_suites_too(tmp_path: Path) -> None:
    suite = read_suite(str(tiny_text_suite(tmp_path / "suite", tasks=4, layers=3) / "suite.json"))
    assert (suite.modality, suite.depth, len(suite.tasks)) == ("text", 3, 4)
    assert [task.pair for task in suite.tasks] == [False, False, False, True]


def test_bundled_suites_are_found_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "SUITES_FOLDER", folder.parent)
    assert available_suites() == ["suite"]
    assert read_suite("suite").name == "tiny-vision"
    monkeypatch.setattr(suites, "SUITES_FOLDER", folder / "nowhere")
    assert available_suites() == []


@pytest.mark.parametrize("name", ["none-such", "", "..", "a" * 9999, "nul\0byte", "~nobody/x"])
def test_unknown_suites_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="is unknown; bundled are"):
        read_suite(name)


def test_a_shipped_suite_is_parsed_once_and_again_if_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "SUITES_FOLDER", tmp_path)
    folders = [tiny_vision_suite(tmp_path / "one"), tiny_text_suite(tmp_path / "two")]
    parsed: list[str] = []
    read_text = Path.read_text

    def counted(path: Path, *given: Any, **options: Any) -> str:
        parsed.append(path.parent.name)
        return read_text(path, *given, **options)

    monkeypatch.setattr(Path, "read_text", counted)
    assert read_suite("two").name == "tiny-text"
    assert parsed == ["two"]  # and no other suite
    for _ in range(3):
        assert available_suites() == ["one", "two"] and published_suites() == []
        assert [read_suite(place).modality for place in (*folders, "one")][::2] == ["image"] * 2
    assert parsed == ["two", "one"]
    edit(folders[1], lambda raw: raw.update(title="Another"))
    del parsed[:]
    assert [read_suite("two").title for _ in range(2)] == ["Another"] * 2
    assert parsed == ["two"]


def test_shipped_suites_are_valid() -> None:
    for name in available_suites():
        assert read_suite(name).name == name


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else []


def test_empty_tensors_are_refused(folder: Path) -> None:
    """What holds no numbers has no least one."""
    file = folder / "statistics.safetensors"
    save_file({k: v[:0] for k, v in load_file(file).items()}, file)
    hash_files(folder)
    with pytest.raises(UserError, match=r"statistics\.safetensors"):
        load_engine(folder)


DEEP = '{"format": ' + "[" * 100_000 + "]" * 100_000 + "}"
LONG = '{"format": ' + "1" * 5000 + "}"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", DEEP, LONG])
def test_damaged_json_is_refused(folder: Path, text: str) -> None:
    (folder / "suite.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"suite\.json"):
        read_suite(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(format=2), "format 2"),
        (lambda s: s.update(format=True), "format is missing"),
        (lambda s: s.pop("title"), "title is missing"),
        (lambda s: s.update(name="a/b"), "name 'a/b'"),
        (lambda s: s.update(modality="text"), "architecture.kind"),
        (lambda s: s.update(tasks=s["tasks"][:1]), "two or more"),
        (lambda s: s["tasks"][1].update(name="task0"), "same name twice"),
        (lambda s: s["tasks"][1].update(name="auto"), r"tasks\[1\]\.name"),
        (lambda s: s["tasks"][2].update(classes=["a"]), r"tasks\[2\]\.classes must be two"),
        (lambda s: s["tasks"][2].update(classes=[1]), "list of strings"),
        (lambda s: s["tasks"][2].update(pair=0), r"tasks\[2\]\.pair"),
        (lambda s: s["tasks"][0].update(weights="../x.safetensors"), "inside the suite's folder"),
        (lambda s: s["tasks"][0].update(weights="/x.safetensors"), "inside the suite's folder"),
        (lambda s: s["base"].update(weights="base.pt"), r"\.safetensors file"),
        (lambda s: s.update(heads=None), "heads is missing"),
        (lambda s: s["defaults"].pop("static_lambda"), r"defaults\.static_lambda"),
        (lambda s: s["defaults"].update(static_lambda=float("nan")), "finite"),
        (lambda s: s["thresholds"].update(flat="low"), r"thresholds\.flat"),
        (lambda s: s["sha256"].pop("base.safetensors"), r"sha256\.base\.safetensors"),
        (lambda s: s.pop("sha256"), "sha256 is missing"),
        (
            lambda s: s["sha256"].update({"base.safetensors": "\x1e"}),
            r"sha256\.base\.safetensors must be 64 hexadecimal digits",
        ),
        (lambda s: s["defaults"].update(static_lambda=1e308), r"defaults\.static_lambda"),
        (lambda s: s["defaults"].update(probe_lambda=10**400), r"1000\.\.\. of 401 digits"),
        (lambda s: s["thresholds"].update(far=-1e300), r"thresholds\.far"),
        (lambda s: s["tasks"][0].update(temperature=10**17), r"tasks\[0\]\.temperature"),
        (lambda s: s["architecture"].update(embed_dim=10**400), r"of 401 digits"),
        (lambda s: s["architecture"].update(embed_dim=10**17), r"architecture\.embed_dim"),
        (lambda s: s["architecture"].update(logit_scale=1e308), r"architecture\.logit_scale"),
        (lambda s: s["architecture"]["vision_cfg"].update(mlp_ratio=1e308), "mlp_ratio"),
        (lambda s: s.update(name="\ud800" * 5000), "name"),
        (lambda s: s.update(heads="x" * 5000), "heads"),
        (lambda s: s["architecture"].update(kind="x" * 5000), "kind"),
        (lambda s: s["architecture"].update(embed_dim=["x"] * 5000), "embed_dim"),
        (lambda s: s["architecture"].update(logit_scale=nested(400)), "logit_scale"),
    ],
)
def test_wrong_keys_are_named(folder: Path, change: Callable[[Any], object], words: str) -> None:
    edit(folder, change)
    with pytest.raises(UserError, match=words) as error:
        read_suite(folder)
    assert str(folder / "suite.json") in str(error.value)
    assert len(str(error.value)) < 400 + len(str(folder))


def test_wrong_defaults_are_told_when_weights_are_loaded(folder: Path) -> None:
    edit(folder, lambda s: s["defaults"].update(layer=7))
    with pytest.raises(UserError, match=r"suite\.json: defaults: layer 7 .*1 to 2 and final"):
        load_engine(folder)


# ---- files of weights ------------------------------------------------------------------------


def test_a_changed_file_is_refused(folder: Path) -> None:
    file = folder / "experts" / "task1.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"task1\.safetensors is not the file.*sha256"):
        load_engine(folder)


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "heads.safetensors").unlink()
    with pytest.raises(UserError, match=r"heads\.safetensors is missing"):
        load_engine(folder)


def test_what_is_no_safetensors_is_refused(folder: Path) -> None:
    torch.save({"x": torch.ones(1)}, folder / "base.safetensors")  # a pickle in disguise
    hash_files(folder)
    with pytest.raises(UserError, match=r"base\.safetensors can't be read as safetensors"):
        load_engine(folder)


def test_a_name_that_is_there_twice_is_refused(folder: Path) -> None:
    file = folder / "heads.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length].rstrip(), data[8 + length :]
    one = json.dumps(json.loads(header)["task0"])
    twice = header[:-1] + f', "task0": {one}}}'.encode()
    file.write_bytes(len(twice).to_bytes(8, "little") + twice + body)
    hash_files(folder)
    with pytest.raises(UserError, match=r"heads\.safetensors holds the same name twice"):
        load_engine(folder)


Change = Callable[[dict[str, torch.Tensor]], object]


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("base", lambda t: t.pop("proj"), "proj is missing"),
        ("base", lambda t: t.update(extra=torch.ones(1)), "extra is not a known key"),
        ("base", lambda t: t.update(proj=torch.ones(16, 13)), r"proj has shape \(16, 13\)"),
        ("base", lambda t: t["proj"].fill_(torch.inf), "proj holds values that are not finite"),
        ("base", lambda t: t.update(proj=t["proj"].long()), "proj holds torch.int64"),
        ("experts/task0", lambda t: t.update(x=torch.ones(1)), "x is not a known key"),
        ("experts/task0", lambda t: t["proj"][0].fill_(torch.nan), "proj holds values"),
        ("heads", lambda t: t.pop("task1"), "task1 is missing"),
        ("heads", lambda t: t.update(task1=torch.ones(9, 12)), "task1 has shape"),
        ("statistics", lambda t: t.pop("mean/1/cls"), "1/cls needs mean"),
        ("statistics", lambda t: t.pop("whiten/2/mean"), "2/mean needs mean and one of"),
        ("statistics", lambda t: t.update({"scale/2/mean": torch.ones(16)}), "one of whiten"),
        ("statistics", lambda t: t.update({"mean/1/cls": torch.ones(4, 16)}), "3 tasks"),
        ("statistics", lambda t: t.update({"mean/1/cls": torch.ones(3, 9)}), "fit each other"),
        ("statistics", lambda t: t.update({"mean/9/cls": torch.ones(3, 9)}), "known key"),
    ],
)
def test_wrong_tensors_are_named(folder: Path, file: str, change: Change, words: str) -> None:
    path = folder / f"{file}.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    hash_files(folder)
    with pytest.raises(UserError, match=words) as error:
        load_engine(folder)
    assert str(path) in str(error.value)


def test_a_damaged_tokenizer_is_told(tmp_path: Path) -> None:
    folder = tiny_text_suite(tmp_path / "suite")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    hash_files(folder)
    with pytest.raises(UserError, match=r"tokenizer\.json can't be read as a tokenizer"):
        load_engine(folder)


def test_half_precision_becomes_float32(folder: Path) -> None:
    models = load_engine(folder).models
    assert load_file(folder / "base.safetensors")["proj"].dtype == torch.float16
    assert {x.dtype for x in models.vectors.tensors()} == {torch.float32}


def test_reading_a_suite_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys; from semerge.suites import read_suite; from semerge.settings import Settings;"
        "import semerge.cli, semerge.result; Settings().resolve(read_suite(sys.argv[1]));"
        "heavy = {'torch', 'torchvision', 'open_clip', 'transformers', 'gradio', 'plotly', 'PIL'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_loading_imports_neither_reference_library(folder: Path) -> None:
    code = (
        "import sys; from semerge.engine import load_engine; load_engine(sys.argv[1]);"
        "heavy = {'open_clip', 'transformers', 'torchvision', 'gradio', 'plotly'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
