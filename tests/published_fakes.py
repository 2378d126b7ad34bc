"""Small files in the layouts of published checkpoints, for any test that needs one.

Weights are made under the canonical names, those of the backbones, and written in each layout by
functions that know nothing of the readers. Sizes keep every rule of the real ones: q, k and v are
stored apart or as one, layer names have two digits' room, positions come from 224 / 32.

    F1 prefixed `CLIPVisionModel`, F2 flat, F3 with position_ids: write_vision_model
    F4 whole `CLIPModel` with both position_ids: write_clip_model
    F5 open_clip state dict with left-overs of the text tower: write_state_dict
    F6, F7 pickled modules: in `pickled_fakes`
    F8, F9 GPT-2: in `gpt2_fakes`
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from semerge.backbones import VisionTransformer

Weights = dict[str, Tensor]

VIT = VisionTransformer(224, 32, 32, 2, 2, 16, mlp_ratio=2.0, quick_gelu=True, logit_scale=50.0)
TEXT = {"context_length": 77, "vocab_size": 700, "width": 24, "heads": 2, "layers": 2}
CLIP_ARCHITECTURE = {
    "kind": "open_clip",
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 224,
        "patch_size": 32,
        "width": 32,
        "layers": 2,
        "head_width": 16,
        "mlp_ratio": 2.0,
    },
    "text_cfg": TEXT,
    "quick_gelu": True,
    "logit_scale": 50.0,
}


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Weights:
    """Normal numbers that keep activations near one: gains of norms near 1, matrices by fan-in."""
    random = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        x = torch.randn(shape, generator=random)
        if name.endswith("weight") and len(shape) == 1:
            made[name] = 1 + 0.1 * x
        elif len(shape) == 1:
            made[name] = 0.1 * x
        else:
            fan_in = shape[0] if "c_" in name and name.startswith("h.") else x[0].numel()
            made[name] = x / fan_in**0.5
    return made


def tuned(weights: Weights, seed: int, size: float = 0.05) -> Weights:
    """The weights after a little training: each tensor moved by `size` of its own spread."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: x + size * x.abs().mean() * torch.randn(x.shape, generator=random)
        for name, x in weights.items()
    }


def text_weights(seed: int, embed_dim: int = 16, config: Mapping[str, int] = TEXT) -> Weights:
    """A text tower under the names of open_clip, from open_clip's own module."""
    from open_clip.transformer import QuickGELU, TextTransformer

    with torch.device("meta"):
        tower = TextTransformer(**config, output_dim=embed_dim, act_layer=QuickGELU)
    shapes = {name: tuple(x.shape) for name, x in tower.state_dict().items()}
    return random_weights(shapes, seed)


# ---- transformers' names ---------------------------------------------------------------------


def hf_tower(weights: Mapping[str, Tensor], tower: str) -> Weights:
    """Canonical names -> transformers'; projections are left out."""
    ends = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
    }
    moves = [
        ("transformer.resblocks.", "encoder.layers."),
        ("attn.out_proj", "self_attn.out_proj"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("ln_pre", "pre_layrnorm"),
        ("ln_post", "post_layernorm"),
        ("ln_final", "final_layer_norm"),
    ]
    out: Weights = {}
    for name, x in weights.items():
        if name in ("proj", "text_projection"):
            continue
        new = ends.get(name, name)
        for old, other in moves:
            new = new.replace(old, other)
        if "attn.in_proj_" in new:
            for letter, part in zip("qkv", x.chunk(3), strict=True):
                at = new.replace("attn.in_proj_", f"self_attn.{letter}_proj.")
                out[tower + at] = part.clone()
        else:
            out[tower + new] = x.clone()
    return out


def hf_clip(vision: Weights, text: Weights, logit_scale: float = 50.0) -> Weights:
    """The state dict of transformers' `CLIPModel`."""
    return {
        **hf_tower(text, "text_model."),
        **hf_tower(vision, "vision_model."),
        "visual_projection.weight": vision["proj"].T.contiguous(),
        "text_projection.weight": text["text_projection"].T.contiguous(),
        "logit_scale": torch.tensor(logit_scale).log(),
    }


def write_clip_model(path: Path, state: Weights, config: bool = True) -> Path:
    """F4: both towers with int64 position_ids, as pytorch_model.bin, or as .safetensors."""
    ids = {
        "vision_model.embeddings.position_ids": torch.arange(50)[None],
        "text_model.embeddings.position_ids": torch.arange(77)[None],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save({**state, **ids}, path)
    if config:
        act = {"hidden_act": "quick_gelu"}
        vision = {**act, "num_attention_heads": 2, "layer_norm_eps": 1e-05}
        whole = {"model_type": "clip", "vision_config": vision}
        whole["text_config"] = {**act, "num_attention_heads": 2}
        (path.parent / "config.json").write_text(json.dumps(whole), encoding="utf-8")
    return path


def write_vision_model(
    path: Path, weights: Weights, prefixed: bool = True, position_ids: bool = False, heads: int = 2
) -> Path:
    """F1, F2, F3: `CLIPVisionModel` as transformers 4 and 5 write it, with the 4.x config."""
    tower = "vision_model." if prefixed else ""
    state = hf_tower(weights, tower)
    if position_ids:
        state[f"{tower}embeddings.position_ids"] = torch.arange(50)[None]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, {"format": "pt"})
    config = {
        "_name_or_path": "outputs/model",
        "architectures": ["CLIPVisionModel"],
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": heads,
        "torch_dtype": "float32",
    }
    (path.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def write_lora(
    path: Path, layers: int = 2, width: int = 32, rank: int = 4, alpha: int = 8, seed: int = 0
) -> Path:
    """Adapters of q_proj and v_proj, as PEFT writes them."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for i in range(layers):
        for letter in "qv":
            at = f"base_model.model.vision_model.encoder.layers.{i}.self_attn.{letter}_proj.lora_"
            state[f"{at}A.weight"] = 0.1 * torch.randn(rank, width, generator=random)
            state[f"{at}B.weight"] = 0.1 * torch.randn(width, rank, generator=random)
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "rank_pattern": {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    (path.parent / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


# ---- open_clip's names -----------------------------------------------------------------------

LEFT_OVER = (
    "positional_embedding",
    "text_projection",
    "token_embedding.weight",
    "ln_final.weight",
    "ln_final.bias",
)


def image_encoder(vision: Weights, text: Weights, logit_scale: float = 50.0) -> Weights:
    """The state dict of an `ImageEncoder`: its CLIP has lost `transformer`, the text blocks."""
    state = {f"model.{name}": text[name].clone() for name in LEFT_OVER}
    state["model.logit_scale"] = torch.tensor(logit_scale).log()
    return state | {f"model.visual.{name}": x.clone() for name, x in vision.items()}


def write_state_dict(path: Path, state: Weights, model_name: bool = False) -> Path:
    """F5: an OrderedDict; the code of tall_masks may leave a name among the tensors."""
    content: dict[str, Any] = OrderedDict(state)
    if model_name:
        content["model_name"] = "ViT-B-32"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def save(state: Weights, path: Path) -> None:
    """Safetensors or a torch file, by the path's suffix."""
    if path.suffix == ".safetensors":
        save_file({name: x.contiguous() for name, x in state.items()}, path)
    else:
        torch.save(state, path)
