"""Architectures whose weights can be merged."""

from semerge.backbones.base import Backbone, Batch, Params, activations, embedding
from semerge.backbones.gpt2 import GPT2
from semerge.backbones.vit import VisionTransformer

__all__ = [
    "GPT2",
    "Backbone",
    "Batch",
    "Params",
    "VisionTransformer",
    "activations",
    "embedding",
]
