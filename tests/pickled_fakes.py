"""Pickled modules as the original task_vectors code wrote them, with its class names: F6, F7."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


def write_pickled(path: Path, state: Weights, bare: bool = False, quick: bool = True) -> Path:
    """F6: a pickled `ImageEncoder` with the class names of open_clip 2.0.2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _task_vectors_modules() as made:
        encoder = made["ImageEncoder"](state, made, quick)
        _dump(encoder, path, bare)
    return path


def write_pickled_head(
    path: Path, weight: Tensor, bias: Tensor | None = None, normalize: bool = True
) -> Path:
    """F7: a pickled `ClassificationHead`; its weight already holds the logit scale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _task_vectors_modules() as made:
        head = made["ClassificationHead"](weight.shape[1], weight.shape[0])
        head.normalize = normalize
        head.weight = nn.Parameter(weight.clone())
        head.bias = nn.Parameter(torch.zeros(len(weight)) if bias is None else bias)
        _dump(head, path, bare=False)
    return path


def _dump(module: nn.Module, path: Path, bare: bool) -> None:
    if bare:
        with path.open("wb") as file:
            pickle.dump(module, file, protocol=2)
    else:
        torch.save(module, path)


@contextmanager
def _task_vectors_modules() -> Iterator[dict[str, Any]]:
    """Classes under the names that the pickles hold, importable only inside."""
    names = {
        "src.modeling": ("ImageEncoder", "ClassificationHead"),
        "open_clip.model": (
            "CLIP VisualTransformer Transformer ResidualAttentionBlock LayerNorm QuickGELU".split()
        ),
    }
    made: dict[str, Any] = {}
    kept = {name: sys.modules.get(name) for name in ("src", "open_clip", *names)}
    for module_name, classes in names.items():
        sys.modules.setdefault(module_name.split(".")[0], ModuleType(module_name.split(".")[0]))
        module = sys.modules[module_name] = ModuleType(module_name)
        for name in classes:
            parent = {"ClassificationHead": nn.Linear, "LayerNorm": nn.LayerNorm}.get(name)
            body = {"__init__": _encode} if name == "ImageEncoder" else {}
            made[name] = type(name, (parent or nn.Module,), {"__module__": module_name, **body})
            setattr(module, name, made[name])
    try:
        yield made
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _encode(self: Any, state: Weights, made: dict[str, Any], quick: bool) -> None:
    from torchvision import transforms

    nn.Module.__init__(self)
    self.model = clip = made["CLIP"]()
    clip.register_buffer("attn_mask", torch.zeros(77, 77), persistent=False)
    clip.visual = made["VisualTransformer"]()
    width = state["model.visual.class_embedding"].shape[0]
    clip.visual.conv1 = nn.Conv2d(3, width, 32, 32, bias=False)
    clip.visual.transformer = made["Transformer"]()
    layers = 1 + max(int(k.split(".")[4]) for k in state if "resblocks" in k)
    blocks = [_block(made, width, state, quick) for _ in range(layers)]
    clip.visual.transformer.resblocks = nn.ModuleList(blocks)
    for name in ("ln_pre", "ln_post"):
        setattr(clip.visual, name, made["LayerNorm"](width))
    clip.token_embedding = nn.Embedding(*state["model.token_embedding.weight"].shape)
    clip.ln_final = made["LayerNorm"](state["model.ln_final.weight"].shape[0])
    for name in ("visual.class_embedding", "visual.positional_embedding", "visual.proj"):
        setattr(clip.visual, name.split(".")[1], nn.Parameter(state[f"model.{name}"]))
    for name in ("positional_embedding", "text_projection", "logit_scale"):
        setattr(clip, name, nn.Parameter(state[f"model.{name}"]))
    self.load_state_dict(state, strict=True)
    self.train_preprocess = transforms.Compose(
        [transforms.Resize(224), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    )
    self.cache_dir = None


def _block(made: dict[str, Any], width: int, state: Weights, quick: bool) -> nn.Module:
    mlp = state["model.visual.transformer.resblocks.0.mlp.c_fc.weight"].shape[0]
    block: nn.Module = made["ResidualAttentionBlock"]()
    block.attn = nn.MultiheadAttention(width, 2)
    block.ln_1, block.ln_2 = made["LayerNorm"](width), made["LayerNorm"](width)
    parts = {"c_fc": nn.Linear(width, mlp), "gelu": made["QuickGELU"]() if quick else nn.GELU()}
    block.mlp = nn.Sequential(OrderedDict(**parts, c_proj=nn.Linear(mlp, width)))
    return block
