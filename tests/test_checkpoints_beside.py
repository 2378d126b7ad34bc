"""What lies beside a file is read, or what is assumed is told; where it contradicts, it is refused.

A contradiction in each neighbour, both when a suite is written and when it is loaded.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from gpt2_fakes import GPT
from published_suites import BASE, BODIES, BODY, EXPERTS, TOWER, clip_suite, gpt2_suite

from semerge import cli
from semerge.backbones.clip.beside import claims
from semerge.backbones.weights import build_backbone, open_suite_base, open_suite_expert
from semerge.common import UserError
from semerge.suites import Suite, read_suite

OPEN_CLIP: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 2, "width": 32, "patch_size": 32}
        | {"head_width": 16, "mlp_ratio": 2.0},
        "text_cfg": fakes.TEXT,
    },
    "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "interpolation": "bicubic"},
}


def write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


def merged(content: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy in which the innermost values of `change` stand."""
    new: dict[str, Any] = json.loads(json.dumps(content))
    for key, value in change.items():
        deeper = isinstance(value, dict) and isinstance(new.get(key), dict)
        new[key] = merged(new[key], value) if deeper else value
    return new


def open_all(folder: Path) -> Suite:
    """As a suite is loaded, without an engine."""
    suite = read_suite(folder)
    backbone = build_backbone(suite)
    base = open_suite_base(suite, backbone)
    for t in range(len(suite.tasks)):
        open_suite_expert(suite, t, backbone, base)
    return suite


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_all(folder)
    return str(caught.value)


def refusals(folder: Path) -> list[str]:
    """What opening ends with; none where nothing is wrong."""
    try:
        open_all(folder)
    except UserError as error:
        return [str(error)]
    return []


def init(out: Path, *options: object) -> int:
    return cli.main(["init-suite", str(out), *map(str, options)])


# ---- images --------------------------------------------------------------------------------------

IMAGES = [
    ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean is [0.5, 0.5, 0.5]"),
    ({"image_std": [1, 1]}, "image_std is [1, 1]"),
    ({"size": {"shortest_edge": 336}}, "size is 336"),
    ({"size": {"height": 224, "width": 224}}, "size is {'height': 224, 'width': 224}"),
    ({"crop_size": 200}, "crop_size is 200"),
    ({"resample": 2}, "resample is 2"),
    ({"do_center_crop": False}, "do_center_crop is False"),
    ({"do_normalize": False}, "do_normalize is False"),
    ({"rescale_factor": 1.0}, "rescale_factor is 1.0"),
    ({"do_flip_channel_order": True}, "do_flip_channel_order is True"),
]


@pytest.mark.parametrize("place", ["clip", "expert1"])
@pytest.mark.parametrize(("content", "words"), IMAGES)
def test_a_preprocessor_that_sees_otherwise(
    tmp_path: Path, place: str, content: dict[str, object], words: str
) -> None:
    folder = clip_suite(tmp_path, "fusionbench-clip")
    file = folder / place / "preprocessor_config.json"
    write(file, content)
    assert f"{file}: {words}" in refusal(folder)


def test_the_preprocessor_that_transformers_writes_is_read(tmp_path: Path) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = clip_suite(tmp_path, "fusionbench-clip")
    CLIPImageProcessorPil().save_pretrained(folder / "clip")
    open_all(folder)
    write(folder / "expert0" / "preprocessor_config.json", {"image_mean": [0.481, 0.458, 0.408]})
    open_all(folder)  # written to three digits


