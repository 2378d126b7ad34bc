"""CLIP in the layouts in which it is published, and the heads that its text tower makes.

- hf-clip, base or expert: transformers' `CLIPModel`, both towers, projections and logit scale
- fusionbench-clip, an expert: transformers' `CLIPVisionModel`; the projection stays the base's, if
  it is no `CLIPVisionModelWithProjection`
- peft-lora, an expert: LoRA adapters of a `CLIPVisionModel`, merged on reading
- openclip-state-dict, base or expert: open_clip's tensors, with all or some of the text tower
- openclip-pickle, base or expert: the same as a pickled `ImageEncoder`; nothing in it is run

Parameters are named as in open_clip, where q, k and v are one matrix; transformers has them apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from semerge.backbones.architecture import TEXT_TOWER
from semerge.backbones.base import Backbone
from semerge.backbones.clip import ARCHITECTURE, text_shapes
from semerge.backbones.clip.beside import check_activation, check_claims, claims
from semerge.backbones.clip.image_tower import OPENAI_MEAN, OPENAI_STD, VisionTransformer
from semerge.backbones.clip.text_tower import check_tokens, zero_shot_heads
from semerge.checkpoints.checkpoint import (
    Checkpoint,
    Origin,
    Shapes,
    prefix_of,
    same,
    stored,
)
from semerge.checkpoints.lora import LoraCheckpoint
from semerge.checkpoints.pickled import open_pickled, read_head
from semerge.checkpoints.rawfile import RawFile
from semerge.checkpoints.weight_files import open_weights
from semerge.common import UserError, listed, quoted
from semerge.suites.suite import Suite

# An expert of one of the open_clip layouts carries these unchanged; they are small and tell bases
# apart. The token embeddings would as well, but are a hundred megabytes.
ANCHORS = ("positional_embedding", "text_projection", "ln_final.weight", "ln_final.bias")
ANCHOR_TOLERANCE = 1e-3  # relative: room for a copy that went through half precision
# How far the logit scale of a base may be from suite.json's: the published ones are 100 to 5 digits
SCALE_TOLERANCE = 1e-3
PROJECTION = "visual_projection.weight"
HEAD_WIDTH = 64  # of every published CLIP
LOGIT_SCALE = 100.0  # of every OpenAI CLIP

_POSITION_IDS = r"embeddings\.position_ids"  # transformers 4 stored them; they are 0, 1, 2, ...
OPENAI = ("input_resolution", "context_length", "vocab_size")  # scalars of OpenAI's own files
_LEFT_OVER = (
    r"positional_embedding|text_projection|logit_scale|token_embedding\.weight"
    rf"|ln_final\.(weight|bias)|attn_mask|transformer\..+|{'|'.join(OPENAI)}"
)
_BLOCK = {
    "attn.in_proj_weight": "self_attn.{}_proj.weight",  # q, k and v, one after the other
    "attn.in_proj_bias": "self_attn.{}_proj.bias",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
}
# transformers spells pre_layrnorm so
_IMAGE_ENDS = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
}
_TEXT_ENDS = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final": "final_layer_norm",
}


def build(suite: Suite, inputs: bool = True) -> VisionTransformer:
    """The image tower of a suite."""
    config = suite.architecture
    colours: dict[str, Any] = {key: tuple(config[key]) for key in ("mean", "std") if key in config}
    return VisionTransformer(
        **asdict(ARCHITECTURE.sizes(config)),
        quick_gelu=bool(config.get("quick_gelu", False)),
        logit_scale=float(config["logit_scale"]),
        **colours,
    )


# ---- the names of transformers' CLIP ------------------------------------------------------------


def image_origins(names: Iterable[str], tower: str, projection: str | None) -> dict[str, Origin]:
    """Its image tower; `tower` is the prefix of its keys, `projection` a whole key. Without
    `projection`, "proj" is left out: a `CLIPVisionModel` has none."""
    return _origins(names, _IMAGE_ENDS, tower, {"proj": projection})


def text_origins(names: Iterable[str]) -> dict[str, Origin]:
    """The text tower of a `CLIPModel`."""
    projections = {"text_projection": "text_projection.weight"}
    return _origins(names, _TEXT_ENDS, "text_model.", projections)


def _origins(
    names: Iterable[str], ends: Mapping[str, str], tower: str, projections: Mapping[str, str | None]
) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for name in names:
        if name in projections:
            key = projections[name]
            if key is not None:
                origins[name] = Origin((key,), transposed=True)
        elif name.startswith("transformer.resblocks."):
            _, _, layer, part = name.split(".", 3)
            key = f"{tower}encoder.layers.{layer}.{_renamed(part, _BLOCK)}"
            origins[name] = Origin(tuple(dict.fromkeys(key.format(letter) for letter in "qkv")))
        else:
            origins[name] = Origin((tower + _renamed(name, ends),))
    return origins


def _renamed(name: str, table: Mapping[str, str]) -> str:
    if name in table:
        return table[name]
    module, _, kind = name.rpartition(".")
    return f"{table[module]}.{kind}"


# ---- opening files ------------------------------------------------------------------------------


def open_base(path: Path, layout: str, shapes: Shapes) -> Checkpoint:
    """The image tower of the zero-shot model."""
    return _hf_clip(path, shapes) if layout == "hf-clip" else _open_clip(path, layout, shapes)


def _hf_clip(path: Path, shapes: Shapes) -> Checkpoint:
    raw = open_weights(path)
    origins = image_origins(shapes, "vision_model.", PROJECTION)
    known = rf"vision_model\.{_POSITION_IDS}|text_model\..+|text_projection\.weight|logit_scale"
    base = Checkpoint(raw, origins, shapes, known)
    base.anchors = _anchors(raw, text_origins(ANCHORS))
    base.logit_scale = _logit_scale(raw, "logit_scale")
    return base


def open_expert(
    path: Path, layout: str, shapes: Shapes, base: Checkpoint
) -> Checkpoint | LoraCheckpoint:
    """An image tower that was tuned, or adapters of one."""
    if layout == "peft-lora":
        origins = image_origins(shapes, "", projection=None)
        raw = open_weights(path)
        return LoraCheckpoint(raw, shapes, base, origins, "encoder.layers.", tower="vision_model.")
    if layout == "fusionbench-clip":
        raw = open_weights(path)
        tower = prefix_of(raw, "vision_model.")
        own = PROJECTION if PROJECTION in raw.shapes else None
        origins = image_origins(shapes, tower, own)
        return Checkpoint(raw, origins, shapes, re.escape(tower) + _POSITION_IDS)
    expert = open_base(path, layout, shapes)
    what = "this expert was tuned from another base, or with its text tower, which makes the heads"
    _check_anchors(path, expert.anchors, base, what)
    return expert


def _open_clip(path: Path, layout: str, shapes: Shapes) -> Checkpoint:
    raw = _raw_open_clip(path, layout)
    raw.quick_gelu = _quick_gelu(raw)
    if not prefix_of(raw, "visual."):  # an image tower alone
        return Checkpoint(raw, same(shapes, ""), shapes)
    checkpoint = Checkpoint(raw, same(shapes, "visual."), shapes, _LEFT_OVER)
    checkpoint.anchors = _anchors(raw, same(ANCHORS, ""))
    checkpoint.logit_scale = _logit_scale(raw, "logit_scale")
    return checkpoint


def _raw_open_clip(path: Path, layout: str) -> RawFile:
    return open_pickled(path) if layout == "openclip-pickle" else open_weights(path)


def _quick_gelu(file: Any) -> bool | None:
    """What a file itself says of its activation: OpenAI's own is known by its three scalars."""
    openai = all(file.shapes.get(key) == () for key in OPENAI)
    quick: bool | None = True if openai else file.quick_gelu
    return quick


