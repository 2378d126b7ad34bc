"""What people's scripts put around a model is taken off before its layout is told: attributes,
other things saved beside it, shards, folders, and parts that transformers' classes differ in."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from gpt2_fakes import GPT
from pickled_fakes import write_pickled
from published_fakes import TEXT, VIT, Weights
from published_suites import BASE, BODIES, BODY, EXPERTS, TOWER
from safetensors.torch import save_file

from semerge import cli
from semerge.backbones.clip.model import open_text_tower
from semerge.backbones.weights import Found, describe, detect, open_base, open_expert
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.weight_files import open_weights
from semerge.common import UserError
from semerge.loading import load
from semerge.suites import read_suite

CLIP = fakes.hf_clip(BASE, TOWER)
ENCODER = {k.removeprefix("model."): x for k, x in fakes.image_encoder(EXPERTS[0], TOWER).items()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("base") / "pytorch_model.bin"
    return open_base(fakes.write_clip_model(path, CLIP), "hf-clip", VIT.shapes)


def read(found: Found, base: Checkpoint) -> None:
    """A file whose expert is the first one, in any layout of CLIP."""
    expert = open_expert(found.path, found.layout, VIT.shapes, base)
    assert set(expert) >= set(EXPERTS[0]) - {"proj"}
    for name, tensor in expert.items():
        assert torch.equal(tensor, EXPERTS[0][name]), name


def compiled_blocks(name: str) -> str:
    return name.replace("resblocks.1.", "resblocks.1._orig_mod.").replace(
        "layers.1.", "layers.1._orig_mod."
    )


NAMES: dict[str, Callable[[str], str]] = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "parallel": lambda name: f"module.{name}",
    "inside": lambda name: f"model.{name}",
    "all": lambda name: f"module.model._orig_mod.model.{name}",
    "peft": lambda name: f"base_model.model.{name}",
    "blocks": compiled_blocks,
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("form", ["open_clip", "transformers", "classifier"])
def test_attributes_around_a_model(tmp_path: Path, base: Checkpoint, form: str, names: str) -> None:
    wrap, path = NAMES[names], tmp_path / "x.pt"
    if form == "classifier":
        state = {f"transformer.{k}": x for k, x in BODIES[0].items()}
        torch.save(
            {wrap(k): x for k, x in {**state, "score.weight": torch.ones(2, 32)}.items()}, path
        )
        found = detect(path)
        assert (found.layout, found.shapes["score.weight"]) == ("gpt2-classifier", (2, 32))
        below = open_base(gpt2_fakes.write_gpt2(tmp_path / "b.pt", BODY), "gpt2", GPT.shapes)
        expert = open_expert(path, "gpt2-classifier", GPT.shapes, below)
        assert all(torch.equal(expert[k], x) for k, x in BODIES[0].items())
        return
    state = fakes.hf_tower(EXPERTS[0], "vision_model.") if form == "transformers" else ENCODER
    torch.save({wrap(k): x for k, x in state.items()}, path)
    found = detect(path)
    assert found.layout == ("fusionbench-clip" if form == "transformers" else "openclip-state-dict")
    read(found, base)


def test_a_name_in_a_wrapper_and_without_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({**ENCODER, "module.visual.proj": ENCODER["visual.proj"] + 1}, path)
    with pytest.raises(UserError, match="the same name twice, in a wrapper and without"):
        open_weights(path)


class Callback:
    """An object of a training script, which is not to be imported."""


class Parameters(dict[str, Any]):
    """As Lightning keeps them: a dictionary of its own kind."""


OPTIMISER = {"state": {"visual.proj": {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
SAVED: dict[str, dict[str, Any]] = {
    "state_dict": {"epoch": 3, "best": torch.tensor(0.9), "state_dict": ENCODER},
    "model": {"model": ENCODER, "optimizer": OPTIMISER, "args": ["a"]},
    "ema": {"ema": ENCODER, "step": 7},
    "deeper": {"checkpoint": {"model": ENCODER, "optim": OPTIMISER}, "epoch": 1},
    "lightning": {
        "pytorch-lightning_version": "2.4.0",
        "epoch": 3,
        "hyper_parameters": Parameters(lr=0.1, more=Namespace(a=[1])),
        "callbacks": {
            "ModelCheckpoint": {"best_model_score": torch.tensor(0.9)},
            "own": Callback(),
        },
        "optimizer_states": [OPTIMISER],
        "state_dict": {f"model.{k}": x for k, x in ENCODER.items()},
    },
}


@pytest.mark.parametrize("name", SAVED)
def test_what_is_saved_beside_a_model(tmp_path: Path, base: Checkpoint, name: str) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(SAVED[name], path)
    found = detect(path)
    assert found.layout == "openclip-state-dict"
    read(found, base)


def test_a_state_dict_with_more_beside_its_tensors_is_none(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({**ENCODER, "queue": {"a": torch.ones(3)}}, path)
    with pytest.raises(UserError, match="queue is no tensor"):
        detect(path)


def test_of_several_models_none_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"model": ENCODER, "ema": ENCODER, "optimizer": OPTIMISER}, path)
    with pytest.raises(UserError, match="holds several models, model, ema; save the one"):
        detect(path)


def test_an_object_in_a_script_s_file_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": ENCODER, "callbacks": Payload()}, path)
    assert detect(path).layout == "openclip-state-dict"
    assert not (tmp_path / "ran").exists()


# ---- shards and folders --------------------------------------------------------------------------


def write_shards(folder: Path, state: Weights, suffix: str = ".safetensors") -> Path:
    """A model in three shards, as transformers writes them; the index."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    names = sorted(state)
    index = {}
    for i in range(3):
        part = {name: state[name].contiguous() for name in names[i::3]}
        file = f"{stem}-{i + 1:05}-of-00003{suffix}"
        fakes.save(part, folder / file)
        index |= dict.fromkeys(part, file)
    path = folder / f"{stem}{suffix}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": index}), "utf-8")
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_with_an_index(tmp_path: Path, base: Checkpoint, suffix: str) -> None:
    index = write_shards(tmp_path, fakes.hf_tower(EXPERTS[0], "vision_model."), suffix)
    for named in (index, tmp_path):
        assert detect(named).path == index
        read(detect(named), base)


