"""Which layout a weight file has, and which model it is of, told from its keys and shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semerge.checkpoints.config import read_json
from semerge.checkpoints.pickled import open_pickled
from semerge.checkpoints.rawfile import RawFile, open_raw
from semerge.common import UserError

Shapes = Mapping[str, tuple[int, ...]]
HEAD_WIDTH = 64  # of every published CLIP and GPT-2
LOGIT_SCALE = 100.0  # of every OpenAI CLIP


@dataclass(frozen=True)
class Found:
    """What a weight file tells of itself. No tensor of it is kept."""

    path: Path
    layout: str
    shapes: Shapes  # by the file's own keys
    quick_gelu: bool | None  # None where the file says nothing of its activation
    logit_scale: float | None  # the factor on cosine similarities; None where there is none


def detect(path: Path) -> Found:
    """The layout of a file, told from its keys.

    Raises:
        UserError: the file can't be read, or has no layout that is known.
    """
    raw, pickled = _open(path)
    layout = _layout(path, raw.shapes, pickled)
    return Found(path, layout, raw.shapes, raw.quick_gelu, _logit_scale(raw))


def _layout(path: Path, shapes: Shapes, pickled: bool) -> str:
    keys = set(shapes)

    def some(pattern: str) -> bool:
        return any(re.search(pattern, key) for key in keys)

    if some(r"\.lora_[AB]\."):
        return "peft-lora"
    if some(r"^text_model\.") and some(r"^vision_model\."):
        return "hf-clip"
    if some(r"(^|\.)pre_layrnorm\.weight$"):
        return "fusionbench-clip"
    if "score.weight" in keys and some(r"(^|\.)wte\.weight$"):
        return "gpt2-classifier"
    if some(r"(^|\.)wte\.weight$"):
        return "gpt2"
    if some(r"(^|\.)visual\.conv1\.weight$"):
        return "openclip-pickle" if pickled else "openclip-state-dict"
    example = ", ".join(sorted(keys)[:3])
    raise UserError(f"{path} has no layout that is known here; its keys are {example}, ...")


def _open(path: Path) -> tuple[RawFile, bool]:
    try:
        return open_raw(path), False
    except UserError as error:
        if not path.is_file():
            raise
        try:
            return open_pickled(path), True
        except UserError:
            raise error from None


def _logit_scale(raw: RawFile) -> float | None:
    """A CLIP file holds its logarithm; what is no number there is told when the file is checked."""
    for key in ("logit_scale", "model.logit_scale"):
        if raw.shapes.get(key) == ():
            scale = math.exp(min(float(raw.tensor(key)), 100.0))
            return scale if math.isfinite(scale) else None
    return None


def architecture(base: Found) -> dict[str, Any]:
    """What suite.json says of the model whose base this is, but for a text model's tokenizer.

    Raises:
        UserError: the file is no base.
    """
    path, layout, shapes = base.path, base.layout, base.shapes
    config = read_json(path.with_name("config.json")) or {}
    try:
        if layout == "hf-clip":
            return _told(base, _hf_clip(config, shapes))
        if layout in ("openclip-state-dict", "openclip-pickle"):
            return _told(base, _open_clip(shapes))
        if layout == "gpt2":
            return _gpt2(config, shapes)
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]} is missing.") from None
    except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{path}: its shapes, or config.json beside it, are of no model known here: {error}."
        ) from None
    raise UserError(
        f"{path} has the layout {layout}, which is an expert's; a base is a CLIPModel, a GPT2Model "
        "or the open_clip state dict or pickle of the zero-shot model."
    )


def _told(base: Found, model: dict[str, Any]) -> dict[str, Any]:
    """The model with what the file itself says, instead of what holds for OpenAI's."""
    if base.quick_gelu is not None:
        model["quick_gelu"] = base.quick_gelu
    # published scales are 100 but for rounding
    if base.logit_scale is not None and not math.isclose(
        base.logit_scale, LOGIT_SCALE, rel_tol=1e-3
    ):
        model["logit_scale"] = base.logit_scale
    return model


def _hf_clip(config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    tokens = shapes["vision_model.embeddings.position_embedding.weight"][0]
    vocabulary, text_width = shapes["text_model.embeddings.token_embedding.weight"]
    told = config.get("vision_config", {})
    text = {
        "context_length": shapes["text_model.embeddings.position_embedding.weight"][0],
        "vocab_size": vocabulary,
        "width": text_width,
        "heads": max(1, text_width // HEAD_WIDTH),
        "layers": _count(shapes, r"text_model\.encoder\.layers\.(\d+)\."),
    }
    layers = _count(shapes, r"vision_model\.encoder\.layers\.(\d+)\.")
    quick = told.get("hidden_act", "quick_gelu") == "quick_gelu"
    embed = shapes["visual_projection.weight"][0]
    heads = told.get("num_attention_heads", max(1, width // HEAD_WIDTH))
    hidden = shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0]
    vision = _vision(width, patch, tokens, layers, width // heads, hidden)
    return _clip(embed, vision, quick) | {"text_cfg": text}


def _open_clip(shapes: Shapes) -> dict[str, Any]:
    own = {key.removeprefix("model."): shape for key, shape in shapes.items()}
    width, _, patch, _ = own["visual.conv1.weight"]
    layers = _count(own, r"visual\.transformer\.resblocks\.(\d+)\.")
    tokens, embed = own["visual.positional_embedding"][0], own["visual.proj"][1]
    hidden = own["visual.transformer.resblocks.0.mlp.c_fc.weight"][0]
    head_width = min(HEAD_WIDTH, width)
    return _clip(embed, _vision(width, patch, tokens, layers, head_width, hidden), True)


def _clip(embed: int, vision: dict[str, Any], quick: bool) -> dict[str, Any]:
    return {
        "kind": "open_clip",
        "embed_dim": embed,
        "vision_cfg": vision,
        "quick_gelu": quick,
        "logit_scale": LOGIT_SCALE,
    }


def _vision(
    width: int, patch: int, tokens: int, layers: int, head_width: int, hidden: int
) -> dict[str, Any]:
    return {
        "image_size": round((tokens - 1) ** 0.5) * patch,
        "patch_size": patch,
        "width": width,
        "layers": layers,
        "head_width": head_width,
        "mlp_ratio": hidden / width,
    }


def _gpt2(config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    own = {key.removeprefix("transformer."): shape for key, shape in shapes.items()}
    (vocabulary, width), positions = own["wte.weight"], own["wpe.weight"][0]
    return {
        "kind": "gpt2",
        "vocab_size": vocabulary,
        "n_positions": positions,
        "n_embd": width,
        "n_layer": _count(own, r"^h\.(\d+)\."),
        "n_head": config.get("n_head", max(1, width // HEAD_WIDTH)),
        "pad_id": vocabulary - 1,  # GPT-2's end of text, which FusionBench pads with
        "max_length": min(512, positions),
    }


def _count(shapes: Shapes, pattern: str) -> int:
    found = [int(m[1]) for key in shapes if (m := re.search(pattern, key))]
    return max(found, default=-1) + 1
