"""Architectures whose weights can be merged: every package of this room is one.

`ARCHITECTURES` describes them and needs no torch. The other names are loaded where they are first
used, so that reading a suite stays cheap.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from semerge.backbones.architecture import Architecture

if TYPE_CHECKING:
    from semerge.backbones.base import Backbone, Batch, Params, activations, embedding
    from semerge.backbones.clip.image_tower import VisionTransformer
    from semerge.backbones.gpt2.model import GPT2

__all__ = [
    "ARCHITECTURES",
    "GPT2",
    "Backbone",
    "Batch",
    "Params",
    "VisionTransformer",
    "activations",
    "embedding",
]

_found: list[Architecture] = [
    import_module(f"{__name__}.{module.name}").ARCHITECTURE
    for module in pkgutil.iter_modules(__path__)
    if module.ispkg
]
ARCHITECTURES = {one.kind: one for one in _found}
"""By the `kind` of suite.json."""

_HOMES = {"GPT2": "gpt2.model", "VisionTransformer": "clip.image_tower"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'base')}"), name)