def test_the_preprocessors_of_the_hub_are_read(tmp_path: Path) -> None:
    """OpenAI's is of an older form, with numbers for sizes."""
    folder = clip_suite(tmp_path, "fusionbench-clip")
    plain = {"do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3}
    older = {"crop_size": 224, "size": 224, "feature_extractor_type": "CLIPFeatureExtractor"}
    write(folder / "clip" / "preprocessor_config.json", {**plain, **older})
    open_all(folder)


MODEL = [
    ({"model_cfg": {"quick_gelu": False}}, "these weights need GELU"),
    ({"model_cfg": {"vision_cfg": {"head_width": 8}}}, "vision_cfg.head_width is 4"),
    ({"model_cfg": {"vision_cfg": {"image_size": 240}}}, "vision_cfg.image_size is 240"),
    ({"model_cfg": {"vision_cfg": {"attentional_pool": True}}}, "attentional_pool is True"),
    ({"model_cfg": {"vision_cfg": {"norm_kwargs": {"eps": 1e-6}}}}, "norm_kwargs is {'eps'"),
    ({"model_cfg": {"vision_cfg": {"pool_type": "avg"}}}, "vision_cfg.pool_type is 'avg'"),
    ({"model_cfg": {"vision_cfg": {"of_tomorrow": 1}}}, "vision_cfg.of_tomorrow is 1"),
    ({"model_cfg": {"text_cfg": {"heads": 4}}}, "text_cfg.heads is 4"),
    ({"model_cfg": {"text_cfg": {"hf_tokenizer_name": "x"}}}, "hf_tokenizer_name is 'x'"),
    ({"model_cfg": {"vision_cfg": 3}}, "vision_cfg is no object"),
    ({"preprocess_cfg": {"mean": [0, 0, 0]}}, "preprocess_cfg.mean is [0, 0, 0]"),
    ({"preprocess_cfg": {"interpolation": "bilinear"}}, "interpolation is 'bilinear'"),
    ({"preprocess_cfg": {"resize_mode": "squash"}}, "resize_mode is 'squash'"),
    ({"preprocess_cfg": {"size": [224, 200]}}, "preprocess_cfg.size is [224, 200]"),
]


@pytest.mark.parametrize("layout", ["openclip-state-dict", "openclip-pickle"])
def test_open_clip_s_own_config_is_held_to(tmp_path: Path, layout: str) -> None:
    folder = clip_suite(tmp_path, layout)
    place = (folder / read_suite(folder).tasks[1].weights).with_name("open_clip_config.json")
    write(place, OPEN_CLIP)
    open_all(folder)
    for change, words in MODEL:
        write(place, merged(OPEN_CLIP, change))
        told = refusal(folder)
        assert str(place) in told and words in told
    # open_clip's default is GELU: what it leaves out is no word for QuickGELU
    del (plain := merged(OPEN_CLIP, {}))["model_cfg"]["quick_gelu"]
    write(place, plain)
    assert "these weights need GELU" in refusal(folder)


def test_models_that_are_no_plain_transformers_are_told_by_open_clip_s_configs() -> None:
    """Every configuration of the library is accepted if nothing in it asks for another model."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.origin is not None
    configs = sorted((Path(spec.origin).parent / "model_configs").glob("*.json"))
    other = ("timm_model_name", "hf_model_name", "hf_tokenizer_name", "attentional_pool")
    other += ("no_ln_pre", "ls_init_value", "embed_cls", "norm_kwargs")
    refused = 0
    for file in configs:
        text = file.read_text(encoding="utf-8")
        if unusual := any(f'"{key}"' in text for key in other):
            with pytest.raises(UserError, match=file.name):
                list(_claims(file))
        else:
            assert {claim.fact for claim in _claims(file)} >= {"quick_gelu", "heads", "image_size"}
        refused += unusual
    assert 40 < refused < len(configs) - 20


def _claims(file: Path) -> Any:
    from semerge.backbones.clip import beside

    return beside._open_clip(file)


STRANGE = [None, True, -1, "x", [[]], {"a": []}]
KEYS = {
    "config.json": ["vision_config", "hidden_act", "num_attention_heads", "id2label", "model_type"],
    "preprocessor_config.json": ["size", "crop_size", "image_mean", "resample", "rescale_factor"],
    "open_clip_config.json": ["model_cfg", "preprocess_cfg", "quick_gelu", "embed_dim"],
    "adapter_config.json": ["r", "lora_alpha", "rank_pattern", "bias", "init_lora_weights"],
    "tokenizer.json": ["model"],
}


@pytest.mark.parametrize("file", KEYS)
def test_values_of_any_kind_end_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    layout = {"open_clip_config.json": "openclip-state-dict", "adapter_config.json": "peft-lora"}
    folder = clip_suite(tmp_path, layout.get(file, "fusionbench-clip"))
    tasks = read_suite(folder).tasks
    expert = (folder / tasks[0].weights).with_name(file)
    own = json.loads(expert.read_text(encoding="utf-8")) if expert.is_file() else {}
    base = folder / "clip" / "pytorch_model.bin"
    words = ["--base", base, "--expert", f"a={folder / tasks[0].weights}"]
    words += ["--expert", f"b={folder / tasks[1].weights}"]
    told = []
    for i, (key, value) in enumerate((key, x) for key in KEYS[file] for x in STRANGE):
        place = (expert, base.with_name(file))[i % 2]
        before = place.read_bytes() if place.is_file() else None
        write(place, {**own, key: value})
        told += refusals(folder)
        if i % 12 == 0:  # also where they are not compared yet, but decide
            assert init(tmp_path / f"out{i}", *words) in (0, 2)
        place.unlink()
        if before is not None:
            place.write_bytes(before)
    assert all(file in words and words.endswith(".") for words in told)
    assert len(told) > 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_text_tower_of_other_tokens(tmp_path: Path) -> None:
    folder = clip_suite(tmp_path, "fusionbench-clip")
    from semerge.backbones.clip.text_tower import _clip_merges

    merges = [" ".join(pair) for pair in _clip_merges()[:186]]
    file = folder / "clip" / "merges.txt"
    file.write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    open_all(folder)
    file.write_text("\n".join(["#version: 0.2", *merges[1:], "z z", ""]), encoding="utf-8")
    assert f"{file} is not CLIP's tokenizer" in refusal(folder)
    file.unlink()
    file = folder / "clip" / "tokenizer.json"
    write(file, {"model": {"type": "BPE", "merges": [pair.split() for pair in merges]}})
    open_all(folder)
    for model in ({"type": "Unigram", "vocab": []}, {"merges": [1]}, {"merges": 1}, []):
        write(file, {"model": model})
        assert f"{file} is not CLIP's tokenizer" in refusal(folder)


@pytest.mark.parametrize(
    ("tower", "content", "words"),
    [
        ("text_config", {"hidden_act": "gelu"}, "these weights need GELU"),
        ("text_config", {"num_attention_heads": 3}, "text_config.num_attention_heads is 3"),
        ("text_config", {"layer_norm_eps": 1e-6}, "text_config.layer_norm_eps is 1e-06"),
        ("vision_config", {"num_attention_heads": 4}, "vision_config.num_attention_heads is 4"),
        ("vision_config", {"image_size": 230}, "vision_config.image_size is 230"),
    ],
)
def test_each_tower_of_a_base_is_held_to_its_config(
    tmp_path: Path, tower: str, content: dict[str, object], words: str
) -> None:
    folder = clip_suite(tmp_path, "fusionbench-clip")
    file = folder / "clip" / "config.json"
    write(file, merged(json.loads(file.read_text(encoding="utf-8")), {tower: content}))
    told = refusal(folder)
    assert str(file) in told and words in told


@pytest.mark.parametrize(("tower", "usual"), [("vision_config", 12), ("text_config", 8)])
def test_what_transformers_4_leaves_out_is_its_default(
    tmp_path: Path, tower: str, usual: int
) -> None:
    folder = clip_suite(tmp_path, "fusionbench-clip")
    file = folder / "clip" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    del config[tower]["num_attention_heads"]
    write(file, config)
    assert f"{file}: {tower}.num_attention_heads is {usual}, but" in refusal(folder)


def test_adapters_of_another_base(tmp_path: Path) -> None:
    folder = clip_suite(tmp_path, "peft-lora")
    adapter = folder / "expert0" / "adapter_config.json"
    config = json.loads(adapter.read_text(encoding="utf-8"))
    base = folder / "clip" / "config.json"
    own = json.loads(base.read_text(encoding="utf-8"))

    def name(of_adapter: str, of_base: str | None) -> None:
        write(adapter, {**config, "base_model_name_or_path": of_adapter})
        write(base, {**own, "_name_or_path": of_base})

    name("laion/CLIP-ViT-B-32", "openai/clip-vit-base-patch32")
    told = refusal(folder)
    assert (
        str(adapter) in told and "'laion/CLIP-ViT-B-32', but" in told and str(base.parent) in told
    )
    for same in (
        ("openai/clip-vit-base-patch32", "clip-vit-base-patch32"),
        ("openai/clip-vit-base-patch32", None),
        ("/home/somebody/clip", "openai/clip-vit-base-patch32"),
    ):
        name(*same)
        open_all(folder)
    cached = folder / "models--openai--clip-vit-base-patch16" / "snapshots" / "0"
    shutil.copytree(folder / "clip", cached)
    raw = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    raw["base"]["weights"] = str((cached / "pytorch_model.bin").relative_to(folder))
    write(folder / "suite.json", raw)
    name("openai/clip-vit-base-patch32", None)
    assert "is 'openai/clip-vit-base-patch16'" in refusal(folder)


# ---- sentences -----------------------------------------------------------------------------------

CLASSIFIER = [
    ({"model_type": "gpt_neo"}, "model_type is 'gpt_neo'"),
    ({"problem_type": "regression"}, "problem_type is 'regression'"),
    ({"problem_type": "multi_label_classification"}, "problem_type is 'multi_label"),
    ({"num_labels": 1}, "num_labels is 1"),
    ({"id2label": {"0": "LABEL_0"}}, "num_labels is 1"),
    ({"num_labels": 3, "id2label": {"0": "a", "1": "b"}}, "do not agree"),
    ({"id2label": {"0": "no", "2": "yes"}}, "do not agree"),
    ({"id2label": {"0": "no", "1": "no"}}, "do not agree"),
    ({"id2label": ["no", "yes"]}, "do not agree"),
    (
        {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 1, "yes": 0}},
        "do not agree",
    ),
    ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "id2label names 3 classes"),
    ({"id2label": {"0": "Yes", "1": "No"}}, "in the order 'Yes, No', but suite.json has 'no, yes'"),
    ({"id2label": {"0": "yes", "1": "other"}}, "in the order 'yes, other'"),
]


@pytest.mark.parametrize(("content", "words"), CLASSIFIER)
def test_a_config_of_another_head(tmp_path: Path, content: dict[str, object], words: str) -> None:
    folder = gpt2_suite(tmp_path)
    file = folder / "expert0" / "config.json"
    own = json.loads(file.read_text(encoding="utf-8"))
    write(file, {**own, **content})
    told = refusal(folder)
    assert str(file) in told and words in told


def test_names_that_do_not_contradict(tmp_path: Path) -> None:
    folder = gpt2_suite(tmp_path)
    file = folder / "expert0" / "config.json"
    own = json.loads(file.read_text(encoding="utf-8"))
    for fine in (
        {"id2label": {"0": "NO", "1": "yes"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}},
        {"id2label": {"1": "LABEL_1", "0": "LABEL_0"}},
        {"id2label": {"0": "Nein", "1": "Ja"}, "problem_type": "single_label_classification"},
    ):
        write(file, {**own, **fine})
        open_all(folder)


def other_words(folder: Path) -> str:
    gpt2_fakes.write_tokenizer(folder, merges=20)
    return "vocab.json reads other tokens"


def other_merges(folder: Path) -> str:
    gpt2_fakes.write_tokenizer(folder)
    merges = folder / "merges.txt"
    first, *rest = merges.read_text(encoding="utf-8").splitlines()
    merges.write_text("\n".join([first, *reversed(rest), ""]), encoding="utf-8")
    return "vocab.json reads other tokens"


def a_space_before(folder: Path) -> str:
    gpt2_fakes.write_tokenizer(folder)
    write(folder / "tokenizer_config.json", {"add_prefix_space": True})
    return "vocab.json reads other tokens"


def an_added_start(folder: Path) -> str:
    gpt2_fakes.write_tokenizer(folder)
    write(folder / "tokenizer_config.json", {"add_bos_token": True})
    return "add_bos_token is True"


def cut_at_the_start(folder: Path) -> str:
    gpt2_fakes.write_tokenizer(folder)
    write(folder / "tokenizer_config.json", {"truncation_side": "left"})
    return "truncation_side is 'left'"


def a_tokenizer_json(folder: Path) -> str:
    from tokenizers import Tokenizer, normalizers

    from semerge.backbones.gpt2.model import read_tokenizer

    tokenizer: Tokenizer = read_tokenizer(gpt2_fakes.write_tokenizer(folder))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))
    return "tokenizer.json reads other tokens"


@pytest.mark.parametrize(
    "contradict",
    [other_words, other_merges, a_space_before, an_added_start, cut_at_the_start, a_tokenizer_json],
)
def test_an_expert_s_tokenizer_that_reads_otherwise(
    tmp_path: Path, contradict: Callable[[Path], str]
) -> None:
    folder = gpt2_suite(tmp_path)
    words = contradict(folder / "expert1")
    told = refusal(folder)
    assert words in told and str(folder / "expert1") in told


def test_the_same_tokenizer_in_another_form(tmp_path: Path) -> None:
    from semerge.backbones.gpt2.model import read_tokenizer

    folder = gpt2_suite(tmp_path)
    gpt2_fakes.write_tokenizer(folder / "expert0")
    own = read_tokenizer(folder / "gpt2" / "vocab.json")
    own.save(str(folder / "expert1" / "tokenizer.json"))
    written = {"add_prefix_space": False, "model_max_length": 10**30, "truncation_side": "right"}
    write(folder / "expert1" / "tokenizer_config.json", written)
    open_all(folder)


# ---- init-suite ----------------------------------------------------------------------------------


def classifiers(home: Path, task: str, config: dict[str, object]) -> list[object]:
    """The options for an expert of `task`, whose config says so, and one of no known task."""
    base = gpt2_fakes.write_gpt2(home / "base" / "model.safetensors", BODY)
    gpt2_fakes.write_tokenizer(base.parent)
    options: list[object] = ["--base", base]
    for t, name in enumerate((task, "own")):
        file = home / name / "model.safetensors"
        gpt2_fakes.write_classifier(file, BODIES[t], torch.randn(2, 32))
        if t == 0:
            beside = file.with_name("config.json")
            write(beside, {**json.loads(beside.read_text(encoding="utf-8")), **config})
        options += ["--expert", f"{name}={file}"]
    return options


@pytest.mark.parametrize(
    ("labels", "classes", "published"),
    [
        (None, ("negative", "positive"), True),
        (("LABEL_0", "LABEL_1"), ("negative", "positive"), True),
        (("NEGATIVE", "POSITIVE"), ("negative", "positive"), True),
        (("positive", "negative"), ("positive", "negative"), True),
        (("spam", "ham"), ("spam", "ham"), False),
        (("negative", "other"), ("negative", "other"), False),
    ],
)
def test_an_expert_s_own_names_decide_its_classes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: tuple[str, ...] | None,
    classes: tuple[str, ...],
    published: bool,
) -> None:
    config: dict[str, object] = {}
    if labels:
        config = {"id2label": {str(i): label for i, label in enumerate(labels)}}
    assert init(tmp_path / "out", *classifiers(tmp_path, "sst2", config)) == 0
    printed = capsys.readouterr().out
    task = read_suite(tmp_path / "out").task("sst2")
    assert task.classes == classes
    assert (task.title != "sst2") is published
    named = labels is not None and labels[0] != "LABEL_0"
    assert ("sst2 have the classes of the published tasks" in printed) is not named
    assert "fill in the class names of own" in printed


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"problem_type": "regression"}, "problem_type is 'regression'"),
        (
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            "id2label names 3 classes, but the head has 2",
        ),
        ({"pad_token_id": 298}, "pad_token_id is 299"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-05"),
    ],
)
def test_init_suite_refuses_what_contradicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, object], words: str
) -> None:
    assert init(tmp_path / "out", *classifiers(tmp_path, "sst2", config)) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1


def test_a_head_of_one_row_is_no_classifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = classifiers(tmp_path, "stsb", {})
    gpt2_fakes.write_classifier(tmp_path / "stsb" / "model.safetensors", BODY, torch.randn(1, 32))
    assert init(tmp_path / "out", *options) == 2
    assert "its head has one row: that predicts a number, no class" in capsys.readouterr().err


def test_what_the_configs_of_gpt2_say_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = classifiers(tmp_path, "own2", {"pad_token_id": 7, "layer_norm_epsilon": 1e-6})
    own = tmp_path / "own" / "config.json"
    for file in (own, tmp_path / "base" / "config.json"):
        write(file, {"n_head": 2, "layer_norm_epsilon": 1e-6, "pad_token_id": 7})
    write(tmp_path / "own" / "tokenizer_config.json", {"model_max_length": 16})
    write(tmp_path / "own2" / "tokenizer_config.json", {"model_max_length": 10**30})
    assert init(tmp_path / "out", *options) == 0
    made = read_suite(tmp_path / "out").architecture
    assert (made["n_head"], made["pad_id"], made["layer_norm_epsilon"]) == (2, 7, 1e-6)
    assert made["max_length"] == 16
    assert "assumed" not in capsys.readouterr().out


def encoders(home: Path, *more: object) -> list[object]:
    """The options for two state dicts of open_clip, with a CLIPModel for the heads."""
    options: list[object] = []
    for name, state in {"base": BASE, "a": EXPERTS[0], "b": EXPERTS[1]}.items():
        file = fakes.write_state_dict(home / name / "x.pt", fakes.image_encoder(state, TOWER))
        options += ["--base", file] if name == "base" else ["--expert", f"{name}={file}"]
    clip = fakes.write_clip_model(home / "clip" / "pytorch_model.bin", fakes.hf_clip(BASE, TOWER))
    return [*options, "--text-tower", clip, *more]


def test_what_open_clip_s_config_says_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = encoders(tmp_path)
    mean = {"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
    write(tmp_path / "base" / "open_clip_config.json", merged(OPEN_CLIP, mean))
    assert init(tmp_path / "out", *options) == 0
    made = read_suite(tmp_path / "out").architecture
    assert made["quick_gelu"] is True and made["vision_cfg"]["head_width"] == 16
    assert made["mean"] == [0.5, 0.5, 0.5]
    assert "assumed" not in capsys.readouterr().out
    # it lies beside the suite's file too, so a later change is seen
    config = merged(OPEN_CLIP, {"model_cfg": {"quick_gelu": False}})
    (tmp_path / "out" / "base" / "open_clip_config.json").unlink()
    write(tmp_path / "out" / "base" / "open_clip_config.json", config)
    assert "these weights need GELU" in refusal(tmp_path / "out")


def test_a_plain_gelu_of_open_clip_contradicts_the_text_tower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = encoders(tmp_path)
    config = merged(OPEN_CLIP, {"model_cfg": {"quick_gelu": False}})
    write(tmp_path / "base" / "open_clip_config.json", config)
    assert init(tmp_path / "out", *options) == 2
    told = capsys.readouterr().err
    assert "text_tower/config.json: these weights need QuickGELU" in told


def test_what_is_assumed_of_images_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = encoders(tmp_path)
    (tmp_path / "clip" / "config.json").unlink()
    assert init(tmp_path / "out", *options) == 0
    (told,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("assumed"))
    for words in ("activation is QuickGELU", "heads are 32 wide", "as for OpenAI's models"):
        assert words in told
    assert "the published task" not in told


def test_the_base_of_adapters_is_told_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = fakes.write_clip_model(tmp_path / "clip" / "x.bin", fakes.hf_clip(BASE, TOWER))
    options: list[object] = ["--base", clip]
    for t, name in enumerate("ab"):
        file = fakes.write_lora(tmp_path / name / "adapter_model.safetensors", seed=t)
        config = file.with_name("adapter_config.json")
        own = json.loads(config.read_text(encoding="utf-8"))
        write(config, {**own, "base_model_name_or_path": f"openai/clip-{t}"})
        options += ["--expert", f"{name}={file}"]
    assert init(tmp_path / "out", *options) == 2
    told = capsys.readouterr().err
    assert "the adapters are of several bases: openai/clip-0, openai/clip-1" in told
    write(config, {**own, "base_model_name_or_path": "openai/clip-0"})
    assert init(tmp_path / "other", *options) == 0
    assert f"{clip} is the base 'openai/clip-0' that adapters name" in capsys.readouterr().out
    beside = clip.with_name("config.json")
    known = {**json.loads(beside.read_text(encoding="utf-8")), "_name_or_path": "openai/clip-0"}
    write(beside, known)
    assert init(tmp_path / "known", *options) == 0
    assert "that adapters name" not in capsys.readouterr().out


def test_claims_are_made_of_files_alone(tmp_path: Path) -> None:
    assert list(claims(tmp_path / "x.pt", "openclip-state-dict")) == []
    (claim,) = claims(tmp_path / "model.safetensors", "fusionbench-clip")
    assert (claim.fact, claim.value, claim.told) == ("quick_gelu", True, False)
    assert GPT.pad_id == 299  # what the fakes' configs say