def open_text_tower(
    path: Path, layout: str, embed_dim: int, config: Mapping[str, Any]
) -> Checkpoint:
    """The text tower in a base's file, under the names of open_clip's `TextTransformer`. config:
    `text_cfg` of open_clip: context_length, vocab_size, width, heads, layers. Raises UserError
    where the file is missing or damaged, or a key, shape or type is not the layout's."""
    if layout not in ARCHITECTURE.base_layouts:
        raise UserError(
            f"{path}: {quoted(layout)} is no layout of a text tower; valid are "
            f"{listed(ARCHITECTURE.base_layouts)}."
        )
    shapes = text_shapes(embed_dim, config)
    if layout != "hf-clip":
        known = rf"visual\..+|logit_scale|attn_mask|{'|'.join(OPENAI)}"
        return Checkpoint(_raw_open_clip(path, layout), same(shapes, ""), shapes, known)
    known = rf"vision_model\..+|visual_projection\.weight|logit_scale|text_model\.{_POSITION_IDS}"
    return Checkpoint(open_weights(path), text_origins(shapes), shapes, known)


def _anchors(raw: RawFile, origins: Mapping[str, Origin]) -> dict[str, Tensor]:
    """Those of the text tower's left-overs that a file holds, copied out of its map."""
    found = {}
    for name, origin in origins.items():
        (key,) = origin.keys
        if key in raw.shapes:
            tensor = stored(raw, key)
            found[name] = (tensor.T if origin.transposed else tensor).clone()
    return found


