"""Heads of published suites: by the text tower and kept on disk, from files, or from nowhere."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled_head
from published_fakes import TEXT, VIT
from published_suites import BASE, CLASSES, TEMPLATES, TOWER, clip_suite
from torch.nn.functional import normalize
from transformers_models import clip_model

from recipes.clip_model import tokenizer
from semerge.backbones.clip import text_tower as clip
from semerge.backbones.clip.model import check_tower, open_text_tower
from semerge.backbones.clip.text_tower import ClipTokenizer, captions
from semerge.backbones.weights import open_base
from semerge.common import UserError, cache_folder, listening
from semerge.engine import load_engine
from semerge.suites import published_suites, read_suite


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def reference_head(classes: tuple[str, ...]) -> torch.Tensor:
    """What FusionBench does, by transformers' text tower."""
    model = clip_model(VIT, BASE, TOWER, TEXT)
    ids = tokenizer(TEXT["vocab_size"], TEXT["context_length"])(captions(classes, TEMPLATES))
    with torch.inference_mode():
        features = model.get_text_features(ids, attention_mask=torch.ones_like(ids))
    features = normalize(getattr(features, "pooler_output", features), dim=-1)
    return normalize(features.view(len(classes), len(TEMPLATES), -1).mean(1), dim=-1)


def test_heads_by_the_text_tower_equal_transformers(tmp_path: Path) -> None:
    heads = load_engine(clip_suite(tmp_path / "suite", "fusionbench-clip")).models.heads
    for t, classes in enumerate(CLASSES):
        assert torch.allclose(heads[f"task{t}"], reference_head(classes), atol=1e-5)


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_the_text_tower_equals_that_of_open_clip(quick_gelu: bool) -> None:
    from open_clip.transformer import QuickGELU, TextTransformer

    activation = QuickGELU if quick_gelu else torch.nn.GELU
    module = TextTransformer(
        **TEXT, output_dim=TOWER["text_projection"].shape[1], act_layer=activation
    )
    module.load_state_dict(TOWER, strict=False)  # without its mask
    ids = tokenizer(TEXT["vocab_size"], TEXT["context_length"])(captions(CLASSES[0], TEMPLATES))
    with torch.inference_mode():
        found = clip._Tower(TOWER, TEXT, quick_gelu)._run(ids)
        assert torch.allclose(found, module.eval()(ids), atol=1e-5)


# repaired, unescaped, cut at the end, split by digits, and what is no letter
ODD = ["", " \t", "Ünï ﬁ İstanbul ſ", "it's THEY'RE i'LL", "1234 a1b2", "日本語", "&amp;lt;b&gt;"]
ODD += [
    "âœ” mended",
    "😀😀!!",
    "a" * 300,
    "x " * 200,
    "don’t — “q”",
    "\u200bzero\u00a0",
    "a\x00c\x85z",
]


@pytest.mark.parametrize(("vocab_size", "context_length"), [(49408, 77), (700, 20)])
def test_tokens_are_those_of_open_clip(vocab_size: int, context_length: int) -> None:
    texts = list(ODD)
    for name in published_suites():
        for task in read_suite(name).tasks:
            texts += captions(task.classes, task.templates)
    texts = sorted(set(texts))
    assert len(texts) > 3500
    found = ClipTokenizer(vocab_size, context_length)(texts)
    assert torch.equal(found, tokenizer(vocab_size, context_length)(texts))


