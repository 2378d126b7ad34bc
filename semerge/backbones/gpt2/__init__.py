"""GPT-2 (Radford et al., 2019), described: its sizes, and what suite.json says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from semerge.backbones.architecture import (
    HEAD_FILE,
    IN_EXPERT,
    Architecture,
    Shapes,
    check_divides,
    check_positive,
    check_whole,
    is_whole,
)
from semerge.common import UserError, quoted

WHOLE = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")


@dataclass(frozen=True)
class GPT2Sizes:
    """Sizes of a GPT-2 body. positions is its window, in tokens."""

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int
    eps: float = 1e-5

    pools = ("all", "mean", "last")
    outputs_last = True  # as in transformers' `Conv1D`

    @cached_property
    def depth(self) -> int:
        return self.layers

    @property
    def output_dim(self) -> int:
        """D, the width of the final embedding."""
        return self.width

    @cached_property
    def shapes(self) -> Shapes:
        """Every parameter's shape, in order of the forward pass."""
        d = self.width
        shapes: Shapes = {"wte.weight": (self.vocab, d), "wpe.weight": (self.positions, d)}
        block: Shapes = {
            "ln_1": (d,),
            "attn.c_attn": (d, 3 * d),
            "attn.c_proj": (d, d),
            "ln_2": (d,),
            "mlp.c_fc": (d, 4 * d),
            "mlp.c_proj": (4 * d, d),
        }
        for i in range(self.layers):
            for name, weight in block.items():
                shapes |= {f"h.{i}.{name}.weight": weight, f"h.{i}.{name}.bias": weight[-1:]}
        return shapes | {"ln_f.weight": (d,), "ln_f.bias": (d,)}


class GPT2Architecture(Architecture):
    """Keys of the description are those of transformers' `GPT2Config`."""

    kind, modality = "gpt2", "text"
    base_layouts, expert_layouts = ("gpt2",), ("gpt2-classifier", "gpt2-lora")
    head_sources = (HEAD_FILE, IN_EXPERT)
    json_files = ("tokenizer",)

    def check(self, raw: Mapping[str, Any]) -> None:
        check_whole(raw, WHOLE, "architecture.")
        check_whole(raw, ("max_length",), "architecture.", optional=True)
        check_positive(raw, "layer_norm_epsilon", "architecture.", optional=True)
        check_divides(raw["n_embd"], raw["n_head"], "architecture.n_head", "n_embd")
        pad = raw.get("pad_id", 0)
        if not is_whole(pad) or not 0 <= pad < raw["vocab_size"]:
            raise UserError(f"architecture.pad_id is {quoted(pad)}, not a token of the vocabulary")

    def sizes(self, raw: Mapping[str, Any]) -> GPT2Sizes:
        vocab, positions, width, layers, heads = (int(raw[key]) for key in WHOLE)
        eps = float(raw.get("layer_norm_epsilon", 1e-5))
        return GPT2Sizes(vocab, positions, width, layers, heads, eps)

    def files(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """tokenizer.json alone, or vocab.json with the merges.txt beside it."""
        path = PurePosixPath(raw["tokenizer"])
        merges = (str(path.with_name("merges.txt")),) if path.name == "vocab.json" else ()
        return (raw["tokenizer"], *merges)


ARCHITECTURE = GPT2Architecture()
