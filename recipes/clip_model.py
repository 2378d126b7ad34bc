"""open_clip's own CLIP, which the vision recipe trains, and the heads of its text tower."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.clip.text_tower import captions


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
