"""The layouts in which published weights come, and how to open each.

- hf-clip, a base: transformers' `CLIPModel`, both towers, projections and logit scale
- fusionbench-clip, an expert: transformers' `CLIPVisionModel`; the projection stays the base's
- peft-lora, an expert: LoRA adapters of a `CLIPVisionModel`, merged on reading
- openclip-state-dict, base or expert: open_clip's tensors with what is left of the text tower
- openclip-pickle, base or expert: the same as a pickled `ImageEncoder`; nothing in it is run
- gpt2, a base: transformers' `GPT2Model` or `GPT2LMHeadModel`
- gpt2-classifier, an expert: transformers' `GPT2ForSequenceClassification`, with its head
- semerge, base or expert: the project's own; an expert holds only what differs from the base

A file may be safetensors or a torch file. What comes out is a `Checkpoint`:
float32 tensors under the names of the backbone, read when they are asked for. Keys, shapes and
types are checked when a file is opened, so opening is cheap and finds most damage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semerge.checkpoints import names
from semerge.checkpoints.checkpoint import Checkpoint, check_finite, stored
from semerge.checkpoints.lora import LoraCheckpoint
from semerge.checkpoints.names import Origin, Shapes
from semerge.checkpoints.pickled import open_pickled
from semerge.checkpoints.rawfile import RawFile, open_raw
from semerge.common import UserError
from semerge.suites.suite import OWN_LAYOUT

# An expert of one of the open_clip layouts carries these unchanged; they are small and tell bases
# apart. The token embeddings would as well, but are a hundred megabytes.
ANCHORS = ("positional_embedding", "text_projection", "ln_final.weight", "ln_final.bias")
ANCHOR_TOLERANCE = 1e-3  # relative: room for a copy that went through half precision

_POSITION_IDS = r"embeddings\.position_ids"  # transformers 4 stored them; they are 0, 1, 2, ...
_LEFT_OVER = (
    r"positional_embedding|text_projection|logit_scale|token_embedding\.weight"
    r"|ln_final\.(weight|bias)|attn_mask|transformer\..+"
)
_ATTENTION_MASKS = r"h\.\d+\.attn\.(bias|masked_bias)"


def open_base(path: Path, layout: str, shapes: Shapes) -> Checkpoint:
    """The base of a suite: every parameter of the backbone.

    Args:
        shapes: of the backbone's parameters, by name.

    Raises:
        UserError: the file is missing or damaged, or a key, shape or type is not the layout's.
    """
    openers: dict[str, Callable[[Path, Shapes], Checkpoint]] = {
        OWN_LAYOUT: lambda path, shapes: Checkpoint(open_raw(path), names.same(shapes, ""), shapes),
        "hf-clip": _hf_clip,
        "openclip-state-dict": lambda path, shapes: _open_clip(open_raw(path), shapes),
        "openclip-pickle": lambda path, shapes: _open_clip(open_pickled(path), shapes),
        "gpt2": lambda path, shapes: _gpt2(path, shapes, r"lm_head\.weight"),
    }
    if layout not in openers:
        raise _not_one_of(path, layout, "a base", openers)
    return openers[layout](path, shapes)


def open_expert(
    path: Path, layout: str, shapes: Shapes, base: Checkpoint
) -> Checkpoint | LoraCheckpoint:
    """An expert: every parameter that its file holds; what is left out equals the base's.

    Raises:
        UserError: as `open_base`; or the file shows that the expert comes from another base.
    """
    openers: dict[str, Callable[[], Checkpoint | LoraCheckpoint]] = {
        OWN_LAYOUT: lambda: _own_expert(path, shapes),
        "fusionbench-clip": lambda: _fusionbench_clip(path, shapes),
        "peft-lora": lambda: LoraCheckpoint(open_raw(path), shapes, base),
        "openclip-state-dict": lambda: _of_base(_open_clip(open_raw(path), shapes), base),
        "openclip-pickle": lambda: _of_base(_open_clip(open_pickled(path), shapes), base),
        "gpt2-classifier": lambda: _gpt2(path, shapes, r"score\.weight"),
    }
    if layout not in openers:
        raise _not_one_of(path, layout, "an expert", openers)
    return openers[layout]()


def open_text_tower(
    path: Path, layout: str, embed_dim: int, config: Mapping[str, Any]
) -> Checkpoint:
    """The text tower in a base's file, under the names of open_clip's `TextTransformer`.

    Args:
        config: `text_cfg` of open_clip: context_length, vocab_size, width, heads, layers.

    Raises:
        UserError: as `open_base`.
    """
    if layout != "hf-clip":
        raise _not_one_of(path, layout, "a text tower", ("hf-clip",))
    shapes = names.text_shapes(embed_dim, config)
    known = rf"vision_model\..+|visual_projection\.weight|logit_scale|text_model\.{_POSITION_IDS}"
    return Checkpoint(open_raw(path), names.clip_text(shapes), shapes, known)


def read_score(path: Path, rows: int, width: int) -> Tensor:
    """The head (C, D) in the file of a `GPT2ForSequenceClassification`.

    Raises:
        UserError: there is none, or it does not have a row for each class.
    """
    raw = open_raw(path)
    if raw.shapes.get("score.weight") != (rows, width):
        found = raw.shapes.get("score.weight", "missing")
        raise UserError(
            f"{path}: score.weight is {found}, not {(rows, width)}: it must have a row for each "
            "class of the task."
        )
    head = raw.tensor("score.weight").to(torch.float32, copy=True)
    check_finite(head, f"{path}: score.weight")
    return head


def _hf_clip(path: Path, shapes: Shapes) -> Checkpoint:
    raw = open_raw(path)
    origins = names.clip_vision(shapes, "vision_model.", "visual_projection.weight")
    known = rf"vision_model\.{_POSITION_IDS}|text_model\..+|text_projection\.weight|logit_scale"
    base = Checkpoint(raw, origins, shapes, known)
    base.anchors = _anchors(raw, names.clip_text(ANCHORS))
    base.logit_scale = _logit_scale(raw, "logit_scale")
    return base


def _own_expert(path: Path, shapes: Shapes) -> Checkpoint:
    raw = open_raw(path)
    return Checkpoint(raw, names.same(raw.shapes.keys() & shapes.keys(), ""), shapes)


def _fusionbench_clip(path: Path, shapes: Shapes) -> Checkpoint:
    raw = open_raw(path)
    tower = _prefix(raw, "vision_model.")
    origins = names.clip_vision(shapes, tower, projection=None)
    return Checkpoint(raw, origins, shapes, re.escape(tower) + _POSITION_IDS)


def _open_clip(raw: RawFile, shapes: Shapes) -> Checkpoint:
    model = _prefix(raw, "model.")
    tower = _prefix(raw, f"{model}visual.")
    if not tower:  # an image tower alone
        return Checkpoint(raw, names.same(shapes, model), shapes)
    known = rf"{re.escape(model)}({_LEFT_OVER})"
    checkpoint = Checkpoint(raw, names.same(shapes, tower), shapes, known)
    checkpoint.anchors = _anchors(raw, names.same(ANCHORS, model))
    checkpoint.logit_scale = _logit_scale(raw, f"{model}logit_scale")
    return checkpoint


def _gpt2(path: Path, shapes: Shapes, head: str) -> Checkpoint:
    raw = open_raw(path)
    body = _prefix(raw, "transformer.")
    known = rf"{re.escape(body)}{_ATTENTION_MASKS}|{head}"
    return Checkpoint(raw, names.same(shapes, body), shapes, known)


def _prefix(raw: RawFile, prefix: str) -> str:
    return prefix if any(key.startswith(prefix) for key in raw.shapes) else ""


def _anchors(raw: RawFile, origins: Mapping[str, Origin]) -> dict[str, Tensor]:
    """Those of the text tower's left-overs that a file holds, copied out of its map."""
    found = {}
    for name, origin in origins.items():
        (key,) = origin.keys
        if key in raw.shapes:
            tensor = stored(raw, key)
            found[name] = (tensor.T if origin.transposed else tensor).clone()
    return found