def test_heads_are_made_without_open_clip(tmp_path: Path, cache: Path) -> None:
    folder = clip_suite(tmp_path / "suite", "peft-lora")
    code = (
        "import sys; from semerge.engine import load_engine; load_engine(sys.argv[1]);"
        "print([m for m in ('open_clip', 'timm', 'torchvision') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]" and len(list((cache / "heads").iterdir())) == 3


def test_captions_are_read_no_further_than_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Causal attention, and pooled at the end of the text: what stands after it changes nothing."""
    words = (("cat", "a dog that is very tired", "red"), TEMPLATES)
    tokens = tokenizer(TEXT["vocab_size"], TEXT["context_length"])
    with torch.inference_mode():
        tower = clip._Tower(TOWER, TEXT, quick_gelu=True)
        ids = tokens(captions(*words))
        whole = normalize(tower._run(ids), dim=-1)
        other = ids.clone()
        for row, end in zip(other, ids.argmax(-1).tolist(), strict=True):
            row[end + 1 :] = 7
        assert torch.allclose(normalize(tower._run(other), dim=-1), whole, atol=1e-6)
    expected = normalize(whole.view(3, len(TEMPLATES), -1).mean(1), dim=-1)

    run, read = clip._Tower._run, []

    def noted(self: clip._Tower, ids: torch.Tensor) -> torch.Tensor:
        read.append(tuple(ids.shape))
        return run(self, ids)

    monkeypatch.setattr(clip, "CAPTIONS", 2)
    monkeypatch.setattr(clip._Tower, "_run", noted)
    monkeypatch.setattr(clip, "keep", lambda *kept: None)
    (found,) = clip.zero_shot_heads(TOWER, TEXT, True, [words])
    assert torch.allclose(found, expected, atol=1e-6)
    lengths = sorted((ids.argmax(-1) + 1).tolist())
    assert read == [(2, lengths[1]), (2, lengths[3]), (2, lengths[5])]
    assert lengths[1] < lengths[3] < lengths[5] < TEXT["context_length"]


def test_it_is_told_how_many_captions_are_read(tmp_path: Path) -> None:
    folder = clip_suite(tmp_path / "suite", "peft-lora")
    told: list[tuple[int, int, str]] = []
    with listening(lambda *heard: told.append(heard)):
        load_engine(folder)
        total = sum(len(classes) * len(TEMPLATES) for classes in CLASSES)
        assert {(count, what) for _, count, what in told} == {(total, clip.TOLD)}
        done = [n for n, _, _ in told]
        assert done[0] == 0 and done[-1] == total and done == sorted(done)
        told.clear()
        load_engine(folder)
        assert not told  # they are kept


def test_heads_are_made_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = clip_suite(tmp_path / "suite", "peft-lora")
    made = load_engine(folder).models.heads
    files = sorted((cache / "heads").iterdir())
    assert len(files) == 3 and all(file.suffix == ".safetensors" for file in files)

    class Refusing:
        def __init__(self, *args: object) -> None:
            raise AssertionError("a head is made")

    working = clip._Tower
    monkeypatch.setattr(clip, "_Tower", Refusing)
    again = load_engine(folder).models.heads
    assert all(torch.equal(again[name], made[name]) for name in made)

    raw = json.loads((folder / "suite.json").read_text())
    raw["tasks"][0]["classes"] = ["cat", "cow"]  # other words: another head
    (folder / "suite.json").write_text(json.dumps(raw))
    with pytest.raises(AssertionError, match="a head is made"):
        load_engine(folder)
    monkeypatch.setattr(clip, "_Tower", working)
    load_engine(folder)
    assert len(list((cache / "heads").iterdir())) == 4

    for file in files:
        file.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        mended = load_engine(folder).models.heads
    assert "is damaged and will be computed again" in caplog.text
    assert torch.equal(mended["task1"], made["task1"])


def test_a_cache_that_can_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(load_engine(clip_suite(tmp_path / "suite", "peft-lora")).models.heads) == 3
    assert "can't be written" in caplog.text


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEMERGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "semerge"


def test_heads_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    units = [normalize(torch.randn(len(classes), 16), dim=-1) for classes in CLASSES]
    for t, unit in enumerate(units):
        write_pickled_head(folder / f"head_{t}.pt", 50 * unit)
    suite = clip_suite(folder, "openclip-pickle", {"from": "files"})
    heads = load_engine(suite).models.heads
    for t, unit in enumerate(units):
        assert torch.allclose(heads[f"task{t}"], unit, atol=1e-6)
    (folder / "head_0.pt").rename(folder / "head_1.pt")  # swapped: two rows for three classes
    with pytest.raises(UserError, match=r"head_.\.pt"):
        load_engine(suite)


def test_heads_that_no_source_can_give(tmp_path: Path) -> None:
    suite = clip_suite(tmp_path / "a", "peft-lora", {"from": "expert"})
    with pytest.raises(UserError, match=r"heads\.from 'expert' is not possible with"):
        load_engine(suite)
    suite = clip_suite(tmp_path / "b", "peft-lora", text_cfg=None)
    with pytest.raises(UserError, match=r"architecture\.text_cfg is missing"):
        load_engine(suite)


def test_a_text_tower_of_another_model_is_refused(tmp_path: Path) -> None:
    """An open_clip dictionary has no text tower, but left-overs of it; a tower from a file of its
    own is held to them."""
    left = fakes.write_state_dict(tmp_path / "zeroshot.pt", fakes.image_encoder(BASE, TOWER))
    zeroshot = open_base(left, "openclip-state-dict", VIT.shapes)
    for text, fits in ((TOWER, True), (fakes.text_weights(77), False)):
        path = tmp_path / str(fits) / "pytorch_model.bin"
        fakes.write_clip_model(path, fakes.hf_clip(BASE, text))
        tower = open_text_tower(path, "hf-clip", VIT.output_dim, TEXT)
        if fits:
            check_tower(tower, zeroshot)
        else:
            with pytest.raises(UserError, match="this text tower is another model's") as caught:
                check_tower(tower, zeroshot)
            words = f"{path}: positional_embedding of the text tower is not that of {left}"
            assert str(caught.value).startswith(words)
