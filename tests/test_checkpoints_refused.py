"""Each kind of damage to a published file has an error of its own, which names file and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from gpt2_fakes import GPT
from pickled_fakes import write_pickled, write_pickled_head
from published_fakes import CLIP_ARCHITECTURE, TEXT, VIT, Weights
from safetensors.torch import load_file, save_file

from semerge.backbones.clip.model import open_text_tower
from semerge.backbones.gpt2.model import read_score
from semerge.backbones.weights import check_config, open_base, open_expert
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.pickled import read_head
from semerge.common import UserError
from semerge.loading import check_lineage
from semerge.task_vectors import TaskVectors

BASE = fakes.random_weights(VIT.shapes, 0)
EXPERT = fakes.tuned(BASE, 1)
TOWER = fakes.text_weights(2)
BODY = fakes.random_weights(GPT.shapes, 3)
GPT_ARCHITECTURE = {"kind": "gpt2", "n_head": 2, "n_layer": 2, "pad_id": 299}
Q = "vision_model.encoder.layers.1.self_attn.q_proj.weight"
CONV = "vision_model.embeddings.patch_embedding.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("base") / "pytorch_model.bin"
    fakes.write_clip_model(path, fakes.hf_clip(BASE, TOWER))
    return open_base(path, "hf-clip", VIT.shapes)


def edit(path: Path, change: Callable[[Weights], object]) -> Path:
    tensors = load_file(path)
    change(tensors)
    save_file({key: x.contiguous() for key, x in tensors.items()}, path)
    return path


def refusal(path: Path, layout: str, base: Checkpoint) -> str:
    """The sentence that opening an expert and reading all of it ends with."""
    shapes = GPT.shapes if "gpt2" in layout else VIT.shapes
    with pytest.raises(UserError) as caught:
        dict(open_expert(path, layout, shapes, base))
    return str(caught.value)


DAMAGE: dict[str, tuple[Callable[[Weights], object], str]] = {
    "missing": (lambda t: t.pop(Q), f"{Q} is missing."),
    "extra": (lambda t: t.update(odd=torch.zeros(1)), "odd is not a known key."),
    "shape": (lambda t: t.update({Q: t[Q][:8]}), f"{Q} has shape (8, 32), not (32, 32)."),
    "patch": (
        lambda t: t.update({CONV: t[CONV][..., :16, :16]}),
        f"{CONV} has shape (32, 3, 16, 16), not (32, 3, 32, 32).",
    ),
    "type": (
        lambda t: t.update({Q: t[Q].int()}),
        f"{Q} holds torch.int32, not floating point numbers.",
    ),
    "nan": (lambda t: t[Q].view(-1)[5].fill_(torch.nan), f"{Q} holds values that are not finite."),
    "infinity": (lambda t: t[Q].view(-1)[5].fill_(-torch.inf), f"{Q} holds values that are not"),
    "text tower": (
        lambda t: t.update({"text_model.final_layer_norm.bias": torch.zeros(2)}),
        "text_model.final_layer_norm.bias is not a known key.",
    ),
    "half prefixed": (
        lambda t: t.update({Q.removeprefix("vision_model."): t.pop(Q)}),
        f"{Q} is missing.",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_to_a_vision_model(tmp_path: Path, base: Checkpoint, kind: str) -> None:
    change, words = DAMAGE[kind]
    path = edit(fakes.write_vision_model(tmp_path / "model.safetensors", EXPERT), change)
    assert f"{path}: {words}" in refusal(path, "fusionbench-clip", base)


@pytest.mark.parametrize("file", ["model.safetensors", "finetuned.pt", "old.pt", "bare.pt"])
def test_a_file_that_was_cut(tmp_path: Path, base: Checkpoint, file: str) -> None:
    path, state = tmp_path / file, fakes.image_encoder(EXPERT, TOWER)
    layout = "openclip-state-dict"
    if file == "model.safetensors":
        fakes.write_vision_model(path, EXPERT)
        layout = "fusionbench-clip"
    elif file == "bare.pt":
        write_pickled(path, state, bare=True)
        layout = "openclip-pickle"
    else:
        torch.save(state, path, _use_new_zipfile_serialization=file != "old.pt")
    path.write_bytes(path.read_bytes()[:-1000])
    assert f"{path} can't be read as" in refusal(path, layout, base)
    path.write_bytes(b"")
    assert f"{path} can't be read as" in refusal(path, layout, base)
    path.unlink()
    assert refusal(path, layout, base) == f"{path} is missing."


def test_what_is_no_dictionary_of_tensors(tmp_path: Path, base: Checkpoint) -> None:
    path = tmp_path / "finetuned.pt"
    torch.save([torch.zeros(1)], path)
    assert f"{path} holds a list, not tensors by name." in refusal(
        path, "openclip-state-dict", base
    )
    torch.save({"epoch": 3}, path)
    assert f"{path}: epoch is no tensor." in refusal(path, "openclip-state-dict", base)


@pytest.mark.parametrize("layout", ["openclip-state-dict", "openclip-pickle"])
def test_an_expert_of_another_base_is_told_by_its_left_overs(
    tmp_path: Path, base: Checkpoint, layout: str
) -> None:
    state = fakes.image_encoder(EXPERT, fakes.text_weights(9))
    write = write_pickled if layout == "openclip-pickle" else fakes.write_state_dict
    path = write(tmp_path / "finetuned.pt", state)
    words = f"{path}: positional_embedding of the text tower is not that of {base.path}"
    assert words in refusal(path, layout, base)


def vectors(*experts: Weights) -> TaskVectors:
    return TaskVectors(BASE, experts, VIT.segments)


def test_experts_that_can_not_be_of_this_base() -> None:
    names, paths = ("mnist", "dtd"), (Path("a"), Path("b"))
    other = fakes.tuned(BASE, 2)
    check_lineage(vectors(EXPERT, other), names, paths)
    with pytest.raises(UserError, match=r"b: the expert of dtd is the same as that of mnist, a\."):
        check_lineage(vectors(EXPERT, EXPERT), names, paths)
    with pytest.raises(UserError, match=r"b: the expert of dtd is the base itself\."):
        check_lineage(vectors(EXPERT, BASE), names, paths)
    foreign = fakes.random_weights(VIT.shapes, 77)
    with pytest.raises(UserError, match=r"a: the expert of mnist is 1\.\d\d times .* another base"):
        check_lineage(vectors(foreign, EXPERT), names, paths)


def test_damage_to_a_base(tmp_path: Path) -> None:
    path = fakes.write_clip_model(tmp_path / "model.safetensors", fakes.hf_clip(BASE, TOWER))
    edit(path, lambda t: t.pop("visual_projection.weight"))
    with pytest.raises(UserError, match=r"visual_projection\.weight is missing"):
        open_base(path, "hf-clip", VIT.shapes)
    edit(path, lambda t: t.pop("text_model.final_layer_norm.bias"))
    with pytest.raises(UserError, match=r"text_model\.final_layer_norm\.bias is missing"):
        open_text_tower(path, "hf-clip", 16, TEXT)
    edit(path, lambda t: t.update(logit_scale=torch.tensor(torch.nan)))
    with pytest.raises(UserError, match="visual_projection"):
        open_base(path, "hf-clip", VIT.shapes)


def test_a_swapped_task_is_told_by_the_rows_of_its_head(tmp_path: Path) -> None:
    path = gpt2_fakes.write_classifier(tmp_path / "mnli.safetensors", BODY, torch.randn(3, 32))
    with pytest.raises(UserError, match=r"score\.weight is \(3, 32\), not \(2, 32\)"):
        read_score(path, 2, 32)
    below = gpt2_fakes.write_gpt2(tmp_path / "base.safetensors", BODY)
    with pytest.raises(UserError, match=r"score\.weight is missing"):
        read_score(below, 2, 32)
    head = write_pickled_head(tmp_path / "head_MNIST.pt", 50 * torch.eye(10, 16))
    with pytest.raises(UserError, match=r"weight is \(10, 16\), not \(43, 16\)"):
        read_head(head, 43, 16, 50.0)


def test_heads_that_are_not_zero_shot(tmp_path: Path) -> None:
    path, weight = tmp_path / "head.pt", 50 * torch.eye(3, 16)
    with pytest.raises(UserError, match="lengths 50 to 50, not the logit scale 100"):
        read_head(write_pickled_head(path, weight), 3, 16, 100.0)
    with pytest.raises(UserError, match="bias is not zero"):
        read_head(write_pickled_head(path, weight, torch.ones(3)), 3, 16, 50.0)
    with pytest.raises(UserError, match="normalize is not set"):
        read_head(write_pickled_head(path, weight, normalize=False), 3, 16, 50.0)
    weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"head\.pt: weight holds values that are not finite"):
        read_head(write_pickled_head(path, weight), 3, 16, 50.0)


def test_damage_to_gpt2(tmp_path: Path) -> None:
    base = open_base(gpt2_fakes.write_gpt2(tmp_path / "b.safetensors", BODY), "gpt2", GPT.shapes)
    path = gpt2_fakes.write_classifier(tmp_path / "model.safetensors", BODY, torch.randn(2, 32))
    name = "transformer.h.0.attn.c_attn.weight"
    edit(path, lambda t: t.update({name: t[name].T}))
    assert f"{name} has shape (96, 32), not (32, 96)." in refusal(path, "gpt2-classifier", base)
    edit(path, lambda t: t.pop(name))
    assert f"{name} is missing." in refusal(path, "gpt2-classifier", base)


LORA = "base_model.model.vision_model.encoder.layers.0.self_attn.q_proj.lora_{}.weight"
LORA_DAMAGE: dict[str, tuple[Callable[[Weights], object], str]] = {
    "half a pair": (lambda t: t.pop(LORA.format("A")), "is there, but no lora_A."),
    "rank": (lambda t: t.update({LORA.format("A"): torch.zeros(5, 32)}), "not (4, 32)."),
    "width": (lambda t: t.update({LORA.format("B"): torch.zeros(33, 4)}), "not (32, 4)."),
    "nan": (lambda t: t[LORA.format("B")].fill_(torch.nan), "not finite"),
    "type": (
        lambda t: t.update({LORA.format("B"): t[LORA.format("B")].int()}),
        "not floating point numbers.",
    ),
    "extra": (lambda t: t.update(odd=torch.zeros(1)), "odd is not a known key."),
    "empty": (lambda t: t.clear(), "holds no adapters."),
}


@pytest.mark.parametrize("kind", LORA_DAMAGE)
def test_damage_to_adapters(tmp_path: Path, base: Checkpoint, kind: str) -> None:
    change, words = LORA_DAMAGE[kind]
    path = edit(fakes.write_lora(tmp_path / "adapter_model.safetensors"), change)
    assert words in refusal(path, "peft-lora", base)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3', not 'LORA'."),
        ({"use_dora": True}, "use_dora is True, which can't be run"),
        ({"bias": "all"}, "bias is 'all', which can't be run"),
        ({"rank_pattern": {"(a+)+b": 2}}, "rank_pattern has '(a+)+b', a regular expression"),
        ({"rank_pattern": [1]}, "rank_pattern has [1], a regular expression"),
        ({"alpha_pattern": {"q_proj": -1}}, "q_proj is -1, not a positive number."),
        ({"lora_alpha": None}, "lora_alpha is None, not a positive number."),
        ({"lora_alpha": 1e307}, "lora_alpha is 1e+307, not a positive number."),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf, not a positive number."),
        ({"r": float("inf")}, "r is inf, not a positive number."),
        ({"r": 2.5}, "r is 2.5, not a whole number."),
    ],
)
def test_adapters_that_are_not_plain(
    tmp_path: Path, base: Checkpoint, change: dict[str, object], words: str
) -> None:
    path = fakes.write_lora(tmp_path / "adapter_model.safetensors")
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert f"{file}: {words}" in refusal(path, "peft-lora", base)
    file.unlink()
    assert f"{file} is missing" in refusal(path, "peft-lora", base)


CONFIG_DAMAGE = [
    ("fusionbench-clip", {"hidden_act": "gelu"}, "these weights need GELU"),
    ("fusionbench-clip", {"hidden_act": "relu"}, "'relu' is not quick_gelu or gelu"),
    ("fusionbench-clip", {"num_attention_heads": 4}, "num_attention_heads is 4"),
    ("fusionbench-clip", {"layer_norm_eps": 1e-6}, "layer_norm_eps is 1e-06"),
    ("hf-clip", {"vision_config": {"hidden_act": "gelu"}}, "these weights need GELU"),
    ("gpt2-classifier", {"activation_function": "relu"}, "'relu' is not gelu_new"),
    ("gpt2-classifier", {"n_head": 4}, "n_head is 4"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "only False can be run"),
    ("gpt2-classifier", {"pad_token_id": 0}, "pad_token_id is 0"),
]


@pytest.mark.parametrize(("layout", "config", "words"), CONFIG_DAMAGE)
def test_a_config_that_disagrees(
    tmp_path: Path, layout: str, config: dict[str, object], words: str
) -> None:
    file = tmp_path / "config.json"
    architecture = GPT_ARCHITECTURE if "gpt2" in layout else CLIP_ARCHITECTURE
    path = tmp_path / "model.safetensors"
    for fine in ({}, {"pad_token_id": None, "hidden_act": "quick_gelu"}):
        file.write_text(json.dumps(fine))
        check_config({}, path, layout, architecture)
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=words) as caught:
        check_config({}, path, layout, architecture)
    assert str(file) in str(caught.value)
    file.write_text("{")
    with pytest.raises(UserError, match="can't be read as JSON"):
        check_config({}, path, layout, architecture)
    file.write_text("[]")
    with pytest.raises(UserError, match="holds no JSON object"):
        check_config({}, path, layout, architecture)


@pytest.mark.parametrize("layout", ["hf-clip", "fusionbench-clip"])
def test_plain_gelu_is_refused_for_openai_weights(tmp_path: Path, layout: str) -> None:
    plain = {**CLIP_ARCHITECTURE, "quick_gelu": False}
    with pytest.raises(UserError, match=r"need QuickGELU, .* quick_gelu false"):
        check_config({}, tmp_path / "model.safetensors", layout, plain)


def test_a_pickle_tells_its_activation(tmp_path: Path) -> None:
    state = fakes.image_encoder(EXPERT, TOWER)
    for quick in (True, False):
        path = write_pickled(tmp_path / f"{quick}.pt", state, quick=quick)
        model = open_base(path, "openclip-pickle", VIT.shapes)
        fits, other = ({**CLIP_ARCHITECTURE, "quick_gelu": q} for q in (quick, not quick))
        check_config(model, path, "openclip-pickle", fits)
        with pytest.raises(UserError, match="these weights need"):
            check_config(model, path, "openclip-pickle", other)


def test_another_logit_scale_is_refused(base: Checkpoint) -> None:
    check_config(base, base.path, "hf-clip", CLIP_ARCHITECTURE)
    with pytest.raises(UserError, match=r"logit_scale is 50, but suite\.json's .* has 100"):
        check_config(base, base.path, "hf-clip", {**CLIP_ARCHITECTURE, "logit_scale": 100.0})
