"""CLIP (Radford et al., arXiv 2103.00020), described: its sizes, and what suite.json says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from semerge.backbones.architecture import (
    HEAD_FILE,
    HEAD_FILES,
    TEXT_TOWER,
    Architecture,
    Shapes,
    check_divides,
    check_positive,
    check_whole,
    is_number,
)
from semerge.common import UserError, quoted

VISION = ("image_size", "patch_size", "width", "layers")
TEXT = ("context_length", "vocab_size", "width", "heads", "layers")
COLOURS = 3


@dataclass(frozen=True)
class TowerSizes:
    """Sizes of an image tower. image_size, patch_size in pixels; output_dim is D, the width of the
    joint embedding."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    output_dim: int
    mlp_ratio: float = 4.0

    pools = ("all", "cls", "mean")
    outputs_last = False

    @cached_property
    def depth(self) -> int:
        return self.layers

    @cached_property
    def shapes(self) -> Shapes:
        """Every parameter's shape, in the order of the forward pass."""
        d, patch = self.width, self.patch_size
        tokens = (self.image_size // patch) ** 2 + 1
        return {
            "conv1.weight": (d, 3, patch, patch),
            "class_embedding": (d,),
            "positional_embedding": (tokens, d),
            "ln_pre.weight": (d,),
            "ln_pre.bias": (d,),
            **block_shapes(d, self.layers, int(d * self.mlp_ratio)),
            "ln_post.weight": (d,),
            "ln_post.bias": (d,),
            "proj": (d, self.output_dim),
        }


def block_shapes(d: int, layers: int, hidden: int) -> Shapes:
    """The residual blocks of either tower, `hidden` wide within."""
    block: Shapes = {
        "ln_1.": (d,),
        "attn.in_proj_": (3 * d, d),
        "attn.out_proj.": (d, d),
        "ln_2.": (d,),
        "mlp.c_fc.": (hidden, d),
        "mlp.c_proj.": (d, hidden),
    }
    shapes: Shapes = {}
    for i in range(layers):
        for name, weight in block.items():
            at = f"transformer.resblocks.{i}.{name}"
            shapes |= {f"{at}weight": weight, f"{at}bias": weight[:1]}
    return shapes


def text_shapes(embed_dim: int, config: Mapping[str, Any]) -> Shapes:
    """Every parameter of open_clip's `TextTransformer`; the config is its `text_cfg`."""
    d = int(config["width"])
    return {
        "token_embedding.weight": (int(config["vocab_size"]), d),
        "positional_embedding": (int(config["context_length"]), d),
        **block_shapes(d, int(config["layers"]), 4 * d),
        "ln_final.weight": (d,),
        "ln_final.bias": (d,),
        "text_projection": (d, embed_dim),
    }


class ClipArchitecture(Architecture):
    """Keys of the description are those of an open_clip configuration."""

    kind, modality = "open_clip", "image"
    base_layouts = ("hf-clip", "openclip-state-dict", "openclip-pickle")
    expert_layouts = ("fusionbench-clip", *base_layouts, "peft-lora")
    head_sources = (HEAD_FILE, TEXT_TOWER, HEAD_FILES)

    def check(self, raw: Mapping[str, Any]) -> None:
        check_whole(raw, ("embed_dim",), "architecture.")
        where = "architecture.vision_cfg."
        vision = _part(raw, "vision_cfg")
        check_whole(vision, VISION, where)
        check_whole(vision, ("head_width",), where, optional=True)
        check_positive(vision, "mlp_ratio", where, optional=True)
        check_positive(raw, "logit_scale", "architecture.")
        if vision["patch_size"] > vision["image_size"]:
            raise UserError(f"{where}patch_size is larger than image_size")
        check_divides(vision["width"], vision.get("head_width", 64), f"{where}head_width", "width")
        for key in ("mean", "std"):
            if key in raw and not _is_colour(raw[key]):
                raise UserError(
                    f"architecture.{key} must be three finite numbers, not {quoted(raw[key])}"
                )
        if raw.get("text_cfg") is not None:
            text, where = _part(raw, "text_cfg"), "architecture.text_cfg."
            check_whole(text, TEXT, where)
            check_divides(text["width"], text["heads"], f"{where}heads", "width")

    def sizes(self, raw: Mapping[str, Any]) -> TowerSizes:
        vision = raw["vision_cfg"]
        return TowerSizes(
            **{key: int(vision[key]) for key in VISION},
            heads=int(vision["width"]) // int(vision.get("head_width", 64)),
            output_dim=int(raw["embed_dim"]),
            mlp_ratio=float(vision.get("mlp_ratio", 4.0)),
        )

    def side(self, raw: Mapping[str, Any]) -> int:
        return int(raw["vision_cfg"]["image_size"])

    def tower_shapes(self, raw: Mapping[str, Any]) -> Shapes:
        """Of the text tower; whoever reads it tells where it is not described."""
        text = raw.get("text_cfg")
        return {} if text is None else text_shapes(int(raw["embed_dim"]), text)


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = raw.get(key)
    if not isinstance(part, dict):
        raise UserError(f"architecture.{key} is missing or is no object")
    return part


def _is_colour(values: object) -> bool:
    return isinstance(values, list) and len(values) == COLOURS and all(map(is_number, values))


ARCHITECTURE = ClipArchitecture()
