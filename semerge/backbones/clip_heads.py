"""Zero-shot heads of published CLIP models, made once by their text tower and then kept on disk.

The tower is run here, under the names and in the order of `open_clip.transformer.TextTransformer`,
which tests hold it to. To import open_clip would add 250 MB to the process for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.clip_text import captions
from semerge.backbones.functional import attention, layer_norm, linear
from semerge.checkpoints.cache import content_key, find, keep
from semerge.progress import tell
from semerge.tokenizing import ClipTokenizer

EPS = 1e-5  # of the layer norms
CAPTIONS = 64  # captions that are run at once
VERSION = 1  # of the recipe below; a new one makes new heads
KIND = "heads"  # of what is kept
TOLD = "captions read for the heads"

Words = tuple[Sequence[str], Sequence[str]]  # class names, templates


@torch.inference_mode()
def zero_shot_heads(
    tower: Mapping[str, Tensor], config: Mapping[str, Any], quick_gelu: bool, tasks: Sequence[Words]
) -> list[Tensor]:
    """Class embeddings (C, D) of unit length for each task, from the cache or made now.

    How many captions have been read is told (`semerge.progress`) while heads are made.

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
