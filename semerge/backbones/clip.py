"""The text tower of CLIP, and the zero-shot heads that it makes once and that stay on disk."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.base import attention, layer_norm, linear
from semerge.backbones.tokenizing import ClipTokenizer
from semerge.checkpoints.cache import content_key, find, keep
from semerge.common import tell


@lru_cache(maxsize=4)
def tokenizer(vocab_size: int, context_length: int) -> Any:
    """CLIP's byte-pair tokenizer with its first `vocab_size` - 514 merges.

    The full table of 49,408 tokens would outweigh a small model; its merges are sorted by
    frequency, so that a prefix of them is a tokenizer too: rarer words become more pieces.
    """
    from open_clip.tokenizer import SimpleTokenizer, default_bpe

    with gzip.open(default_bpe(), "rt", encoding="utf-8") as f:
        lines = f.read().split("\n")[: 1 + vocab_size - 514]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bpe.txt.gz"
        with gzip.open(path, "wt", encoding="utf-8") as f:
            f.write("\n".join(lines))
        return SimpleTokenizer(bpe_path=str(path), context_length=context_length)


def build(config: Mapping[str, Any]) -> torch.nn.Module:
    """An open_clip `CLIP` of the given configuration (embed_dim, vision_cfg, text_cfg)."""
    from open_clip.model import CLIP

    return CLIP(**config)


def captions(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every class in every template, class by class."""
    return [t.replace("{}", c) for c in classes for t in templates]


def zero_shot_head(
    model: torch.nn.Module, tokens: Any, classes: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Class embeddings (C, D) of unit length: the mean over templates of unit text embeddings.

    Source: Radford et al., arXiv 2103.00020, section 3.1.4.
    """
    ids = tokens(captions(classes, templates))
    features = F.normalize(model.encode_text(ids), dim=-1)  # type: ignore[operator]
    means = features.view(len(classes), len(templates), -1).mean(1)
    return F.normalize(means, dim=-1)


# --------------------------------------------------------------------------------------------------
# Zero-shot heads of published CLIP models, made once by their text tower and then kept on disk.
#
# The tower is run here, under the names and in the order of
# `open_clip.transformer.TextTransformer`, which tests hold it to. To import open_clip would add
# 250 MB to the process for good.

EPS = 1e-5  # of the layer norms
CAPTIONS = 64  # captions that are run at once
VERSION = 1  # of the recipe below; a new one makes new heads
KIND = "heads"  # of what is kept
TOLD = "captions read for the heads"

Words = tuple[Sequence[str], Sequence[str]]  # class names, templates


@torch.no_grad()  # no inference mode: see semerge.models
def zero_shot_heads(
    tower: Mapping[str, Tensor], config: Mapping[str, Any], quick_gelu: bool, tasks: Sequence[Words]
) -> list[Tensor]:
    """Class embeddings (C, D) of unit length for each task, from the cache or made now.

    How many captions have been read is told (`semerge.common`) while heads are made.

    Args:
        tower: parameters of open_clip's `TextTransformer`; read only once if every head is kept.
        config: open_clip's `text_cfg`.
    """
    digest, width = _digest(tower), tower["text_projection"].shape[1]
    keys = [
        content_key(
            {
                "version": VERSION,
                "tower": digest,
                "config": dict(config),
                "quick_gelu": quick_gelu,
                "classes": list(classes),
                "templates": list(templates),
            }
        )
        for classes, templates in tasks
    ]
    heads: dict[str, Tensor] = {}
    wanted: dict[str, Words] = {}  # tasks of the same words have one head
    for key, words in zip(keys, tasks, strict=True):
        kept = find(KIND, key, (len(words[0]), width))
        if kept is None:
            wanted[key] = words
        else:
            heads[key] = kept
    if wanted:
        model = _Tower(tower, config, quick_gelu)
        done, total = 0, sum(len(c) * len(t) for c, t in wanted.values())
        for key, (classes, templates) in wanted.items():
            heads[key] = model.head(classes, templates, done, total)
            keep(KIND, key, heads[key])
            done += len(classes) * len(templates)
    return [heads[key] for key in keys]


class _Tower:
    """A text tower that is cut to the length of its input: no token sees the padding after it."""

    def __init__(
        self, tower: Mapping[str, Tensor], config: Mapping[str, Any], quick_gelu: bool
    ) -> None:
        self.tokens = ClipTokenizer(int(config["vocab_size"]), int(config["context_length"]))
        self.params = dict(tower)
        self.layers, self.heads = int(config["layers"]), int(config["heads"])
        self.quick_gelu = quick_gelu

    def head(
        self, classes: Sequence[str], templates: Sequence[str], done: int, total: int
    ) -> Tensor:
        """The mean over templates of unit text embeddings, made unit again: (C, D).

        done, total: captions of all heads that were read before, and that are to be read.
        """
        ids = self.tokens(captions(classes, templates))  # (C * templates, context)
        lengths = ids.argmax(dim=-1) + 1  # the end-of-text token has the highest id
        order = lengths.argsort()  # the short ones together, so that little is padded
        tell(done, total, TOLD)
        features = []
        for rows in order.split(CAPTIONS):
            features.append(self._run(ids[rows, : int(lengths[rows].max())]))
            done += len(rows)
            tell(done, total, TOLD)
        unit = F.normalize(torch.cat(features)[order.argsort()], dim=-1)
        return F.normalize(unit.view(len(classes), len(templates), -1).mean(1), dim=-1)

    def _run(self, ids: Tensor) -> Tensor:
        p = self.params
        x = p["token_embedding.weight"][ids] + p["positional_embedding"][: ids.shape[1]]
        for layer in range(self.layers):
            x = self._block(f"transformer.resblocks.{layer}.", x)
        last = x[torch.arange(len(x)), ids.argmax(dim=-1)]
        last = layer_norm(last, p["ln_final.weight"], p["ln_final.bias"], EPS)
        return last @ p["text_projection"]

    def _block(self, at: str, h: Tensor) -> Tensor:
        def p(name: str) -> Tensor:
            return self.params[at + name]

        x = layer_norm(h, p("ln_1.weight"), p("ln_1.bias"), EPS)
        x = linear(x, p("attn.in_proj_weight"), p("attn.in_proj_bias"))
        x = attention(x, self.heads, causal=True)
        h = h + linear(x, p("attn.out_proj.weight"), p("attn.out_proj.bias"))
        x = layer_norm(h, p("ln_2.weight"), p("ln_2.bias"), EPS)
        x = linear(x, p("mlp.c_fc.weight"), p("mlp.c_fc.bias"))
        x = x * torch.sigmoid(1.702 * x) if self.quick_gelu else F.gelu(x)
        return h + linear(x, p("mlp.c_proj.weight"), p("mlp.c_proj.bias"))


def _digest(tower: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tower.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
