"""Suites with random weights: their files are those that transformers itself reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from recipes import fake_suite
from recipes.fake_suite import main, write_fake_suite
from semerge.common import UserError
from semerge.suites import read_suite

CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "patch_size": 32, "width": 64, "layers": 2, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
GPT2 = {"vocab_size": 600, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 2}


def loaded(kind: Any, folder: Path, **options: Any) -> Any:
    """The model that transformers makes of a folder, every key of its own found there."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    assert all("position_ids" in key for key in info["unexpected_keys"]), info
    return model


def test_clip_files_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import CLIPModel, CLIPVisionModel

    suite = read_suite(write_fake_suite("clip-vit-b-32", tmp_path / "clip", architecture=CLIP))
    whole = loaded(CLIPModel, suite.path(suite.base_weights).parent)
    assert whole.config.vision_config.num_hidden_layers == 2
    assert whole.config.vision_config.hidden_act == "quick_gelu"
    for task in suite.tasks[:2]:
        loaded(CLIPVisionModel, suite.path(task.weights).parent)


def test_gpt2_files_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import GPT2ForSequenceClassification

    made = GPT2 | {"pad_id": 599, "max_length": 32}
    suite = read_suite(write_fake_suite("gpt2-glue", tmp_path / "gpt2", architecture=made))
    for task in suite.tasks:
        model = loaded(GPT2ForSequenceClassification, suite.path(task.weights).parent)
        assert model.config.num_labels == len(task.classes)
        assert model.config.pad_token_id == 599
    with safe_open(suite.path(suite.base_weights), "pt") as base:
        assert base.get_tensor("h.1.attn.bias").shape == (1, 1, 64, 64)  # as on the hub


def test_what_can_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"'mini-vision' is no published suite; there are clip-"):
        write_fake_suite("mini-vision", tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        write_fake_suite("gpt2-glue", tmp_path)
    monkeypatch.setattr(fake_suite, "RESERVE", 10**15)
    assert main(["gpt2-glue", str(tmp_path / "big")]) == 2
    assert "GB are to be written to" in capsys.readouterr().err