def _check_anchors(path: Path, own: Mapping[str, Tensor], base: Checkpoint, what: str) -> None:
    for name, other in base.anchors.items():
        if name not in own:
            continue
        same_shape = own[name].shape == other.shape
        if not same_shape or (own[name] - other).norm() > ANCHOR_TOLERANCE * other.norm():
            raise UserError(f"{path}: {name} of the text tower is not that of {base.path}: {what}.")


def _logit_scale(raw: RawFile, key: str) -> float | None:
    """The factor on cosine similarities: files hold its logarithm."""
    return float(stored(raw, key).exp()) if key in raw.shapes else None


def check_config(
    checkpoint: Mapping[str, Any], path: Path, layout: str, architecture: Mapping[str, Any]
) -> None:
    """Compare what lies beside the file, and what it says itself of activation and logit scale."""
    check_claims(path, layout, architecture)
    if not isinstance(checkpoint, Checkpoint):
        return
    if checkpoint.quick_gelu is not None:
        check_activation(path, checkpoint.quick_gelu, architecture)
    scale, expected = checkpoint.logit_scale, float(architecture["logit_scale"])
    if scale is not None and abs(scale - expected) > SCALE_TOLERANCE * expected:
        raise UserError(
            f"{path}: logit_scale is {scale:.6g}, but suite.json's architecture has {expected:g}."
        )


def check_inputs(suite: Suite, path: Path, backbone: Backbone) -> None:
    """Its experts bring no tokenizer; how they see images, `check_config` compares."""


# ---- heads --------------------------------------------------------------------------------------


def read_heads(suite: Suite, backbone: Backbone) -> dict[str, Tensor]:
    """By the text tower, or from pickled classification heads."""
    if suite.head_source != TEXT_TOWER:
        sizes = backbone.output_dim, float(suite.architecture["logit_scale"])
        return {
            task.name: read_head(suite.path(str(task.head)), len(task.classes), *sizes)
            for task in suite.tasks
        }
    words = [(task.classes, task.templates) for task in suite.tasks]
    config, tower = suite.architecture, open_tower(suite, backbone)
    quick = bool(config.get("quick_gelu", False))
    heads = zero_shot_heads(tower, config["text_cfg"], quick, words)
    return dict(zip(suite.task_names, heads, strict=True))


def check_heads(suite: Suite, backbone: Backbone) -> None:
    """A text tower is opened, not run: that takes half a minute, and waits for the class names."""
    if suite.head_source == TEXT_TOWER:
        open_tower(suite, backbone)
    else:
        read_heads(suite, backbone)


def open_tower(suite: Suite, backbone: Backbone) -> Checkpoint:
    """The text tower that makes the heads of a suite, opened. Raises UserError where suite.json
    does not describe one, a task has no templates, or the file is missing or damaged."""
    config = suite.architecture.get("text_cfg")
    if not isinstance(config, dict):
        raise UserError(
            f"{suite.path('suite.json')}: architecture.text_cfg is missing, so no text tower can "
            "make the heads."
        )
    for task in suite.tasks:
        if not task.templates:
            raise UserError(
                f"{suite.path('suite.json')}: task {task.name} has no templates, so no text tower "
                "can make its head."
            )
    path = suite.path(suite.text_tower or suite.base_weights)
    layout = suite.text_tower_layout or suite.base_layout
    return open_text_tower(path, layout, backbone.output_dim, config)


def check_base(suite: Suite, backbone: Backbone, base: Checkpoint) -> None:
    """Compare it with a text tower from a file of its own, and CLIP's tokens with those beside."""
    if suite.head_source == TEXT_TOWER and suite.architecture.get("text_cfg"):
        tower = suite.path(suite.text_tower or suite.base_weights)
        check_tokens(tower, int(suite.architecture["text_cfg"]["vocab_size"]))
    if suite.head_source == TEXT_TOWER and suite.text_tower is not None:
        check_claims(suite.path(suite.text_tower), str(suite.text_tower_layout), suite.architecture)
        check_tower(open_tower(suite, backbone), base)


def check_tower(tower: Checkpoint, base: Checkpoint) -> None:
    """Compare a text tower with what the base's file holds of its own. Raises UserError where they
    differ, so the heads would be another model's."""
    _check_anchors(tower.path, tower, base, "this text tower is another model's")


# ---- what a file tells of itself ----------------------------------------------------------------


