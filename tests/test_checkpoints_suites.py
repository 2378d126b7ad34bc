"""Whole suites in published layouts: loaded from a folder, they answer as transformers does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from gpt2_fakes import GPT
from PIL import Image
from published_fakes import TEXT, VIT, Weights
from published_suites import BASE, BODIES, EXPERTS, SCORES, TOWER, clip_suite, gpt2_suite
from transformers_models import classifier, clip_model

from semerge.checkpoints.files import sha256_of
from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.inputs import clean_text


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def holds(engine: Engine, t: int, expected: Weights) -> None:
    found = engine.models.vectors.expert(t)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("layout", ["fusionbench-clip", "openclip-state-dict", "openclip-pickle"])
def test_clip_suites_hold_base_and_experts_exactly(tmp_path: Path, layout: str) -> None:
    engine = load_engine(clip_suite(tmp_path / "suite", layout))
    base = engine.models.vectors.base()
    assert all(torch.equal(base[name], x) for name, x in BASE.items())
    for t, expert in enumerate(EXPERTS):
        # family A has no projection of its own: the base's stands in
        own = {"proj": BASE["proj"]} if layout == "fusionbench-clip" else {}
        holds(engine, t, expert | own)
    image = Image.radial_gradient("L").convert("RGB")
    result = engine.predict(image)
    model = clip_model(VIT, engine.models.vectors.expert(0), TOWER, TEXT)
    pixels = engine.backbone.preprocess(image).data
    with torch.inference_mode():
        features = model.get_image_features(pixels)
        features = getattr(features, "pooler_output", features)
        ours = engine.expert_embedding(engine.backbone.preprocess(image), 0)
    assert torch.allclose(ours, features, atol=1e-5)
    assert len(result.tasks) == 3


def test_swapped_experts_are_told_by_a_hash_alone(tmp_path: Path) -> None:
    """A `CLIPVisionModel` says nothing of its task; see `semerge.loading`."""
    folder = clip_suite(tmp_path / "suite", "fusionbench-clip")
    files = [folder / f"expert{t}" / "model.safetensors" for t in range(2)]
    raw = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    raw["sha256"] = {f"expert{t}/model.safetensors": sha256_of(files[t]) for t in range(2)}
    (folder / "hashed.json").write_text(json.dumps(raw), encoding="utf-8")

    files[0].rename(folder / "kept")
    files[1].rename(files[0])
    (folder / "kept").rename(files[1])
    engine = load_engine(folder)
    for t in range(2):
        holds(engine, t, EXPERTS[1 - t] | {"proj": BASE["proj"]})
    (folder / "hashed.json").rename(folder / "suite.json")
    with pytest.raises(UserError, match=r"expert0/model\.safetensors is not the file that suite"):
        load_engine(folder)


def test_what_no_expert_changes_is_held_once(tmp_path: Path) -> None:
    vectors = load_engine(clip_suite(tmp_path / "suite", "fusionbench-clip")).models.vectors
    assert vectors.segments[-1].rest.numel() == BASE["proj"].numel()
    vectors = load_engine(clip_suite(tmp_path / "lora", "peft-lora")).models.vectors
    assert [s.changing for s in vectors.segments] == [0, 96 * 32, 96 * 32, 0]


def test_a_gelu_mix_up_is_refused_when_a_suite_is_loaded(tmp_path: Path) -> None:
    suite = clip_suite(tmp_path / "suite", "fusionbench-clip", quick_gelu=False)
    with pytest.raises(UserError, match=r"these weights need QuickGELU, .* quick_gelu false"):
        load_engine(suite)


def test_the_same_expert_twice_is_refused(tmp_path: Path) -> None:
    folder = clip_suite(tmp_path / "suite", "fusionbench-clip")
    file = folder / "expert1" / "model.safetensors"
    file.write_bytes((folder / "expert2" / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="the expert of task2 is the same as that of task1"):
        load_engine(folder)


SENTENCES = [
    ("the cat", None),
    ("the cat on the mat", "the other thing"),
    ("there, the thing" * 6, "on"),  # too long: cut at the end of the longer one
    ("on", "there, the thing" * 6),
    ("there, the thing" * 6, "read another thing then" * 7),
    ("the cat <|endoftext|>", None),  # a padding token at the end is not pooled
]


def test_gpt2_suites_answer_as_transformers_does(tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    engine = load_engine(gpt2_suite(tmp_path / "suite"))
    home = tmp_path / "suite" / "gpt2"
    # as read, not as paths: transformers 5.0 hands these to what tokenizers has deprecated
    vocab = json.loads((home / "vocab.json").read_text(encoding="utf-8"))
    _, *merges = (home / "merges.txt").read_text(encoding="utf-8").splitlines()
    tokens = GPT2Tokenizer(vocab, [tuple(pair.split()) for pair in merges])
    tokens.model_max_length, tokens.pad_token = 24, tokens.eos_token
    first, second = [list(column) for column in zip(*SENTENCES, strict=True)]
    rows = [
        tokens(a, b, padding="max_length", truncation=True, max_length=24)
        for a, b in zip(first, second, strict=True)
    ]
    ids = torch.tensor([row["input_ids"] for row in rows])
    mask = torch.tensor([row["attention_mask"] for row in rows])
    samples = [engine.backbone.preprocess(a, b) for a, b in SENTENCES]
    batch = engine.backbone.collate(samples)
    for t, (body, score) in enumerate(zip(BODIES, SCORES, strict=True)):
        holds(engine, t, body)
        assert torch.equal(engine.models.heads[f"task{t}"], score)
        with torch.inference_mode():
            theirs = classifier(GPT, body, score)(input_ids=ids, attention_mask=mask).logits
        ours = engine.logits(engine.expert_embedding(batch, t), f"task{t}")
        assert torch.allclose(ours, theirs, atol=1e-5)
    long = clean_text("there, the thing" * 6, "on")
    (notice,) = engine.backbone.notices(long.text, long.text_b)
    assert "the model reads 24 of them" in notice


def test_gpt2_tokenizer_files_that_are_missing(tmp_path: Path) -> None:
    folder = gpt2_suite(tmp_path / "suite")
    (folder / "gpt2" / "merges.txt").unlink()
    with pytest.raises(UserError, match=r"merges\.txt is missing"):
        load_engine(folder)
