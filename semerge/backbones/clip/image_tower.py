"""The image tower of CLIP as open_clip lays it out (Radford et al., arXiv 2103.00020).

Parameter names and the order of operations are those of `open_clip.transformer.VisionTransformer`;
tests hold the two equal. The layers' outputs are those of its residual blocks, batch first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from semerge.backbones.base import Batch, Params, attention, layer_norm, linear, per_group, stages
from semerge.backbones.clip import TowerSizes

EPS = 1e-5  # of the layer norms
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionTransformer(TowerSizes):
    """An image tower. logit_scale: the factor on cosine similarities, the exponential taken."""

    quick_gelu: bool = False
    logit_scale: float = 100.0
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD

    linear_embed = False  # it ends in a layer norm
    attention = ("attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight")

    @cached_property
    def segments(self) -> tuple[tuple[str, ...], ...]:
        return stages(self.shapes, r"transformer\.resblocks\.\d+\.")

    def view(self, image: Image.Image) -> Image.Image:
        """The image as the model sees it: shorter side to `image_size`, centre crop (bicubic)."""
        size = self.image_size
        if image.size != (size, size):
            scale = size / min(image.size)
            wide = max(size, round(image.width * scale))
            high = max(size, round(image.height * scale))
            image = image.resize((wide, high), Image.Resampling.BICUBIC)
            left, top = (wide - size) // 2, (high - size) // 2
            image = image.crop((left, top, left + size, top + size))
        return image

    def preprocess(self, sample: object, second: str | None = None) -> Batch:
        """A PIL image in mode RGB -> (1, 3, H, W), normalised."""
        if not isinstance(sample, Image.Image):
            raise TypeError(f"expected a PIL image, got {type(sample).__name__}")
        pixels = np.asarray(self.view(sample))[None]  # (1, H, W, 3) uint8
        return self.normalise(torch.from_numpy(pixels.copy()))

    def normalise(self, pixels: Tensor) -> Batch:
        """uint8 (B, H, W, 3) at the model's size -> a batch."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32).div(255)
        mean = torch.tensor(self.mean, device=x.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(3, 1, 1)
        return Batch((x - mean) / std)

    def notices(self, sample: object, second: str | None = None) -> tuple[str, ...]:
        """None: whatever the crop leaves out is seen in `view`."""
        return ()

    def random(self, generator: torch.Generator) -> Batch:
        """Noise as pixels."""
        size = self.image_size
        return Batch(torch.randn(1, 3, size, size, generator=generator))

    def collate(self, batches: Sequence[Batch]) -> Batch:
        return Batch(torch.cat([b.data for b in batches]))

    def embed(self, params: Params, batch: Batch) -> Tensor:
        d, p = self.width, self.patch_size
        kernel = params["conv1.weight"]
        # A convolution whose stride is its size is a linear map of patches (channel, row, column).
        side = batch.data.shape[-1] // p
        patches = batch.data.view(-1, 3, side, p, side, p).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(-1, side * side, 3 * p * p)  # (B, N - 1, 3·p·p)
        if kernel.dim() == 5:
            patches = patches.expand(kernel.shape[0], *patches.shape)
        x = linear(patches, kernel.flatten(-3))  # (.., B, N - 1, d)
        cls = per_group(params["class_embedding"], x.dim()).expand(*x.shape[:-2], 1, d)
        x = torch.cat([cls, x], dim=-2)
        position = params["positional_embedding"]
        x = x + (position if position.dim() == 2 else position.unsqueeze(1))
        return layer_norm(x, params["ln_pre.weight"], params["ln_pre.bias"], EPS)

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        at = f"transformer.resblocks.{layer - 1}."
        return residual_block(params, at, h, self.heads, self.quick_gelu)

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        x = layer_norm(h[..., 0, :], params["ln_post.weight"], params["ln_post.bias"], EPS)
        return x @ params["proj"]  # (.., B, D)

    def pool(self, h: Tensor, how: str, batch: Batch) -> Tensor:
        if how == "all":
            return h.flatten(-2)
        if how == "cls":
            return h[..., 0, :]
        if how == "mean":
            return h.mean(-2)
        raise ValueError(f"pool {how!r}: an image tower has {', '.join(self.pools)}")

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        """Cosine similarities with unit class embeddings (C, D), scaled."""
        return self.logit_scale * F.normalize(embedding, dim=-1) @ head.mT


def residual_block(
    params: Params, at: str, h: Tensor, heads: int, quick_gelu: bool, causal: bool = False
) -> Tensor:
    """A block of either tower, whose parameters' names begin with `at`: (*, N, d) -> (*, N, d)."""

    def p(name: str) -> Tensor:
        return params[at + name]

    x = layer_norm(h, p("ln_1.weight"), p("ln_1.bias"), EPS)
    x = attention(linear(x, p("attn.in_proj_weight"), p("attn.in_proj_bias")), heads, causal)
    h = h + linear(x, p("attn.out_proj.weight"), p("attn.out_proj.bias"))
    x = layer_norm(h, p("ln_2.weight"), p("ln_2.bias"), EPS)
    x = linear(x, p("mlp.c_fc.weight"), p("mlp.c_fc.bias"))
    x = x * torch.sigmoid(1.702 * x) if quick_gelu else F.gelu(x)
    return h + linear(x, p("mlp.c_proj.weight"), p("mlp.c_proj.bias"))