def test_one_shard_alone_is_told(tmp_path: Path) -> None:
    index = write_shards(tmp_path, CLIP)
    shard = tmp_path / "model-00002-of-00003.safetensors"
    with pytest.raises(UserError, match=r"one shard of 3, .*, or model\.safetensors\.index\.json"):
        detect(shard)
    whole = tmp_path / "model-00001-of-00001.safetensors"
    save_file(CLIP, whole)
    assert detect(whole).layout == "hf-clip"
    shard.unlink()
    with pytest.raises(UserError, match=r"00002-of-00003\.safetensors is missing: model"):
        detect(index)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_map": {"a": "../x.safetensors"}}, "must name a file beside it"),
        ({"weight_map": {"a": 3}}, "must name a file beside it"),
        ({}, "must name a file beside it"),
        ([], "must name a file beside it"),
        ({"weight_map": {"a": "model-00001-of-00003.safetensors"}}, "holds other tensors than"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, change: object, words: str) -> None:
    index = write_shards(tmp_path, CLIP)
    index.write_text(json.dumps(change), "utf-8")
    with pytest.raises(UserError, match=words):
        detect(index)


def test_a_model_s_folder(tmp_path: Path, base: Checkpoint) -> None:
    folder = tmp_path / "expert"
    fakes.write_vision_model(folder / "model.safetensors", EXPERTS[0])
    torch.save({}, folder / "optimizer.pt")
    read(detect(folder), base)
    fakes.write_lora(folder / "adapter_model.safetensors")
    assert detect(folder).layout == "peft-lora"
    other = tmp_path / "own"
    fakes.write_state_dict(other / "best.ckpt", ENCODER)
    read(detect(other), base)
    fakes.write_state_dict(other / "last.ckpt", ENCODER)
    with pytest.raises(UserError, match="own is a folder; name the file in it"):
        detect(other)


def test_shards_and_folders_make_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    words = ["--base", fakes.write_clip_model(tmp_path / "clip" / "model.safetensors", CLIP).parent]
    for name, state in zip("ab", EXPERTS[:2], strict=True):
        write_shards(tmp_path / name, fakes.hf_tower(state, "vision_model."))
        (tmp_path / name / "config.json").write_text('{"num_attention_heads": 2}', "utf-8")
        words += ["--expert", f"{name}={tmp_path / name}"]
    out = tmp_path / "out"
    assert cli.main(["init-suite", str(out), *map(str, words)]) == 0, capsys.readouterr().err
    task = read_suite(out).tasks[1]
    assert task.weights == "experts/b/model.safetensors.index.json"
    vectors = load(read_suite(out)).vectors
    for t in range(2):
        for name, tensor in vectors.expert(t).items():
            if name != "proj":
                assert torch.equal(tensor, EXPERTS[t][name])
    # a hash of a shard is compared as well
    raw = json.loads((out / "suite.json").read_text(encoding="utf-8"))
    raw["sha256"] = {"experts/b/model-00002-of-00003.safetensors": "0" * 64}
    (out / "suite.json").write_text(json.dumps(raw), "utf-8")
    with pytest.raises(UserError, match=r"00002-of-00003\.safetensors is not the file that suite"):
        load(read_suite(out))


# ---- classes of transformers, and what open_clip's files may hold --------------------------------