def _logit_scale(raw: RawFile, key: str) -> float | None:
    """The factor on cosine similarities: files hold its logarithm."""
    if key not in raw.shapes:
        return None
    return float(stored(raw, key).exp())


def check_tower(tower: Checkpoint, base: Checkpoint) -> None:
    """Compare a text tower from a file of its own with what the base's file holds of its own.

    Raises:
        UserError: they differ, so the heads would be another model's.
    """
    _check_anchors(tower, tower, base, "this text tower is another model's")


def _of_base(expert: Checkpoint, base: Checkpoint) -> Checkpoint:
    """The expert, if the left-overs of its text tower are those of the base."""
    _check_anchors(expert, expert.anchors, base, "this expert was tuned from another base")
    return expert


def _check_anchors(
    checkpoint: Checkpoint, anchors: Mapping[str, Tensor], base: Checkpoint, what: str
) -> None:
    for name, other in base.anchors.items():
        if name not in anchors:
            continue
        tensor = anchors[name]
        same = tensor.shape == other.shape
        if not same or (tensor - other).norm() > ANCHOR_TOLERANCE * other.norm():
            raise UserError(
                f"{checkpoint.path}: {name} of the text tower is not that of {base.path}: {what}."
            )


def _not_one_of(path: Path, layout: str, what: str, known: Iterable[str]) -> UserError:
    return UserError(f"{path}: {layout!r} is no layout of {what}; valid are {', '.join(known)}.")
