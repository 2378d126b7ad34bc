"""What lies beside a CLIP file and says how it is to be run: three files, each in words of its own.

- config.json of transformers, for its layouts: activation, attention heads, epsilon, sizes
- open_clip_config.json, for open_clip's: the same, and how images are made ready
- preprocessor_config.json: how images are made ready

Two models may have the same tensors and differ in each of these, and nothing fails: a GELU in the
place of QuickGELU shifts image embeddings by a few percent. So each file is read as claims on one
model, from which suite.json is written, and to which it is held whenever the file is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semerge.backbones.clip import ARCHITECTURE, TEXT
from semerge.backbones.clip.image_tower import EPS, OPENAI_MEAN, OPENAI_STD
from semerge.checkpoints.files import check_harmless, read_config
from semerge.common import UserError, quoted

ACTIVATIONS = {"quick_gelu": True, "gelu": False}
COLOURS = 1e-3  # how far apart two means are that are one: some write them to three digits
BICUBIC = 3  # Pillow's number

_TOWER = ("image_size", "patch_size", "width", "layers", "mlp_ratio")
# What of open_clip's configuration says nothing of how a plain tower is run, or says it by shapes.
_PLAIN: Mapping[str, Any] = {
    "pos_embed_type": "learnable",
    "block_type": "default",
    "proj_type": "linear",
}
_TRAINING = ("patch_dropout", "output_tokens", "timm_model_pretrained", "timm_pool", "timm_proj")
_UNUSED = ("attn_pooler_queries", "attn_pooler_heads", "hf_model_pretrained", "hf_proj_type")
_HARMLESS = {*_TRAINING, *_UNUSED, "hf_pooler_type", "pad_id", "eos_id"}
_PROCESSOR = {
    *("size", "crop_size", "resample", "image_mean", "image_std", "rescale_factor"),
    *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"),
    *("feature_extractor_type", "image_processor_type", "processor_class", "data_format"),
    *("input_data_format", "device", "return_tensors", "default_to_square", "use_fast"),
}


@dataclass(frozen=True)
class Claim:
    """That a fact of a model has a value. key: the file's own word for it. told: False where the
    file leaves it out and so means its library's default."""

    file: Path
    key: str
    fact: str
    value: Any
    told: bool = True