def test_a_vision_model_with_its_projection(tmp_path: Path, base: Checkpoint) -> None:
    state = fakes.hf_tower(EXPERTS[0], "vision_model.")
    state["visual_projection.weight"] = EXPERTS[0]["proj"].T
    fakes.save(state, tmp_path / "model.safetensors")
    found = detect(tmp_path / "model.safetensors")
    expert = open_expert(found.path, found.layout, VIT.shapes, base)
    assert found.layout == "fusionbench-clip"
    assert torch.equal(expert["proj"], EXPERTS[0]["proj"])
    read(found, base)


def test_a_whole_clip_model_as_an_expert(tmp_path: Path, base: Checkpoint) -> None:
    path = fakes.write_clip_model(tmp_path / "x.bin", fakes.hf_clip(EXPERTS[0], TOWER))
    found = detect(path)
    read(found, base)
    assert "proj" in open_expert(path, found.layout, VIT.shapes, base)
    fakes.write_clip_model(path, fakes.hf_clip(EXPERTS[0], fakes.tuned(TOWER, 5)))
    with pytest.raises(UserError, match="or with its text tower, which makes the heads"):
        open_expert(path, found.layout, VIT.shapes, base)


def openai(state: Weights) -> Weights:
    """OpenAI's own state dict: three scalars more."""
    scalars = {"input_resolution": 224, "context_length": 77, "vocab_size": 700}
    return {**state, **{name: torch.tensor(x) for name, x in scalars.items()}}


def with_text(vision: Weights) -> Weights:
    """open_clip's state dict with the whole text tower."""
    state = {f"visual.{name}": x for name, x in vision.items()}
    return {**state, **TOWER, "logit_scale": torch.tensor(50.0).log()}


def test_openai_s_three_scalars(tmp_path: Path, base: Checkpoint) -> None:
    path = fakes.write_state_dict(tmp_path / "x.pt", openai(ENCODER))
    found = detect(path)
    read(found, base)
    # they tell whose the model is, so nothing of its activation is assumed
    model, assumed = describe(found)
    assert model["quick_gelu"] is True and not any("QuickGELU" in x for x in assumed)
    other, assumed = describe(detect(fakes.write_state_dict(tmp_path / "y.pt", ENCODER)))
    assert other["quick_gelu"] is True and any("QuickGELU" in x for x in assumed)


@pytest.mark.parametrize("made", [with_text, lambda vision: openai(with_text(vision))])
def test_an_open_clip_base_with_a_text_tower_makes_the_heads(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Weights], Weights],
) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    options: list[object] = []
    for name, state in {"base": BASE, "a": EXPERTS[0], "b": EXPERTS[1]}.items():
        file = fakes.write_state_dict(tmp_path / name / "open_clip_pytorch_model.bin", made(state))
        config = {"embed_dim": 16, "quick_gelu": True, "text_cfg": TEXT}
        vision = {"image_size": 224, "patch_size": 32, "width": 32, "head_width": 16}
        beside = {"model_cfg": {**config, "vision_cfg": vision}, "preprocess_cfg": {}}
        (file.parent / "open_clip_config.json").write_text(json.dumps(beside), "utf-8")
        options += ["--base", file] if name == "base" else ["--expert", f"{name}={file}"]
    out = tmp_path / "out"
    assert cli.main(["init-suite", str(out), *map(str, options)]) == 0, capsys.readouterr().err
    suite = read_suite(out)
    assert suite.head_source == "text-tower" and suite.text_tower is None
    assert suite.architecture["text_cfg"] == TEXT
    path = suite.path(suite.base_weights)
    tower = open_text_tower(path, suite.base_layout, 16, TEXT)
    assert set(tower) == set(TOWER)
    assert all(torch.equal(tower[name], x) for name, x in TOWER.items())
    # the same heads as by transformers' names
    clip = fakes.write_clip_model(tmp_path / "clip" / "x.bin", CLIP)
    raw = json.loads((out / "suite.json").read_text(encoding="utf-8"))
    heads = load(read_suite(out)).heads
    (out / "text_tower").mkdir()
    (out / "text_tower" / "x.bin").write_bytes(clip.read_bytes())
    raw["text_tower"] = {"weights": "text_tower/x.bin", "layout": "hf-clip"}
    (out / "suite.json").write_text(json.dumps(raw), "utf-8")
    for name, head in load(read_suite(out)).heads.items():
        assert torch.equal(head, heads[name])


def test_a_pickle_s_names_are_unwrapped_too(tmp_path: Path, base: Checkpoint) -> None:
    path = write_pickled(tmp_path / "x.pt", fakes.image_encoder(EXPERTS[0], TOWER))
    found = detect(path)
    assert found.layout == "openclip-pickle" and "visual.proj" in found.shapes
    read(found, base)
