"""What cannot be seen in the tensors, checked against the config.json beside a weight file.

Two models may have the same tensors and differ in the activation or in the number of heads: a
GELU in the place of QuickGELU shifts CLIP's image embeddings by a few percent, and nothing fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semerge.checkpoints.checkpoint import Checkpoint
from semerge.common import UserError
from semerge.suites.suite import OWN_LAYOUT

# How far the logit scale of a base may be from suite.json's: the published ones are 100 to 5 digits
SCALE_TOLERANCE = 1e-3
_GELU_TANH = ("gelu_new", "gelu_pytorch_tanh")  # two names of one function


def check_config(
    checkpoint: Mapping[str, Any], path: Path, layout: str, architecture: Mapping[str, Any]
) -> None:
    """Compare a checkpoint, and the config.json beside it, with a suite's architecture.

    A file in one of transformers' CLIP layouts whose config says nothing uses QuickGELU, which is
    transformers' default and what OpenAI's weights need.

    Raises:
        UserError: they disagree about activation, heads, epsilon, padding or logit scale.
    """
    if layout == OWN_LAYOUT:
        return
    file = path.parent / "config.json"
    config = read_json(file) or {}
    if layout in ("gpt2", "gpt2-classifier"):
        _gpt2(file, config, architecture)
        return
    quick = checkpoint.quick_gelu if isinstance(checkpoint, Checkpoint) else None
    where = path
    if layout in ("hf-clip", "fusionbench-clip"):
        config = config.get("vision_config", config)
        activation = config.get("hidden_act", "quick_gelu") if isinstance(config, dict) else None
        if activation not in ("quick_gelu", "gelu"):
            raise UserError(f"{file}: hidden_act {activation!r} is not quick_gelu or gelu.")
        quick = activation == "quick_gelu"
        where = file if file.is_file() else path
        vision = architecture["vision_cfg"]
        heads = int(vision["width"]) // int(vision.get("head_width", 64))
        _same(file, config, "num_attention_heads", heads)
        _same(file, config, "layer_norm_eps", 1e-5)
    if quick is not None and quick != bool(architecture.get("quick_gelu", False)):
        kinds = ("GELU", "QuickGELU")
        raise UserError(
            f"{where}: these weights need {kinds[quick]}, but suite.json's architecture has "
            f"quick_gelu {str(not quick).lower()}."
        )
    scale = checkpoint.logit_scale if isinstance(checkpoint, Checkpoint) else None
    expected = float(architecture["logit_scale"])
    if scale is not None and abs(scale - expected) > SCALE_TOLERANCE * expected:
        raise UserError(
            f"{path}: logit_scale is {scale:.6g}, but suite.json's architecture has {expected:g}."
        )


def read_json(file: Path) -> dict[str, Any] | None:
    """An object in a JSON file; None if there is no such file."""
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read as JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} holds no JSON object.")
    return value


def _gpt2(file: Path, config: Mapping[str, Any], architecture: Mapping[str, Any]) -> None:
    activation = config.get("activation_function", "gelu_new")
    if activation not in _GELU_TANH:
        raise UserError(f"{file}: activation_function {activation!r} is not gelu_new.")
    for key, usual in (("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)):
        if config.get(key, usual) != usual:
            raise UserError(f"{file}: {key} is {config[key]!r}; only {usual} can be run.")
    _same(file, config, "n_head", int(architecture["n_head"]))
    _same(file, config, "layer_norm_epsilon", float(architecture.get("layer_norm_epsilon", 1e-5)))
    # some configs lack the token; whoever made the expert then padded with what the suite states
    if config.get("pad_token_id") is not None:
        _same(file, config, "pad_token_id", int(architecture.get("pad_id", 0)))


def _same(file: Path, config: Mapping[str, Any], key: str, expected: float) -> None:
    found = config.get(key, expected)
    if found != expected:
        raise UserError(
            f"{file}: {key} is {found!r}, but suite.json's architecture has {expected!r}."
        )
