"""Adapters: which keys of their config may be set, what patterns and GPT-2's layers mean."""

from __future__ import annotations

import json
from pathlib import Path

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from gpt2_fakes import GPT
from published_fakes import VIT, Weights
from published_suites import BODY, clip_suite, write_suite
from safetensors.torch import load_file, save_file
from torch import Tensor

from semerge import cli
from semerge.backbones.weights import detect, open_base, open_expert
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.common import UserError
from semerge.engine import load_engine
from semerge.inputs import CleanText
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.suite import BASE_LAYOUTS, EXPERT_LAYOUTS

BASE = fakes.random_weights(VIT.shapes, 0)
# As PEFT 0.17 writes it: every key of a config that asks for nothing but LoRA.
WRITTEN = {
    "alpha_pattern": {},
    "auto_mapping": None,
    "base_model_name_or_path": "openai/clip-vit-base-patch32",
    "bias": "none",
    "corda_config": None,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 8,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "qalora_group_size": 16,
    "r": 4,
    "rank_pattern": {},
    "revision": None,
    "target_modules": ["q_proj", "v_proj"],
    "target_parameters": None,
    "task_type": None,
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}
CHANGING = {
    "init_lora_weights": ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "new"],
    "use_dora": [True],
    "use_qalora": [True],
    "lora_bias": [True],
    "bias": ["all", "lora_only"],
    "layer_replication": [[[0, 1], [0, 1]]],
    "loftq_config": [{"loftq_bits": 4}],
    "corda_config": [{"corda_method": "ipm"}],
    "megatron_config": [{"a": 1}],
    "target_parameters": [["weight"]],
    "trainable_token_indices": [[1]],
    "alora_invocation_tokens": [[1, 2]],
    "a_key_of_tomorrow": [True, 1, "x", [0], {"a": 0}],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("base") / "pytorch_model.bin"
    fakes.write_clip_model(path, fakes.hf_clip(BASE, fakes.text_weights(2)))
    return open_base(path, "hf-clip", VIT.shapes)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("body") / "model.safetensors"
    return open_base(gpt2_fakes.write_gpt2(path, BODY), "gpt2", GPT.shapes)


def configure(path: Path, **changes: object) -> Path:
    file = path.with_name("adapter_config.json")
    file.write_text(json.dumps({**WRITTEN, **changes}), encoding="utf-8")
    return file


def test_a_config_as_peft_writes_it_is_read(tmp_path: Path, base: Checkpoint) -> None:
    path = fakes.write_lora(tmp_path / "adapter_model.safetensors")
    first = dict(open_expert(path, "peft-lora", VIT.shapes, base))
    for start in (True, False, "gaussian", "eva", "orthogonal"):
        for way in (True, False):  # a linear layer keeps W as (out, in), whatever is said
            configure(path, init_lora_weights=start, fan_in_fan_out=way)
            again = open_expert(path, "peft-lora", VIT.shapes, base)
            assert all(torch.equal(again[name], x) for name, x in first.items())


@pytest.mark.parametrize("key", CHANGING)
def test_what_is_not_known_to_be_harmless_is_refused(
    tmp_path: Path, base: Checkpoint, key: str
) -> None:
    path = fakes.write_lora(tmp_path / "adapter_model.safetensors")
    for value in CHANGING[key]:
        file = configure(path, **{key: value})
        with pytest.raises(UserError, match=r"Merge them with PEFT's merge_and_unload\(\)") as told:
            open_expert(path, "peft-lora", VIT.shapes, base)
        assert str(told.value).startswith(f"{file}: {key} is ")


def change(path: Path, key: str, scale: float) -> Tensor:
    """s B A of a module, from the file as it is."""
    stored = load_file(path)
    return scale * (stored[f"{key}.lora_B.weight"] @ stored[f"{key}.lora_A.weight"])


