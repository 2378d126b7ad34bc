"""What every architecture offers: stages of a forward pass as pure functions.

A backbone holds no weights. Its methods take a dictionary of parameters and an activation and
return a new activation, so threads share nothing that could be written, a probe stops wherever it
likes, and merged weights are arguments rather than a state of some module.

Every method also takes *grouped* parameters: if each tensor carries a leading axis G, activations
are (G, B, N, d) and group g is computed with the g-th set of weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.architecture import Sizes

Params = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Model-ready inputs.

    data: images (B, 3, H, W) float32, normalised; or token ids (B, N) int64, padded on the right.
    lengths: (B,) int64, the number of real tokens of each sentence; None for images.
    """

    data: Tensor
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return self.data.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        return Batch(self.data[rows], None if self.lengths is None else self.lengths[rows])

    def real(self) -> Tensor:
        """(B, N) bool: True at real tokens of sentences."""
        if self.lengths is None:
            raise ValueError("images have no padding")
        n = self.data.shape[1]
        return torch.arange(n, device=self.data.device) < self.lengths[:, None]

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        return Batch(
            self.data.to(device), None if self.lengths is None else self.lengths.to(device)
        )


class Backbone(Sizes, Protocol):
    """One architecture. `h` below is an activation (..., B, N, d); layers are counted from 1."""

    @property
    def output_dim(self) -> int:
        """D, the width of the final embedding."""

    @property
    def linear_embed(self) -> bool:
        """Whether `embed` is linear in its parameters: then merging its outputs is enough."""

    @property
    def heads(self) -> int:
        """Of the attention of a block."""

    @property
    def attention(self) -> tuple[str, str, str]:
        """How the names of a block's attention end: weight and bias of q, k and v, one after the
        other, and the weight that reads all heads."""

    @property
    def segments(self) -> tuple[tuple[str, ...], ...]:
        """Parameter names by stage: embedding, block 1 .. block L, final embedding."""

    def preprocess(self, sample: object, second: str | None = None) -> Batch:
        """One decoded image or cleaned sentence (pair) -> a batch of one."""

    def notices(self, sample: object, second: str | None = None) -> tuple[str, ...]:
        """What `preprocess` leaves out of this sample, in sentences for a person."""

    def random(self, generator: torch.Generator) -> Batch:
        """A batch of one that means nothing, of the usual size."""

    def collate(self, batches: Sequence[Batch]) -> Batch:
        """Batches of one -> one batch."""

    def embed(self, params: Params, batch: Batch) -> Tensor:
        """Input of the first block: (..., B, N, d)."""

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        """Output of residual block `layer`, 1..L: (..., B, N, d)."""

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        """Final embedding, which the head reads: (..., B, D)."""

    def pool(self, h: Tensor, how: str, batch: Batch) -> Tensor:
        """A block's output as one vector a sample: (..., B, K). Padding never counts."""

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        """Final embeddings (B, D) and a head (C, D) -> logits (B, C)."""


def activations(
    backbone: Backbone, params: Params, batch: Batch, upto: int | None = None
) -> list[Tensor]:
    """Outputs of blocks 1..`upto` (default: all L), in order; entry i belongs to layer i + 1."""
    h = backbone.embed(params, batch)
    outputs = []
    for layer in range(1, (backbone.depth if upto is None else upto) + 1):
        h = backbone.block(params, layer, h, batch)
        outputs.append(h)
    return outputs


def embedding(backbone: Backbone, params: Params, batch: Batch) -> Tensor:
    """The final embedding of a full forward pass, (..., B, D)."""
    h = backbone.embed(params, batch)
    for layer in range(1, backbone.depth + 1):
        h = backbone.block(params, layer, h, batch)
    return backbone.final(params, h, batch)


def stages(names: Iterable[str], block: str) -> tuple[tuple[str, ...], ...]:
    """Names of parameters, in the order of the forward pass, by stage. block: the pattern of how
    the names of a residual block begin."""

    def begin(name: str) -> str | None:
        found = re.match(block, name)
        return found and found[0]

    return tuple(tuple(stage) for _, stage in groupby(names, begin))


# ---- the operations of a transformer, for shared and for grouped weights -------------------------
# Shapes: activations are (*, N, d). Weights are as in the reference modules, or carry one leading
# group axis G; then the activation's first axis is G as well.


def per_group(vector: Tensor, ndim: int) -> Tensor:
    """(d,) stays; (G, d) becomes (G, 1, .., 1, d) with `ndim` axes, to fit (G, .., d)."""
    if vector.dim() == 1:
        return vector
    return vector.view(vector.shape[0], *([1] * (ndim - 2)), vector.shape[-1])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (*, n) with weight (m, n), or x (G, *, n) with weight (G, m, n) -> (*, m)."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])  # (G, M, n)
    if bias is None:
        y = flat @ weight.mT
    else:
        y = bias.unsqueeze(1).baddbmm(flat, weight.mT)  # (G, M, m)
    return y.view(*x.shape[:-1], weight.shape[-2])


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise the last axis; weight and bias (d,) or (G, d)."""
    if weight.dim() == 1:
        return F.layer_norm(x, weight.shape, weight, bias, eps)
    x = F.layer_norm(x, weight.shape[-1:], None, None, eps)
    return x * per_group(weight, x.dim()) + per_group(bias, x.dim())


def attention(qkv: Tensor, heads: int, causal: bool = False) -> Tensor:
    """Multi-head attention of packed projections: (*, N, 3d) -> (*, N, d). Groups and samples
    become one axis: the fused kernels take four axes, others run slower ones."""
    *lead, n, width = qkv.shape
    d = width // 3
    q, k, v = qkv.view(-1, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # (*, heads, N, d / heads)
    return out.transpose(1, 2).reshape(*lead, n, d)
