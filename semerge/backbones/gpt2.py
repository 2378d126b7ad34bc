"""GPT-2 (Radford et al., 2019) as transformers lays it out, read at the last real token.

Parameter names and the order of operations are those of `transformers.GPT2Model`; tests hold the
two equal. Sentences are padded on the right: with causal attention no real token ever sees the
padding, so no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.base import Batch, Params, attention, layer_norm, linear


@dataclass(frozen=True)
class GPT2:
    """Shape of a GPT-2 body. positions is its window, in tokens; max_length a shorter limit."""

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int
    eps: float = 1e-5
    tokenizer: object = None  # a tokenizers.Tokenizer; needed by preprocess alone
    pad_id: int = 0
    max_length: int | None = None

    pools = ("all", "mean", "last")
    linear_embed = True  # rows of two tables, added

    @property
    def depth(self) -> int:
        return self.layers

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape, in order of the forward pass; Conv1D weights are (in, out)."""
        d = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "wte.weight": (self.vocab, d),
            "wpe.weight": (self.positions, d),
        }
        block = {
            "ln_1.weight": (d,),
            "ln_1.bias": (d,),
            "attn.c_attn.weight": (d, 3 * d),
            "attn.c_attn.bias": (3 * d,),
            "attn.c_proj.weight": (d, d),
            "attn.c_proj.bias": (d,),
            "ln_2.weight": (d,),
            "ln_2.bias": (d,),
            "mlp.c_fc.weight": (d, 4 * d),
            "mlp.c_fc.bias": (4 * d,),
            "mlp.c_proj.weight": (4 * d, d),
            "mlp.c_proj.bias": (d,),
        }
        for i in range(self.layers):
            shapes |= {f"h.{i}.{name}": s for name, s in block.items()}
        return shapes | {"ln_f.weight": (d,), "ln_f.bias": (d,)}

    @cached_property
    def segments(self) -> tuple[tuple[str, ...], ...]:
        names = list(self.shapes)
        blocks = tuple(
            tuple(n for n in names if n.startswith(f"h.{i}.")) for i in range(self.layers)
        )
        return (tuple(names[:2]), *blocks, tuple(names[-2:]))

    @property
    def limit(self) -> int:
        """The longest input that is read, in tokens."""
        return min(self.positions, self.max_length or self.positions)

    def encode(self, text: str, second: str | None = None) -> tuple[list[int], int]:
        """Token ids as the model reads them, and how many there were before the cut.

        A pair is one sequence, first sentence first, with nothing in between. What is too long is
        cut at the end of the longer sentence, token by token, as transformers' "longest_first".
        Padding tokens at the end are no input: transformers pools before them.
        """
        first, rest = self._ids(text), self._ids(second) if second else []
        total = len(first) + len(rest)
        for _ in range(total - self.limit):
            (first if len(first) > len(rest) else rest).pop()
        ids = first + rest
        while ids and ids[-1] == self.pad_id:
            ids.pop()
        return ids or [self.pad_id], total

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)  # type: ignore[attr-defined]

    def notices(self, sample: object, second: str | None = None) -> tuple[str, ...]:
        """Says so where the text is longer than the window."""
        _, n = self.encode(str(sample), second)
        if n <= self.limit:
            return ()
        part = f"{self.limit} of them" if second else f"the first {self.limit}"
        return (f"The text has {n} tokens; the model reads {part}.",)

    def preprocess(self, sample: object, second: str | None = None) -> Batch:
        """A sentence (and a second one, for pair tasks) -> ids (1, N) and lengths (1,)."""
        if not isinstance(sample, str):
            raise TypeError(f"expected a sentence, got {type(sample).__name__}")
        ids, _ = self.encode(sample, second)
        return Batch(torch.tensor([ids]), torch.tensor([len(ids)]))

    def collate(self, batches: Sequence[Batch]) -> Batch:
        longest = max(b.data.shape[1] for b in batches)
        rows = [F.pad(b.data, (0, longest - b.data.shape[1]), value=self.pad_id) for b in batches]
        lengths = [b.lengths for b in batches if b.lengths is not None]
        return Batch(torch.cat(rows), torch.cat(lengths))

    def embed(self, params: Params, batch: Batch) -> Tensor:
        wte, wpe = params["wte.weight"], params["wpe.weight"]
        n = batch.data.shape[1]
        if wte.dim() == 2:
            return F.embedding(batch.data, wte) + wpe[:n]  # (B, N, d)
        return wte[:, batch.data] + wpe[:, None, :n]  # (G, B, N, d)

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        at = f"h.{layer - 1}."

        def p(name: str) -> Tensor:
            return params[at + name]

        def conv1d(x: Tensor, name: str) -> Tensor:
            return linear(x, p(f"{name}.weight").mT, p(f"{name}.bias"))

        x = layer_norm(h, p("ln_1.weight"), p("ln_1.bias"), self.eps)
        x = attention(conv1d(x, "attn.c_attn"), self.heads, causal=True)
        h = h + conv1d(x, "attn.c_proj")
        x = layer_norm(h, p("ln_2.weight"), p("ln_2.bias"), self.eps)
        x = F.gelu(conv1d(x, "mlp.c_fc"), approximate="tanh")
        return h + conv1d(x, "mlp.c_proj")

    def last(self, h: Tensor, batch: Batch) -> Tensor:
        """The activation at each sentence's last real token: (.., B, N, d) -> (.., B, d)."""
        assert batch.lengths is not None
        rows = torch.arange(len(batch), device=h.device)
        return h[..., rows, batch.lengths - 1, :]

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        x = self.last(h, batch)
        return layer_norm(x, params["ln_f.weight"], params["ln_f.bias"], self.eps)

    def pool(self, h: Tensor, how: str, batch: Batch) -> Tensor:
        if how == "last":
            return self.last(h, batch)
        real = batch.real().unsqueeze(-1)  # (B, N, 1)
        h = h * real
        if how == "all":
            return h.flatten(-2)
        if how == "mean":
            return h.sum(-2) / real.sum(-2)
        raise ValueError(f"pool {how!r}: GPT-2 has {', '.join(self.pools)}")

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        """score: embeddings (B, D), weight (C, D) -> (B, C)."""
        return embedding @ head.mT