def layout_of(keys: Sequence[str], pickled: bool) -> str | None:
    """By the names of its first parameters."""

    def some(pattern: str) -> bool:
        return any(re.search(pattern, key) for key in keys)

    if some(r"(^|\.)encoder\.layers\.\d+\..+\.lora_[AB]\."):
        return "peft-lora"
    if some(r"^text_model\.") and some(r"^vision_model\."):
        return "hf-clip"
    if some(r"(^|\.)pre_layrnorm\.weight$"):
        return "fusionbench-clip"
    if some(r"(^|\.)visual\.conv1\.weight$") or {"conv1.weight", "ln_pre.weight"} <= {*keys}:
        return "openclip-pickle" if pickled else "openclip-state-dict"
    return None


def describe(base: Any, experts: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """By shapes, by what lies beside the files, and else by what holds for OpenAI's models."""
    model: dict[str, Any] = {"kind": "open_clip", "quick_gelu": True, "logit_scale": LOGIT_SCALE}
    model |= _of_transformers(base) if base.layout == "hf-clip" else _of_open_clip(base)
    # published scales are 100 but for rounding
    if base.logit_scale is not None and not math.isclose(
        base.logit_scale, LOGIT_SCALE, rel_tol=SCALE_TOLERANCE
    ):
        model["logit_scale"] = base.logit_scale
    told: dict[str, Any] = {}
    for one in (base, *experts):
        for claim in claims(one.path, one.layout):
            if claim.told or one is base:
                told.setdefault(claim.fact, claim.value)
    vision, assumed = model["vision_cfg"], []
    width, side = vision["width"], vision["image_size"] // vision["patch_size"]
    if (quick := _quick_gelu(base)) is not None:
        model["quick_gelu"] = quick
    else:
        model["quick_gelu"] = told.get("quick_gelu", True)
        if "quick_gelu" not in told:
            assumed.append("the activation is QuickGELU")
    if "heads" in told:
        vision["head_width"] = width // told["heads"]
    else:
        assumed.append(f"attention heads are {vision['head_width']} wide")
    if "text_cfg" in model and "text_cfg.heads" in told:
        model["text_cfg"]["heads"] = told["text_cfg.heads"]
    elif "text_cfg" in model:
        assumed.append(f"attention heads of the text tower are {HEAD_WIDTH} wide")
    if told.get("image_size", 0) // vision["patch_size"] == side:
        vision["image_size"] = told["image_size"]
    for key, usual in (("mean", OPENAI_MEAN), ("std", OPENAI_STD)):
        if told.get(key, list(usual)) != list(usual):
            model[key] = told[key]
    if "mean" not in told:
        assumed.append("images are made ready as for OpenAI's models")
    return model, assumed


def _of_transformers(found: Any) -> dict[str, Any]:
    shapes = found.shapes
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    vocabulary, text_width = shapes["text_model.embeddings.token_embedding.weight"]
    tokens = shapes["vision_model.embeddings.position_embedding.weight"][0]
    layers = found.count(r"vision_model\.encoder\.layers\.(\d+)\.")
    hidden = shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0]
    return {
        "embed_dim": shapes["visual_projection.weight"][0],
        "vision_cfg": _vision(width, patch, tokens, layers, hidden),
        "text_cfg": {
            "context_length": shapes["text_model.embeddings.position_embedding.weight"][0],
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": max(1, text_width // HEAD_WIDTH),
            "layers": found.count(r"text_model\.encoder\.layers\.(\d+)\."),
        },
    }


def _of_open_clip(found: Any) -> dict[str, Any]:
    own = found.shapes
    width, _, patch, _ = own["visual.conv1.weight"]
    layers = found.count(r"visual\.transformer\.resblocks\.(\d+)\.")
    tokens, embed = own["visual.positional_embedding"][0], own["visual.proj"][1]
    hidden = own["visual.transformer.resblocks.0.mlp.c_fc.weight"][0]
    model = {"embed_dim": embed, "vision_cfg": _vision(width, patch, tokens, layers, hidden)}
    if blocks := found.count(r"^transformer\.resblocks\.(\d+)\."):
        vocabulary, text_width = own["token_embedding.weight"]
        model["text_cfg"] = {
            "context_length": own["positional_embedding"][0],
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": max(1, text_width // HEAD_WIDTH),
            "layers": blocks,
        }
    return model


def _vision(width: int, patch: int, tokens: int, layers: int, hidden: int) -> dict[str, Any]:
    return {
        "image_size": round((tokens - 1) ** 0.5) * patch,
        "patch_size": patch,
        "width": width,
        "layers": layers,
        "head_width": min(HEAD_WIDTH, width),
        "mlp_ratio": hidden / width,
    }
