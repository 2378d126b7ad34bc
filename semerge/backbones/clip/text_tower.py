"""The text tower of CLIP, and the zero-shot heads that it makes once and that stay on disk.

The tower is run here, under the names and in the order of open_clip's `TextTransformer`, and its
tokens are made as open_clip's `SimpleTokenizer` makes them; tests hold both to it. To import
open_clip would add 250 MB to the process for good.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.base import layer_norm
from semerge.backbones.clip.image_tower import EPS, residual_block
from semerge.checkpoints.cache import find, keep
from semerge.checkpoints.files import read_config
from semerge.common import UserError, content_key, tell

CAPTIONS = 64  # captions that are run at once
VERSION = 1  # of the recipe below; a new one makes new heads
KIND, NAME = "heads", "tensor"  # of what is kept
TOLD = "captions read for the heads"

Words = tuple[Sequence[str], Sequence[str]]  # class names, templates

CLIP_MERGES = "bpe_simple_vocab_16e6.txt.gz"  # in open_clip's folder
CLIP_WORDS = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
BYTES, SPECIAL = 256, 2  # tokens of CLIP that are no merges: bytes within and at the end of a word


def captions(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every class in every template, class by class."""
    return [t.replace("{}", c) for c in classes for t in templates]


@torch.no_grad()  # no inference mode: see semerge.models
def zero_shot_heads(
    tower: Mapping[str, Tensor], config: Mapping[str, Any], quick_gelu: bool, tasks: Sequence[Words]
) -> list[Tensor]:
    """Class embeddings (C, D) of unit length for each task, from the cache or made now.

    How many captions have been read is told (`semerge.common`) while heads are made. tower:
    parameters of open_clip's `TextTransformer`; read only once if every head is kept. config:
    open_clip's `text_cfg`.
    """
    width = tower["text_projection"].shape[1]
    model = {"version": VERSION, "tower": _digest(tower), "config": dict(config)}
    keys = [
        content_key({**model, "quick_gelu": quick_gelu, "classes": list(c), "templates": list(t)})
        for c, t in tasks
    ]
    heads: dict[str, Tensor] = {}
    wanted: dict[str, Words] = {}  # tasks of the same words have one head
    for key, words in zip(keys, tasks, strict=True):
        kept = find(KIND, key, {NAME: (len(words[0]), width)})
        if kept is None:
            wanted[key] = words
        else:
            heads[key] = kept[NAME].clone()
    if wanted:
        text = _Tower(tower, config, quick_gelu)
        done, total = 0, sum(len(c) * len(t) for c, t in wanted.values())
        for key, (classes, templates) in wanted.items():
            heads[key] = text.head(classes, templates, done, total)
            keep(KIND, key, {NAME: heads[key]})
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
        """The mean over templates of unit text embeddings, made unit again: (C, D). done, total:
        captions of all heads that were read before, and that are to be read."""
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
            at = f"transformer.resblocks.{layer}."
            x = residual_block(p, at, x, self.heads, self.quick_gelu, causal=True)
        last = x[torch.arange(len(x)), ids.argmax(dim=-1)]
        last = layer_norm(last, p["ln_final.weight"], p["ln_final.bias"], EPS)
        return last @ p["text_projection"]


def _digest(tower: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tower.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class ClipTokenizer:
    """Texts to token ids as `open_clip.tokenizer.SimpleTokenizer` makes them, by the package
    `tokenizers` and open_clip's file of merges; open_clip itself is not imported. vocab_size: 514
    and the number of merges, the first of the file."""

    def __init__(self, vocab_size: int, context_length: int) -> None:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers

        merges = _clip_merges()[: vocab_size - 2 * BYTES - SPECIAL]
        letters = _byte_letters()
        tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
        vocab = {token: i for i, token in enumerate(tokens)}
        self.start, self.end = len(tokens), len(tokens) + 1
        self.context_length = context_length
        self._words = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>"))
        self._words.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(B, context_length), 0 after the end; a text that is too long is cut before its end."""
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        cleaned = [_cleaned(text) for text in texts]
        for row, found in zip(ids, self._words.encode_batch(cleaned), strict=True):
            tokens = [self.start, *found.ids[: self.context_length - 2], self.end]
            row[: len(tokens)] = torch.tensor(tokens)
        return ids


def _cleaned(text: str) -> str:
    import ftfy

    whole = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(whole.split()).lower()


def _clip_merges() -> list[tuple[str, str]]:
    spec = importlib.util.find_spec("open_clip")  # looks, and imports nothing
    if spec is None or spec.origin is None:
        raise UserError("The package open_clip_torch is needed: it holds CLIP's tokens.")
    with gzip.open(Path(spec.origin).with_name(CLIP_MERGES), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1:]
    return [(first, second) for first, second in (line.split() for line in lines if line)]


def check_tokens(weights: Path, vocab_size: int) -> None:
    """Compare a tokenizer that lies beside a text tower with CLIP's, which is the one that is run.
    Raises UserError where its merges are others."""
    file, words = weights.with_name("tokenizer.json"), weights.with_name("merges.txt")
    if config := read_config(file):
        model = config.get("model")
        told = model.get("merges") if isinstance(model, dict) else None
        merges = [
            " ".join(map(str, x)) if isinstance(x, list) else x
            for x in (told if isinstance(told, list) else [])
        ]
    elif words.is_file():
        file, lines = words, words.read_text(encoding="utf-8", errors="replace").split("\n")
        merges = [line for line in lines if line.strip() and not line.startswith("#version")]
    else:
        return
    if merges != [" ".join(pair) for pair in _clip_merges()[: vocab_size - 2 * BYTES - SPECIAL]]:
        raise UserError(f"{file} is not CLIP's tokenizer, the only one that makes heads here.")


def _byte_letters() -> list[str]:
    """One printable character a byte, those that print as they are first."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    shown += range(ord("®"), ord("ÿ") + 1)
    return [chr(b) for b in shown] + [chr(BYTES + n) for n in range(BYTES - len(shown))]
