"""From a suite's description to a backbone and checked weights: what an engine starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from semerge.backbones import GPT2, VisionTransformer
from semerge.checkpoints.bundled import Point, Statistics, check_files, read_weights
from semerge.errors import UserError
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.task_vectors import TaskVectors


@dataclass(frozen=True)
class Loaded:
    """A suite with its weights in memory."""

    suite: Suite
    backbone: VisionTransformer | GPT2
    vectors: TaskVectors
    heads: Mapping[str, Tensor]  # by task: (C, D)
    statistics: Mapping[Point, Statistics]  # by (layer, pool); empty without a cache probe


def load(suite: Suite) -> Loaded:
    """Read all weights of a suite. Raises UserError if anything is missing or damaged."""
    try:
        Settings().resolve(suite)
    except UserError as error:
        raise UserError(f"{suite.path('suite.json')}: defaults: {error}") from None
    check_files(suite)
    backbone = build_backbone(suite)
    width = backbone.width if isinstance(backbone, GPT2) else backbone.output_dim
    weights = read_weights(suite, backbone.shapes, width)
    vectors = TaskVectors(weights.base, weights.experts, backbone.segments)
    return Loaded(suite, backbone, vectors, weights.heads, weights.statistics)


def build_backbone(suite: Suite) -> VisionTransformer | GPT2:
    """The architecture of a suite; keys of the config are those of open_clip and transformers."""
    config = suite.architecture
    try:
        return _gpt2(suite, config) if config["kind"] == "gpt2" else _open_clip(config)
    except (KeyError, TypeError, ValueError) as error:
        file = suite.path("suite.json")
        raise UserError(f"{file}: architecture is incomplete or wrong at {error}.") from None


def _open_clip(config: Mapping[str, Any]) -> VisionTransformer:
    vision = config["vision_cfg"]
    colours = {key: tuple(config[key]) for key in ("mean", "std") if key in config}
    return VisionTransformer(
        image_size=int(vision["image_size"]),
        patch_size=int(vision["patch_size"]),
        width=int(vision["width"]),
        layers=int(vision["layers"]),
        heads=int(vision["width"]) // int(vision.get("head_width", 64)),
        output_dim=int(config["embed_dim"]),
        mlp_ratio=float(vision.get("mlp_ratio", 4.0)),
        quick_gelu=bool(config.get("quick_gelu", False)),
        logit_scale=float(config["logit_scale"]),
        **colours,
    )


def _gpt2(suite: Suite, config: Mapping[str, Any]) -> GPT2:
    from tokenizers import Tokenizer

    path = suite.path(config["tokenizer"])
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise UserError(f"{path} can't be read as a tokenizer: {error}.") from None
    # state that a tokenizer.json may carry; length is the backbone's business
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.get_vocab_size() > int(config["vocab_size"]):
        raise UserError(f"{path} has more tokens than the model: {tokenizer.get_vocab_size()}.")
    return GPT2(
        vocab=int(config["vocab_size"]),
        positions=int(config["n_positions"]),
        width=int(config["n_embd"]),
        layers=int(config["n_layer"]),
        heads=int(config["n_head"]),
        eps=float(config.get("layer_norm_epsilon", 1e-5)),
        tokenizer=tokenizer,
        pad_id=int(config.get("pad_id", 0)),
    )
