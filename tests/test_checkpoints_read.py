"""Every published layout, as a small fake (F1 to F9), is read exactly, to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from gpt2_fakes import GPT
from pickled_fakes import write_pickled, write_pickled_head
from published_fakes import TEXT, VIT, Weights
from torch import Tensor

from semerge.backbones.clip.model import open_text_tower
from semerge.backbones.gpt2.model import read_score
from semerge.backbones.weights import detect, open_base, open_expert
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.pickled import read_head
from semerge.checkpoints.rawfile import BUDGET, RawFile
from semerge.checkpoints.weight_files import open_raw
from semerge.common import UserError
from semerge.suites import suite

BASE = fakes.random_weights(VIT.shapes, 0)
EXPERT = fakes.tuned(BASE, 1)
TOWER = fakes.text_weights(2)
CLIP = fakes.hf_clip(BASE, TOWER)
BODY = fakes.random_weights(GPT.shapes, 3)


def base(folder: Path) -> Checkpoint:
    path = fakes.write_clip_model(folder / "base" / "pytorch_model.bin", CLIP)
    return open_base(path, "hf-clip", VIT.shapes)


def equal(read: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(read) == set(expected)
    for name, tensor in expected.items():
        found = read[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, tensor), name


def without_projection(weights: Weights) -> Weights:
    return {name: x for name, x in weights.items() if name != "proj"}


@pytest.mark.parametrize("position_ids", [False, True])
@pytest.mark.parametrize("prefixed", [True, False])
def test_fusionbench_clip(tmp_path: Path, prefixed: bool, position_ids: bool) -> None:
    path = tmp_path / "expert" / "model.safetensors"
    fakes.write_vision_model(path, EXPERT, prefixed, position_ids)
    read = open_expert(path, "fusionbench-clip", VIT.shapes, base(tmp_path))
    equal(read, without_projection(EXPERT))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_hf_clip(tmp_path: Path, name: str) -> None:
    path = fakes.write_clip_model(tmp_path / name, CLIP)
    read = open_base(path, "hf-clip", VIT.shapes)
    equal(read, BASE)
    assert read.logit_scale == pytest.approx(50)
    equal(open_text_tower(path, "hf-clip", 16, TEXT), TOWER)


@pytest.mark.parametrize("model_name", [False, True])
def test_open_clip_state_dict(tmp_path: Path, model_name: bool) -> None:
    state = fakes.image_encoder(EXPERT, TOWER)
    path = fakes.write_state_dict(tmp_path / "MNISTVal" / "finetuned.pt", state, model_name)
    equal(open_expert(path, "openclip-state-dict", VIT.shapes, base(tmp_path)), EXPERT)


@pytest.mark.parametrize("prefix", ["visual.", "model.", ""])
def test_open_clip_state_dict_of_the_image_tower_alone(tmp_path: Path, prefix: str) -> None:
    state = {f"{prefix}{name}": x for name, x in EXPERT.items()}
    path = fakes.write_state_dict(tmp_path / "finetuned.pt", state)
    assert detect(path).layout == "openclip-state-dict"
    equal(open_expert(path, "openclip-state-dict", VIT.shapes, base(tmp_path)), EXPERT)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("bare", [False, True])
def test_pickled_encoder(tmp_path: Path, bare: bool, quick: bool) -> None:
    state = fakes.image_encoder(EXPERT, TOWER)
    path = write_pickled(tmp_path / "finetuned.pt", state, bare, quick)
    read = open_expert(path, "openclip-pickle", VIT.shapes, base(tmp_path))
    equal(read, EXPERT)
    assert isinstance(read, Checkpoint) and read.quick_gelu is quick
    assert open_base(path, "openclip-pickle", VIT.shapes).logit_scale == pytest.approx(50)


def test_pickled_head_is_taken_without_the_logit_scale(tmp_path: Path) -> None:
    unit = torch.nn.functional.normalize(torch.randn(5, 16), dim=-1)
    path = write_pickled_head(tmp_path / "head_MNIST.pt", 50 * unit)
    assert torch.equal(read_head(path, 5, 16, 50.0), 50 * unit / 50)


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_gpt2_classifier(tmp_path: Path, name: str, masks: bool, labels: int) -> None:
    below = gpt2_fakes.write_gpt2(tmp_path / "base" / "model.safetensors", BODY)
    body, score = fakes.tuned(BODY, 4), torch.randn(labels, GPT.width)
    pad = None if masks else 299
    path = gpt2_fakes.write_classifier(tmp_path / "expert" / name, body, score, masks, pad=pad)
    equal(
        open_expert(path, "gpt2-classifier", GPT.shapes, open_base(below, "gpt2", GPT.shapes)), body
    )
    assert torch.equal(read_score(path, labels, GPT.width), score)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("head", [False, True])
def test_gpt2_base(tmp_path: Path, masks: bool, head: bool) -> None:
    path = gpt2_fakes.write_gpt2(tmp_path / "model.safetensors", BODY, masks, head)
    equal(open_base(path, "gpt2", GPT.shapes), BODY)


def test_gpt2_base_with_prefix(tmp_path: Path) -> None:
    state = {f"transformer.{name}": x for name, x in BODY.items()}
    path = fakes.write_state_dict(tmp_path / "pytorch_model.bin", state)
    equal(open_base(path, "gpt2", GPT.shapes), BODY)


@pytest.mark.parametrize(("slora", "scale"), [(False, 2.0), (True, 4.0)])
def test_lora_is_merged(tmp_path: Path, slora: bool, scale: float) -> None:
    path = fakes.write_lora(tmp_path / "adapter" / "adapter_model.safetensors", rank=4, alpha=8)
    config = path.parent / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_rslora": slora}))
    read = open_expert(path, "peft-lora", VIT.shapes, base(tmp_path))
    stored = open_raw(path)
    assert set(read) == {f"transformer.resblocks.{i}.attn.in_proj_weight" for i in range(2)}
    for i in range(2):
        name = f"transformer.resblocks.{i}.attn.in_proj_weight"
        q, k, v = BASE[name].chunk(3)
        at = (
            f"base_model.model.vision_model.encoder.layers.{i}.self_attn.{{}}_proj.lora_{{}}.weight"
        )
        change = {
            letter: scale
            * (stored.tensor(at.format(letter, "B")) @ stored.tensor(at.format(letter, "A")))
            for letter in "qv"
        }
        expected = torch.cat([q + change["q"], k, v + change["v"]])
        assert torch.allclose(read[name], expected, atol=1e-6)
        assert torch.equal(read[name].chunk(3)[1], k)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    half = {name: x.half() for name, x in EXPERT.items()}
    path = fakes.write_vision_model(tmp_path / "model.safetensors", half)
    read = open_expert(path, "fusionbench-clip", VIT.shapes, base(tmp_path))
    equal(read, {name: x.float() for name, x in without_projection(half).items()})


def test_a_state_dict_from_before_torch_1_6_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(CLIP, path, _use_new_zipfile_serialization=False)
    equal(open_base(path, "hf-clip", VIT.shapes), BASE)


def test_a_file_lets_go_of_its_map(tmp_path: Path) -> None:
    opened = []

    def load() -> Weights:
        opened.append(True)
        return {"a": torch.zeros(BUDGET // 8), "b": torch.ones(BUDGET // 8)}

    raw = RawFile(tmp_path, load)
    assert raw.tensor("a").sum() == 0 and len(opened) == 1
    assert raw.tensor("b").sum() == BUDGET // 8 and len(opened) == 1  # the budget is used up now
    assert raw.tensor("a").sum() == 0 and len(opened) == 2


def test_every_layout_of_a_suite_file_has_a_reader(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    openers: list[tuple[tuple[str, ...], Callable[[str], object]]] = [
        (suite.BASE_LAYOUTS, lambda layout: open_base(nowhere, layout, VIT.shapes)),
        (suite.EXPERT_LAYOUTS, lambda x: open_expert(nowhere, x, VIT.shapes, base(tmp_path))),
    ]
    for layouts, opener in openers:
        for layout in layouts:
            with pytest.raises(UserError, match="is missing"):
                opener(layout)
        with pytest.raises(UserError, match="'onnx' is no layout of"):
            opener("onnx")
    with pytest.raises(UserError, match="'gpt2' is no layout of a text tower"):
        open_text_tower(nowhere, "gpt2", 16, TEXT)