def test_a_module_may_have_its_own_rank_and_alpha(tmp_path: Path, base: Checkpoint) -> None:
    path = fakes.write_lora(tmp_path / "adapter_model.safetensors", rank=4, alpha=8)
    at = "base_model.model.vision_model.encoder.layers.{}.self_attn.{}_proj"
    tensors = load_file(path)
    for layer in range(2):  # v_proj has two of the four ranks
        tensors[f"{at.format(layer, 'v')}.lora_A.weight"] = torch.randn(2, 32)
        tensors[f"{at.format(layer, 'v')}.lora_B.weight"] = torch.randn(32, 2)
    save_file(tensors, path)
    configure(
        path,
        rank_pattern={"v_proj": 2},
        alpha_pattern={"layers.1.self_attn.q_proj": 16, "^vision_model.encoder.layers.0": 99},
    )
    read = open_expert(path, "peft-lora", VIT.shapes, base)
    scales = {(0, "q"): 8 / 4, (1, "q"): 16 / 4, (0, "v"): 8 / 2, (1, "v"): 8 / 2}
    for layer in range(2):
        name = f"transformer.resblocks.{layer}.attn.in_proj_weight"
        q, k, v = (read[name] - BASE[name]).chunk(3)
        for letter, found in (("q", q), ("v", v)):
            expected = change(path, at.format(layer, letter), scales[layer, letter])
            assert torch.allclose(found, expected, atol=1e-6)
        assert not k.any()
    # with rsLoRA the root counts, of the module's own rank
    configure(path, rank_pattern={"v_proj": 2}, use_rslora=True)
    read = open_expert(path, "peft-lora", VIT.shapes, base)
    name = "transformer.resblocks.0.attn.in_proj_weight"
    expected = change(path, at.format(0, "v"), 8 / 2**0.5)
    assert torch.allclose((read[name] - BASE[name]).chunk(3)[2], expected, atol=1e-5)
    # PEFT sorts what it saves, so the order in which two keys were meant is lost
    configure(path, rank_pattern={"v_proj": 2}, alpha_pattern={"q_proj": 3, "self_attn.q_proj": 5})
    with pytest.raises(UserError, match=r"q_proj, self_attn\.q_proj of alpha_pattern are all of"):
        open_expert(path, "peft-lora", VIT.shapes, base)
    configure(path, rank_pattern={"v_proj": 2}, alpha_pattern={"q_proj": 3, "self_attn.q_proj": 3})
    open_expert(path, "peft-lora", VIT.shapes, base)
    # and what does not fit the tensors is told
    configure(path, rank_pattern={"v_proj": 3})
    with pytest.raises(
        UserError, match=r"v_proj\.lora_A\.weight has shape \(2, 32\), not \(3, 32\)"
    ):
        open_expert(path, "peft-lora", VIT.shapes, base)


@pytest.mark.parametrize("way", [True, False, None])
@pytest.mark.parametrize("wrapped", [True, False])
def test_adapters_of_gpt2(
    tmp_path: Path, body: Checkpoint, way: bool | None, wrapped: bool
) -> None:
    path = gpt2_fakes.write_adapters(tmp_path / "adapter_model.safetensors", None)
    configure(path, fan_in_fan_out=way, base_model_name_or_path="gpt2")
    at = "base_model.model.transformer."
    if not wrapped:  # adapters of a GPT2Model
        save_file({k.replace(at, at[:17]): x for k, x in load_file(path).items()}, path)
        at = at[:17]
    assert detect(path).layout == "gpt2-lora"
    read = open_expert(path, "gpt2-lora", GPT.shapes, body)
    modules = ("attn.c_attn", "mlp.c_proj")
    assert set(read) == {f"h.{i}.{name}.weight" for i in range(2) for name in modules}
    for name in read:
        expected = change(path, at + name.removesuffix(".weight"), 8 / 4)  # (out, in)
        assert torch.allclose(read[name] - BODY[name], expected.T, atol=1e-6)


