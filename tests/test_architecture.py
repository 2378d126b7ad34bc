"""Every number of a suite's architecture is checked by its key, before anything is made from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from published_suites import clip_suite, gpt2_suite
from tiny import edit

from semerge.common import UserError
from semerge.suites import read_suite

NO_NUMBERS = [None, "12", True, [], {}, float("inf"), float("nan"), 0, -1]
CLIP = "embed_dim vision_cfg.image_size vision_cfg.patch_size vision_cfg.width vision_cfg.layers"
CLIP += " vision_cfg.head_width vision_cfg.mlp_ratio logit_scale text_cfg.context_length"
CLIP += " text_cfg.vocab_size text_cfg.width text_cfg.heads text_cfg.layers"
GPT2 = "vocab_size n_positions n_embd n_layer n_head max_length"
OPTIONAL = ("vision_cfg.mlp_ratio", "max_length")
SUITES = {"clip": lambda folder: clip_suite(folder, "peft-lora"), "gpt2": gpt2_suite}


def put(raw: Any, key: str, value: object) -> None:
    """Set a key of the architecture, or take it away where the value is `...`."""
    *part, last = key.split(".")
    at = raw[part[0]] if part else raw
    at.pop(last, None)
    if value is not ...:
        at[last] = value


def refusal(folder: Path, change: Callable[[Any], object]) -> str:
    edit(folder, lambda raw: change(raw["architecture"]))
    with pytest.raises(UserError) as caught:
        read_suite(folder)
    text = str(caught.value)
    assert text.startswith(f"{folder / 'suite.json'}: architecture.") and text.endswith(".")
    return text


@pytest.mark.parametrize(
    ("kind", "key"),
    [*(("clip", key) for key in CLIP.split()), *(("gpt2", key) for key in GPT2.split())],
)
def test_what_is_no_number_is_named(tmp_path: Path, kind: str, key: str) -> None:
    folder = SUITES[kind](tmp_path)
    for value in NO_NUMBERS:
        words = refusal(folder, partial(put, key=key, value=value))
        assert f"architecture.{key} must be a" in words and words.endswith(f"not {value!r}.")
    if key in OPTIONAL:
        edit(folder, lambda raw: put(raw["architecture"], key, ...))
        read_suite(folder)
    else:  # a head's width is 64 where none is told, which does not fit here
        assert f"architecture.{key}" in refusal(folder, partial(put, key=key, value=...))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("vision_cfg"), "vision_cfg is missing or is no object"),
        (lambda a: a.update(text_cfg=3), "text_cfg is missing or is no object"),
        (lambda a: a["vision_cfg"].update(patch_size=300), "patch_size is larger than image_size"),
        (lambda a: a["vision_cfg"].update(head_width=5), "head_width 5 does not divide width 32"),
        (lambda a: a["text_cfg"].update(heads=5), "heads 5 does not divide width 24"),
        (
            lambda a: a["vision_cfg"].update(layers=10**6),
            "layers must be a whole number from 1 to 1,0",
        ),
        (
            lambda a: a["text_cfg"].update(layers=1001),
            "layers must be a whole number from 1 to 1,0",
        ),
        (lambda a: a.update(mean=[0.5, 0.5]), "mean must be three finite numbers"),
        (lambda a: a.update(std=[1.0, 1.0, float("nan")]), "std must be three finite numbers"),
    ],
)
def test_what_does_not_fit_in_clip(
    tmp_path: Path, change: Callable[[Any], object], words: str
) -> None:
    assert words in refusal(clip_suite(tmp_path, "peft-lora"), change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a: a.update(n_layer=10**6),
            "n_layer must be a whole number from 1 to 1,000, not 1",
        ),
        (lambda a: a.update(n_head=3), "n_head 3 does not divide n_embd 32"),
        (lambda a: a.update(pad_id=300), "pad_id is 300, not a token of the vocabulary"),
        (lambda a: a.update(pad_id=None), "pad_id is None, not a token of the vocabulary"),
        (lambda a: a.update(layer_norm_epsilon=0), "layer_norm_epsilon must be a positive number"),
    ],
)
def test_what_does_not_fit_in_gpt2(
    tmp_path: Path, change: Callable[[Any], object], words: str
) -> None:
    assert words in refusal(gpt2_suite(tmp_path), change)


def test_a_text_tower_need_not_be_told(tmp_path: Path) -> None:
    folder = clip_suite(tmp_path, "peft-lora")
    for value in (None, ...):
        edit(folder, lambda raw, value=value: put(raw["architecture"], "text_cfg", value))
        assert read_suite(folder).depth == 2