def facts(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """What claims are about, as suite.json has it; a text tower that it has not is left out."""
    sizes = ARCHITECTURE.sizes(architecture)
    text = architecture.get("text_cfg") or {}
    return {
        **{key: getattr(sizes, key) for key in (*_TOWER, "heads")},
        "embed_dim": sizes.output_dim,
        "quick_gelu": bool(architecture.get("quick_gelu", False)),
        "eps": EPS,
        "mean": architecture.get("mean", OPENAI_MEAN),
        "std": architecture.get("std", OPENAI_STD),
        **{f"text_cfg.{key}": text[key] for key in TEXT if key in text},
    }


def check_claims(path: Path, layout: str, architecture: Mapping[str, Any]) -> None:
    """Compare what lies beside a file with suite.json. Raises UserError where they differ."""
    known = facts(architecture)
    for claim in claims(path, layout):
        if claim.fact not in known or _agree(claim.value, known[claim.fact]):
            continue
        if claim.fact == "quick_gelu":
            check_activation(claim.file, claim.value, architecture)
        raise UserError(
            f"{claim.file}: {claim.key} is {quoted(claim.value)}, but suite.json's architecture "
            f"has {quoted(known[claim.fact])}."
        )


def check_activation(where: Path, quick: bool, architecture: Mapping[str, Any]) -> None:
    """Refuse another activation than suite.json's."""
    if quick != bool(architecture.get("quick_gelu", False)):
        kinds = ("GELU", "QuickGELU")
        raise UserError(
            f"{where}: these weights need {kinds[quick]}, but suite.json's architecture has "
            f"quick_gelu {str(not quick).lower()}."
        )


def claims(path: Path, layout: str) -> Iterator[Claim]:
    """All that lies beside a file. Raises UserError where it can't be read, or needs what a plain
    vision transformer, or its way with images, has not."""
    if layout.startswith("openclip"):
        yield from _open_clip(path.with_name("open_clip_config.json"))
    else:
        yield from _transformers(path, layout)
    yield from _processor(path.with_name("preprocessor_config.json"))


def _agree(value: Any, other: Any) -> bool:
    if isinstance(value, list) and isinstance(other, Sequence):
        pairs = zip(value, other, strict=False)
        return len(value) == len(other) and all(_near(a, b) for a, b in pairs)
    return bool(value == other)


def _near(value: Any, other: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, other, abs_tol=COLOURS)


def _part(file: Path, config: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = config.get(key) or {}
    if not isinstance(part, dict):
        raise UserError(f"{file}: {key} is no object.")
    return part


def _transformers(path: Path, layout: str) -> Iterator[Claim]:
    file = path.with_name("config.json")
    config = read_config(file)
    whole = config or {}
    _check_usual(file, whole, "model_type", ("clip", "clip_vision_model"))
    towers = {"": whole}
    if "vision_config" in whole:
        towers = {"vision_config": _part(file, whole, "vision_config")}
        if layout == "hf-clip":
            towers["text_config"] = _part(file, whole, "text_config")
    for where, tower in towers.items():
        at, text = f"{where}." if where else "", where == "text_config"
        act = tower.get("hidden_act", "quick_gelu")  # transformers' default
        if not isinstance(act, str) or act not in ACTIVATIONS:
            raise UserError(f"{file}: {at}hidden_act {quoted(act)} is not quick_gelu or gelu.")
        if layout != "peft-lora" or "hidden_act" in tower:
            source = path if config is None else file
            told = config is not None
            yield Claim(source, f"{at}hidden_act", "quick_gelu", ACTIVATIONS[act], told)
        names = {"num_attention_heads": "text_cfg.heads" if text else "heads"}
        names |= {"layer_norm_eps": "eps"}
        if not text:
            names |= {"image_size": "image_size", "patch_size": "patch_size"}
        # transformers 4 leaves out of a tower's part what equals its default
        usual = {"num_attention_heads": 8 if text else 12} if at else {}
        for key, fact in names.items():
            if key in {**usual, **tower}:
                yield Claim(file, at + key, fact, tower.get(key, usual.get(key)))


def _open_clip(file: Path) -> Iterator[Claim]:
    config = read_config(file)
    if config is None:
        return
    model = _part(file, config, "model_cfg") if "model_cfg" in config else config
    told = "quick_gelu" in model  # open_clip's default is GELU
    yield Claim(file, "quick_gelu", "quick_gelu", bool(model.get("quick_gelu", False)), told)
    if "embed_dim" in model:
        yield Claim(file, "embed_dim", "embed_dim", model["embed_dim"])
    vision, text = (_part(file, model, key) for key in ("vision_cfg", "text_cfg"))
    width, head = vision.get("width", 768), vision.get("head_width", 64)
    if not all(isinstance(n, int) and n > 0 for n in (width, head)):
        raise UserError(f"{file}: vision_cfg.width and head_width are no whole numbers.")
    yield Claim(file, "vision_cfg.head_width", "heads", width // head, "head_width" in vision)
    for key in _TOWER:
        if key in vision:
            yield Claim(file, f"vision_cfg.{key}", key, _one(vision[key]))
    for key in TEXT:
        if key in text:
            yield Claim(file, f"text_cfg.{key}", f"text_cfg.{key}", text[key])
    for name, tower, pool in (("vision_cfg", vision, "tok"), ("text_cfg", text, "argmax")):
        usual = {**_PLAIN, "pool_type": pool}
        unusual = {key: x for key, x in tower.items() if key not in usual or x != usual[key]}
        check_harmless(file, unusual, {*_HARMLESS, *_TOWER, *TEXT, "head_width"}, f"{name}.")
    rest = {key: x for key, x in model.items() if key not in ("vision_cfg", "text_cfg")}
    check_harmless(file, rest, {"embed_dim", "quick_gelu", "init_logit_scale"}, "")
    images = _part(file, config, "preprocess_cfg")
    yield from _images(file, images, "preprocess_cfg.", {"size": "image_size"})
    for key, way in (("mode", "RGB"), ("interpolation", "bicubic"), ("resize_mode", "shortest")):
        _check_usual(file, images, key, (way,), "preprocess_cfg.")
    known = {"size", "mean", "std", "mode", "interpolation", "resize_mode", "fill_color"}
    check_harmless(file, images, known, "preprocess_cfg.")


def _processor(file: Path) -> Iterator[Claim]:
    config = read_config(file) or {}
    for key in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        _check_usual(file, config, key, (True,))
    _check_usual(file, config, "resample", (BICUBIC, "bicubic"))
    scale = config.get("rescale_factor", 1 / 255)
    if not isinstance(scale, float) or not math.isclose(scale, 1 / 255, rel_tol=1e-3):
        raise UserError(f"{file}: rescale_factor is {quoted(scale)}; only 1/255 can be run.")
    check_harmless(file, config, _PROCESSOR, "")
    size = config.get("size")
    if isinstance(size, dict) and "shortest_edge" not in size:
        raise UserError(
            f"{file}: size is {quoted(size)}; images can be scaled by their shortest edge alone."
        )
    names = {"size": "image_size", "crop_size": "image_size"}
    yield from _images(file, config, "", names | {"image_mean": "mean", "image_std": "std"})


def _images(
    file: Path, config: Mapping[str, Any], where: str, names: Mapping[str, str]
) -> Iterator[Claim]:
    for key, fact in {"mean": "mean", "std": "std", **names}.items():
        if key in config:
            value = config[key]
            yield Claim(file, where + key, fact, _one(value) if "size" in key else value)


def _check_usual(
    file: Path, config: Mapping[str, Any], key: str, usual: tuple[Any, ...], where: str = ""
) -> None:
    if key in config and config[key] not in usual:
        raise UserError(
            f"{file}: {where}{key} is {quoted(config[key])}; only {usual[0]} can be run."
        )


def _one(size: Any) -> Any:
    """224 of {"shortest_edge": 224}, {"height": 224, "width": 224} and [224, 224]; others stay."""
    sides = list(size.values()) if isinstance(size, dict) else size
    same = isinstance(sides, list) and sides and sides.count(sides[0]) == len(sides)
    return sides[0] if same else size
