"""init-suite: layouts are told from files, the suite is written, and it is checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from recipes.fake_suite import write_fake_suite
from semerge import cli
from semerge.engine import load_engine
from semerge.inputs import CleanText
from semerge.suites import read_suite

VISION = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 64,
        "patch_size": 32,
        "width": 128,
        "layers": 2,
        "head_width": 64,
        "mlp_ratio": 2.0,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 1,
        "layers": 1,
    },
}
TEXT = {"vocab_size": 600, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip-vit-b-32, small, in the hub's layout."""
    out = tmp_path_factory.mktemp("clip") / "hub"
    return write_fake_suite("clip-vit-b-32", out, architecture=VISION)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gpt2-glue, small, in the hub's layout."""
    out = tmp_path_factory.mktemp("gpt2") / "hub"
    return write_fake_suite("gpt2-glue", out, architecture=TEXT | {"pad_id": 599, "max_length": 32})


def init(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    code = cli.main(["init-suite", *map(str, argv)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert cli.main(["init-suite", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    return captured.err


def expert(folder: Path, task: str) -> Path:
    suite = read_suite(folder)
    return suite.path(suite.task(task).weights)


def test_a_suite_of_clip_checkpoints(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = clip / "openai/clip-vit-base-patch32/pytorch_model.bin"
    out = tmp_path / "Mine"
    own = f"own={expert(clip, 'dtd')}"
    printed = init(
        capsys, out, "--base", base, "--expert", f"mnist={expert(clip, 'mnist')}", "--expert", own
    )
    assert "base hf-clip" in printed
    assert "fill in the class names of own; they are placeholders" in printed
    raw = json.loads((out / "suite.json").read_text(encoding="utf-8"))
    assert raw["_comment"]["defaults"].endswith("choose them on validation data")
    suite = read_suite(out)
    assert (suite.name, suite.base_layout, suite.head_source) == ("Mine", "hf-clip", "text-tower")
    assert [task.layout for task in suite.tasks] == ["fusionbench-clip"] * 2
    # a published task's words are known
    assert suite.task("mnist").classes == tuple("0123456789")
    assert suite.task("mnist").templates == ('a photo of the number: "{}".',)
    assert suite.task("own").classes == ("class 0", "class 1")
    known = read_suite(clip).architecture
    for key in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "logit_scale"):
        assert suite.architecture[key] == known[key], key
    # on the same disk nothing is copied
    assert suite.path(suite.base_weights).samefile(base)


def test_a_suite_of_gpt2_classifiers_answers(
    gpt2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = gpt2 / "openai-community/gpt2/model.safetensors"
    pairs = [f"{task}={expert(gpt2, task)}" for task in ("mnli", "mrpc")]
    words = [word for pair in pairs for word in ("--expert", pair)]
    printed = init(capsys, tmp_path / "mine", "--base", base, *words)
    assert "mnli: gpt2-classifier, 3 classes" in printed
    assert "placeholders" not in printed
    suite = read_suite(tmp_path / "mine")
    assert suite.task("mnli").classes == ("entailment", "neutral", "contradiction")
    assert suite.task("mrpc").pair
    assert suite.architecture["tokenizer"] == "tokenizer/vocab.json"
    result = load_engine(tmp_path / "mine").predict(CleanText("one", "two"))
    assert result.tasks == ("mnli", "mrpc")


def test_files_inside_the_folder_stay_where_they_are(
    clip: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "here"
    for task in ("mnist", "dtd"):
        (out / task).mkdir(parents=True)
        save_file(load_file(expert(clip, task)), out / task / "x.safetensors")
    base = out / "base.bin"
    base.write_bytes((clip / "openai/clip-vit-base-patch32/pytorch_model.bin").read_bytes())
    words = ["--expert", f"a={out / 'mnist/x.safetensors'}"]
    init(capsys, out, "--base", base, *words, "--expert", f"b={out / 'dtd/x.safetensors'}")
    suite = read_suite(out)
    assert (suite.base_weights, suite.tasks[0].weights) == ("base.bin", "mnist/x.safetensors")
    assert "is there already" in refused(capsys, out, "--base", base, *words)


def test_what_does_not_fit_is_refused(
    clip: Path, gpt2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = clip / "openai/clip-vit-base-patch32/pytorch_model.bin"
    one, two = (f"{task}={expert(clip, task)}" for task in ("mnist", "dtd"))

    def say(*words: object, base: Path = base) -> str:
        return refused(capsys, tmp_path / "out", "--base", base, *words)

    assert "two experts or more" in say("--expert", one)
    assert "not of the form NAME=FILE" in say("--expert", "mnist", "--expert", two)
    assert "--expert mnist is given twice" in say("--expert", one, "--expert", one)
    assert "may hold letters, digits" in say("--expert", "../up=x", "--expert", two)
    assert "a.pt is missing" in say("--expert", "a=a.pt", "--expert", two)
    assert "which is an expert's" in say(
        "--expert", one, "--expert", two, base=expert(clip, "svhn")
    )
    assert "there is no expert of that name" in say(
        "--expert", one, "--expert", two, "--head", "x=y"
    )
    assert "for every expert, or for none" in say(
        "--expert", one, "--expert", two, "--head", "mnist=y"
    )
    strange = tmp_path / "strange.safetensors"
    save_file({"what": torch.ones(1)}, strange)
    assert "no layout that is known here; its keys are what" in say(
        "--expert", f"a={strange}", "--expert", two
    )
    other = f"cola={expert(gpt2, 'cola')}"
    words = say("--expert", one, "--expert", other)
    assert "gpt2_cola" in words or "cola/model.safetensors" in words
    # nothing is left that would stand in the way of the next try, and no file is mixed up
    assert not (tmp_path / "out" / "suite.json").exists()
    swapped = f"mnist={expert(clip, 'svhn')}"
    place = tmp_path / "out" / "experts" / "mnist" / "model.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(expert(clip, "mnist").read_bytes())
    assert "experts/mnist/model.safetensors is there already and is not" in say(
        "--expert", swapped, "--expert", two
    )
    init(capsys, tmp_path / "out", "--base", base, "--expert", one, "--expert", two)


def test_a_base_that_lacks_a_part_is_told(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = torch.load(clip / "openai/clip-vit-base-patch32/pytorch_model.bin")
    experts = [w for t in ("mnist", "dtd") for w in ("--expert", f"{t}={expert(clip, t)}")]
    base = tmp_path / "base.bin"
    torch.save({k: x for k, x in whole.items() if k != "visual_projection.weight"}, base)
    words = refused(capsys, tmp_path / "out", "--base", base, *experts)
    assert words.endswith("base.bin: visual_projection.weight is missing.\n")
    torch.save(whole | {"visual_projection.weight": torch.ones(())}, base)
    words = refused(capsys, tmp_path / "out", "--base", base, *experts)
    assert "base.bin: its shapes, or config.json beside it, are of no model known here" in words
