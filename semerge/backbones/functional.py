"""The three operations of a transformer, for shared and for grouped weights.

Shapes: activations are (*, N, d). Weights are as in the reference modules, or carry one leading
group axis G; then the activation's first axis is G as well.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
    """Multi-head attention of packed projections: (*, N, 3d) -> (*, N, d).

    Groups and samples become one axis: the fused kernels take four axes, others run slower ones.
    """
    *lead, n, width = qkv.shape
    d = width // 3
    q, k, v = qkv.view(-1, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # (*, heads, N, d / heads)
    return out.transpose(1, 2).reshape(*lead, n, d)
