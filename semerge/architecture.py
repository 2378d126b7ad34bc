"""What suite.json says of the model: every number is checked before anything is made from it.

Keys are open_clip's and transformers'. A wrong number here would end in a division by zero, or in a
model that is not the one meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from semerge.errors import UserError

# keys that must be there, as whole numbers from 1 on
CLIP = ("embed_dim",)
VISION = ("image_size", "patch_size", "width", "layers")
TEXT = ("context_length", "vocab_size", "width", "heads", "layers")
GPT2 = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
COLOURS = 3


def check_architecture(raw: Mapping[str, Any]) -> None:
    """Check the architecture of a suite.json, whose "kind" is known.

    Raises:
        UserError: a key is missing, is no number of its kind, or does not fit another one. The
            sentence names the key; it has no file and no full stop.
    """
    if raw["kind"] == "gpt2":
        _gpt2(raw)
    else:
        _open_clip(raw)


def _open_clip(raw: Mapping[str, Any]) -> None:
    _whole(raw, CLIP, "architecture.")
    vision = _part(raw, "vision_cfg")
    where = "architecture.vision_cfg."
    _whole(vision, VISION, where)
    _whole(vision, ("head_width",), where, optional=True)
    _positive(vision, "mlp_ratio", where, optional=True)
    _positive(raw, "logit_scale", "architecture.")
    if vision["patch_size"] > vision["image_size"]:
        raise UserError(f"{where}patch_size is larger than image_size")
    _divides(vision["width"], vision.get("head_width", 64), f"{where}head_width", "width")
    for key in ("mean", "std"):
        if key in raw and not _colours(raw[key]):
            raise UserError(f"architecture.{key} must be three finite numbers, not {raw[key]!r}")
    if raw.get("text_cfg") is not None:
        text = _part(raw, "text_cfg")
        _whole(text, TEXT, "architecture.text_cfg.")
        _divides(text["width"], text["heads"], "architecture.text_cfg.heads", "width")


def _gpt2(raw: Mapping[str, Any]) -> None:
    _whole(raw, GPT2, "architecture.")
    _whole(raw, ("max_length",), "architecture.", optional=True)
    _positive(raw, "layer_norm_epsilon", "architecture.", optional=True)
    _divides(raw["n_embd"], raw["n_head"], "architecture.n_head", "n_embd")
    pad = raw.get("pad_id", 0)
    if not _is_whole(pad) or not 0 <= pad < raw["vocab_size"]:
        raise UserError(f"architecture.pad_id is {pad!r}, not a token of the vocabulary")


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if not isinstance(raw.get(key), dict):
        raise UserError(f"architecture.{key} is missing or is no object")
    part: Mapping[str, Any] = raw[key]
    return part


def _whole(
    raw: Mapping[str, Any], keys: tuple[str, ...], where: str, optional: bool = False
) -> None:
    for key in keys:
        if optional and key not in raw:
            continue
        if not _is_whole(raw.get(key)) or raw[key] < 1:
            raise UserError(f"{where}{key} must be a whole number from 1 on, not {raw.get(key)!r}")


def _positive(raw: Mapping[str, Any], key: str, where: str, optional: bool = False) -> None:
    if optional and key not in raw:
        return
    value = raw.get(key)
    if not _is_number(value) or not value > 0:  # type: ignore[operator]
        raise UserError(f"{where}{key} must be a positive number, not {value!r}")


def _divides(whole: int, part: int, key: str, other: str) -> None:
    if whole % part:
        raise UserError(f"{key} {part} does not divide {other} {whole}")


def _colours(values: object) -> bool:
    return isinstance(values, list) and len(values) == COLOURS and all(map(_is_number, values))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # bool is an int in Python
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