@pytest.mark.parametrize(
    "head", ["score.weight", "score.modules_to_save.weight", "score.modules_to_save.default.weight"]
)
def test_adapters_of_gpt2_bring_their_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    below = gpt2_fakes.write_gpt2(tmp_path / "base" / "model.safetensors", BODY)
    gpt2_fakes.write_tokenizer(below.parent)
    (below.parent / "config.json").write_text('{"n_head": 2}', encoding="utf-8")
    scores = [torch.randn(2 + t, GPT.width) for t in range(2)]
    options: list[str] = ["--base", str(below)]
    for t in range(2):
        file = tmp_path / f"t{t}" / "adapter_model.safetensors"
        gpt2_fakes.write_adapters(file, scores[t], seed=t, head=head)
        options += ["--expert", f"t{t}={file}"]
    assert cli.main(["init-suite", str(tmp_path / "out"), *options]) == 0
    assert "t1: gpt2-lora, 3 classes" in capsys.readouterr().out
    # the whole models that merge_and_unload() would give answer the same
    whole = tmp_path / "whole"
    gpt2_fakes.write_gpt2(whole / "base.safetensors", BODY)
    gpt2_fakes.write_tokenizer(whole)
    tasks = []
    for t in range(2):
        path = tmp_path / f"t{t}" / "adapter_model.safetensors"
        merged: Weights = dict(BODY)
        for key in load_file(path):
            module = key.removeprefix("base_model.model.transformer.").partition(".lora_A")
            if module[1]:
                at = key.partition(".lora_")[0]
                merged[f"{module[0]}.weight"] = BODY[f"{module[0]}.weight"] + change(path, at, 2).T
        file = whole / f"t{t}" / "model.safetensors"
        gpt2_fakes.write_classifier(file, merged, scores[t])
        tasks.append({"name": f"t{t}", "weights": f"t{t}/model.safetensors"})
        tasks[-1] |= {"layout": "gpt2-classifier", "classes": [f"class {i}" for i in range(2 + t)]}
    architecture = {**read_suite(tmp_path / "out").architecture, "tokenizer": "vocab.json"}
    base = {"weights": "base.safetensors", "layout": "gpt2"}
    write_suite(whole, architecture, base, tasks, {"from": "expert"})
    one, other = (
        load_engine(x).predict(CleanText("the cat"), Settings(layer=2))
        for x in (tmp_path / "out", whole)
    )
    assert one.chosen == other.chosen
    assert one.distances == pytest.approx(other.distances, rel=1e-4)
    for found, expected in zip(one.predictions["se"], other.predictions["se"], strict=True):
        assert found.label == expected.label
        assert found.score == pytest.approx(expected.score, abs=1e-4)


def test_adapters_without_their_head_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = gpt2_fakes.write_gpt2(tmp_path / "base" / "model.safetensors", BODY)
    gpt2_fakes.write_tokenizer(below.parent)
    adapters = gpt2_fakes.write_adapters(tmp_path / "a" / "adapter_model.safetensors", None)
    other = gpt2_fakes.write_classifier(
        tmp_path / "b" / "model.safetensors", BODY, torch.ones(2, 32)
    )
    words = ["--base", below, "--expert", f"a={adapters}", "--expert", f"b={other}"]
    assert cli.main(["init-suite", str(tmp_path / "out"), *map(str, words)]) == 2
    told = capsys.readouterr().err
    assert "holds no score.weight" in told and "modules_to_save" in told and told.count("\n") == 1


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.transformer.wte.lora_embedding_A",
        "base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector",
        "base_model.model.transformer.ln_f.weight",
        "base_model.model.transformer.h.0.attn.c_attn.bias",
    ],
)
def test_what_else_lies_among_adapters_is_refused(
    tmp_path: Path, body: Checkpoint, key: str
) -> None:
    path = gpt2_fakes.write_adapters(tmp_path / "adapter_model.safetensors", None)
    save_file({**load_file(path), key: torch.ones(2)}, path)
    with pytest.raises(UserError, match=r"is not a known key\. Merge .*merge_and_unload\(\)"):
        open_expert(path, "gpt2-lora", GPT.shapes, body)


# ---- layouts and kinds ---------------------------------------------------------------------------


@pytest.mark.parametrize("layout", sorted({*BASE_LAYOUTS, *EXPERT_LAYOUTS} - {"semerge"}))
@pytest.mark.parametrize("place", ["base", "task", "text_tower"])
@pytest.mark.parametrize("kind", ["open_clip", "gpt2"])
def test_a_layout_of_another_kind_is_refused(
    tmp_path: Path, kind: str, place: str, layout: str
) -> None:
    from published_suites import gpt2_suite

    from semerge.backbones import ARCHITECTURES

    folder = gpt2_suite(tmp_path) if kind == "gpt2" else clip_suite(tmp_path, "fusionbench-clip")
    raw = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    raw.setdefault("text_tower", {"weights": "x.pt", "layout": raw["base"]["layout"]})
    (raw["tasks"][1] if place == "task" else raw[place])["layout"] = layout
    (folder / "suite.json").write_text(json.dumps(raw), encoding="utf-8")
    one = ARCHITECTURES[kind]
    if layout in (one.expert_layouts if place == "task" else one.base_layouts):
        assert read_suite(folder).kind.kind == kind
        return
    with pytest.raises(UserError, match=r"layout .*(is none of architecture\.kind|is unknown)"):
        read_suite(folder)
