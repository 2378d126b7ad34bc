"""What the project's own suites hold beside weights: heads, statistics, second moments, and the
hash of each file.

Everything is checked before it is used; errors name the file and the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from semerge.checkpoints.checkpoint import Checkpoint, same
from semerge.checkpoints.files import sha256_of
from semerge.checkpoints.weight_files import INDEX, open_raw
from semerge.common import UserError
from semerge.settings import valid_layers, valid_pools
from semerge.suites import Suite, loaded_files

Point = tuple[int | str, str]  # (layer, pool)


@dataclass(frozen=True)
class Statistics:
    """What the cache probe compares with at one layer and pooling; see `semerge.probes.cache`.
    mean: (T, K), one row a task. by: a matrix (K, K') that whitens differences, or scales (K,)."""

    mean: Tensor
    by: Tensor

    def to(self, device: torch.device | str) -> Statistics:
        """The same on a device."""
        return Statistics(self.mean.to(device), self.by.to(device))


def read_heads(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The heads of a suite in the project's own format, by task: unit class embeddings (C, D).
    Raises UserError where the file is damaged, a task is missing or unknown, or a shape is wrong.
    """
    return dict(Checkpoint(open_raw(path), same(shapes, ""), shapes))


def check_files(suite: Suite) -> None:
    """Compare every file that will be loaded with its hash in suite.json, where it has one. Raises
    UserError where a file is missing or is not the one described."""
    files = loaded_files(suite)
    folders = {PurePosixPath(file).parent for file in files if file.endswith(INDEX)}
    shards = [file for file in suite.sha256 if PurePosixPath(file).parent in folders]
    for file in dict.fromkeys((*files, *shards)):
        if file in suite.sha256:
            _check_file(suite, file)


def _check_file(suite: Suite, file: str) -> None:
    path, expected = suite.path(file), suite.sha256[file]
    if not path.is_file():
        raise UserError(f"{path} is missing.")
    if (actual := sha256_of(path)) != expected:
        raise UserError(
            f"{path} is not the file that suite.json describes: its sha256 is "
            f"{actual[:12]}..., not {expected[:12]}...."
        )


def read_moments(suite: Suite) -> list[dict[str, Tensor]]:
    """Adam's second moments at the end of each expert's training, factored: of a tensor `name` of
    two or more axes the means `name.rows` (R,) and `name.columns` (C,) of it as a matrix, its first
    axis against the others; of a vector the vector. Raises UserError where the suite has none, or a
    file is missing or damaged."""
    found = []
    for task in suite.tasks:
        if task.moments is None:
            raise UserError(
                f"Suite {suite.name} holds no second moments of the training of {task.name}'s "
                "expert, and they can't be had once it is trained."
            )
        _check_file(suite, task.moments)
        raw = open_raw(suite.path(task.moments))
        found.append(dict(Checkpoint(raw, same(raw.shapes, ""), raw.shapes)))
    return found


def read_statistics(suite: Suite, path: Path) -> dict[Point, Statistics]:
    """What the cache probe compares with, for every valid layer and pool. Keys are
    `mean/{layer}/{pool}`, and `whiten/{layer}/{pool}` or `scale/{layer}/{pool}`. Raises UserError
    where the file is damaged, a key is missing or unknown, or shapes do not fit."""
    raw = open_raw(path)
    stored = Checkpoint(raw, same(raw.shapes, ""), raw.shapes)
    tensors = dict(stored)
    statistics: dict[Point, Statistics] = {}
    for layer in valid_layers(suite):
        for pool in valid_pools(suite, "cache", layer):
            at = f"{layer}/{pool}"
            mean = tensors.pop(f"mean/{at}", None)
            whiten, scale = tensors.pop(f"whiten/{at}", None), tensors.pop(f"scale/{at}", None)
            rows, by = (1, scale) if whiten is None else (2, whiten)
            if mean is None or by is None or (scale is not None and whiten is not None):
                raise UserError(f"{path}: {at} needs mean and one of whiten and scale.")
            if mean.shape[:1] != (len(suite.tasks),) or mean.dim() != 2 or by.dim() != rows:
                raise UserError(f"{path}: the shapes at {at} do not fit {len(suite.tasks)} tasks.")
            if by.shape[0] != mean.shape[1]:
                raise UserError(f"{path}: the shapes at {at} do not fit each other.")
            statistics[layer, pool] = Statistics(mean, by)
    for key in tensors:
        raise UserError(f"{path}: {key} is not a known key.")
    return statistics
