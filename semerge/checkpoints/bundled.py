"""Weights of a suite in the project's own format: safetensors beside suite.json.

Names are those of the reference modules (open_clip `VisionTransformer`, transformers `GPT2Model`).
An expert's file holds only the tensors that differ from the base's. Half precision on disk becomes
float32 in memory. Everything is checked before it is used; errors name the file and the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semerge.errors import UserError
from semerge.settings import valid_layers, valid_pools
from semerge.suites import Suite, loaded_files

Shapes = Mapping[str, tuple[int, ...]]
Point = tuple[int | str, str]  # (layer, pool)


@dataclass(frozen=True)
class Statistics:
    """What the cache probe compares with at one layer and pooling.

    mean: (T, K), one row a task. Distances are ||(r - mean_t) @ whiten|| with whiten (K, K'), or
    ||(r - mean_t) * scale|| with scale (K,); exactly one of the two is there.
    """

    mean: Tensor
    whiten: Tensor | None = None
    scale: Tensor | None = None

    def distances(self, r: Tensor) -> Tensor:
        """Representations (B, K) -> (B, T)."""
        difference = r[:, None] - self.mean  # (B, T, K)
        if self.whiten is not None:
            return torch.linalg.vector_norm(difference @ self.whiten, dim=-1)
        assert self.scale is not None
        return torch.linalg.vector_norm(difference * self.scale, dim=-1)


@dataclass(frozen=True)
class Weights:
    """All tensors of a suite, float32, checked."""

    base: dict[str, Tensor]
    experts: tuple[dict[str, Tensor], ...]  # in the order of the suite's tasks
    heads: dict[str, Tensor]  # by task: (C, D)
    statistics: dict[Point, Statistics]  # empty where the suite ships none


def read_weights(suite: Suite, shapes: Shapes, width: int) -> Weights:
    """Read the tensors of a suite and check them. Call `check_files` first.

    Args:
        shapes: every parameter of the backbone.
        width: D, the size of the final embedding.

    Raises:
        UserError: a file is damaged, a key is missing or unknown, a shape is wrong, or a value is
            not finite.
    """
    base = _read(suite.path(suite.base_weights), shapes, required=shapes)
    experts = tuple(_read(suite.path(task.weights), shapes) for task in suite.tasks)
    head_shapes = {task.name: (len(task.classes), width) for task in suite.tasks}
    heads = _read(suite.path(suite.heads), head_shapes, required=head_shapes)
    statistics = _read_statistics(suite, suite.path(suite.statistics)) if suite.statistics else {}
    return Weights(base, experts, heads, statistics)


def check_files(suite: Suite) -> None:
    """Compare every file that will be loaded with its hash in suite.json.

    Raises:
        UserError: a file is missing or is not the one described.
    """
    for file in loaded_files(suite):
        _check_hash(suite.path(file), suite.sha256[file])


def sha256_of(path: Path) -> str:
    """The hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing.")
    actual = sha256_of(path)
    if actual != expected:
        raise UserError(
            f"{path} is not the file that suite.json describes: its sha256 is {actual[:12]}..., "
            f"not {expected[:12]}...."
        )


def _load(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file as float32; refuses integers and values that are not finite."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read as safetensors: {error}.") from None
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {key} holds {tensor.dtype}, not floating point numbers.")
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {key} holds values that are not finite.")
    return {key: tensor.to(torch.float32) for key, tensor in tensors.items()}


def _read(path: Path, shapes: Shapes, required: Iterable[str] = ()) -> dict[str, Tensor]:
    tensors = _load(path)
    for key in required:
        if key not in tensors:
            raise UserError(f"{path}: {key} is missing.")
    for key, tensor in tensors.items():
        if key not in shapes:
            raise UserError(f"{path}: {key} is not a known key.")
        if tuple(tensor.shape) != tuple(shapes[key]):
            raise UserError(
                f"{path}: {key} has shape {tuple(tensor.shape)}, not {tuple(shapes[key])}."
            )
    return tensors


def _read_statistics(suite: Suite, path: Path) -> dict[Point, Statistics]:
    """`mean/{layer}/{pool}` with `whiten/...` or `scale/...`, for every valid layer and pool."""
    tensors = _load(path)
    statistics: dict[Point, Statistics] = {}
    for layer in valid_layers(suite):
        for pool in valid_pools(suite, "cache", layer):
            at = f"{layer}/{pool}"
            mean = tensors.pop(f"mean/{at}", None)
            whiten, scale = tensors.pop(f"whiten/{at}", None), tensors.pop(f"scale/{at}", None)
            if mean is None or (whiten is None) == (scale is None):
                raise UserError(f"{path}: {at} needs mean and one of whiten and scale.")
            by = scale if whiten is None else whiten
            assert by is not None
            rows = 1 if whiten is None else 2
            if mean.shape[:1] != (len(suite.tasks),) or mean.dim() != 2 or by.dim() != rows:
                raise UserError(f"{path}: the shapes at {at} do not fit {len(suite.tasks)} tasks.")
            if by.shape[0] != mean.shape[1]:
                raise UserError(f"{path}: the shapes at {at} do not fit each other.")
            statistics[layer, pool] = Statistics(mean, whiten, scale)
    for key in tensors:
        raise UserError(f"{path}: {key} is not a known key.")
    return statistics
