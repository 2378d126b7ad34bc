"""From trained weights to a suite's folder: half precision, each tensor once, every file hashed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from semerge.checkpoints.files import sha256_of
from semerge.suites import FORMAT, Defaults

FILE_LIMIT = 10_000_000
"""Bytes that no file of a bundled suite may reach: Spaces then need no large-file storage."""


@dataclass(frozen=True)
class TaskSpec:
    """A task's entry in suite.json, without its file."""

    name: str
    title: str
    about: str
    classes: tuple[str, ...]
    templates: tuple[str, ...] = ()
    pair: bool = False
    real: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of classes -> theirs
    item: str = ""  # one input of it, with its article


@dataclass(frozen=True)
class SuiteSpec:
    """What a suite says of itself. architecture: `kind`, and keys of open_clip or transformers."""

    name: str
    title: str
    about: str
    modality: str
    architecture: Mapping[str, Any]
    tasks: tuple[TaskSpec, ...]


@dataclass(frozen=True)
class Trained:
    """Weights of a suite, in any precision. extra: files to carry along, e.g. a tokenizer.

    moments: Adam's second moments of each expert, as `moments.factored` makes them.
    """

    base: Mapping[str, Tensor]
    experts: Mapping[str, Mapping[str, Tensor]]  # by task
    heads: Mapping[str, Tensor]  # by task: (C, D)
    extra: tuple[Path, ...] = ()
    moments: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)  # by task


def write_weights(folder: Path, spec: SuiteSpec, trained: Trained) -> None:
    """Write base, experts, heads and extra files. Experts keep what differs from the base once
    both are in half precision.

    Raises:
        ValueError: an expert or head is missing, a name is not the base's, or a value is lost in
            half precision.
    """
    (folder / "experts").mkdir(parents=True, exist_ok=True)
    base = {name: _half(name, tensor) for name, tensor in trained.base.items()}
    save_file(base, folder / "base.safetensors", metadata={"format": "pt"})
    heads = {}
    for task in spec.tasks:
        if task.name not in trained.experts or task.name not in trained.heads:
            raise ValueError(f"{task.name} has no expert or no head")
        kept = {}
        for name, tensor in trained.experts[task.name].items():
            if name not in base:
                raise ValueError(f"{task.name}: {name} is not a tensor of the base")
            rounded = _half(name, tensor)
            if not torch.equal(rounded, base[name]):
                kept[name] = rounded
        save_file(kept, folder / "experts" / f"{task.name}.safetensors", metadata={"format": "pt"})
        heads[task.name] = _half(task.name, trained.heads[task.name])
    save_file(heads, folder / "heads.safetensors", metadata={"format": "pt"})
    for name, moments in trained.moments.items():
        (folder / "moments").mkdir(exist_ok=True)
        save_file(dict(moments), folder / "moments" / f"{name}.safetensors", {"format": "pt"})
    for path in trained.extra:
        if path.parent != folder:
            shutil.copyfile(path, folder / path.name)


def write_suite(
    folder: Path,
    spec: SuiteSpec,
    defaults: Defaults,
    thresholds: Mapping[str, float | None],
    extra: tuple[str, ...] = (),
    temperatures: Mapping[str, float] | None = None,
    displacements: Mapping[str, Any] | None = None,
) -> Path:
    """Write suite.json over the files that lie in `folder`, each with its sha256.

    statistics.safetensors and second moments are named if they are there; `extra` are further files
    to hash. temperatures: of the heads, by task. displacements: as suite.json has them.

    Raises:
        ValueError: a file is FILE_LIMIT bytes or larger.
    """
    files = ["base.safetensors", "heads.safetensors", *extra]
    files += [f"experts/{task.name}.safetensors" for task in spec.tasks]
    if (folder / "statistics.safetensors").exists():
        files.append("statistics.safetensors")
    moments = {task.name: f"moments/{task.name}.safetensors" for task in spec.tasks}
    moments = {name: file for name, file in moments.items() if (folder / file).exists()}
    files += moments.values()
    for file in files:
        if (size := (folder / file).stat().st_size) >= FILE_LIMIT:
            raise ValueError(f"{file} has {size:,} bytes; the limit is {FILE_LIMIT:,}")
    tasks = [
        {k: v for k, v in asdict(task).items() if v != {} and (k, v) != ("item", "")}
        | {"weights": f"experts/{task.name}.safetensors"}
        | ({"moments": moments[task.name]} if task.name in moments else {})
        | ({"temperature": temperatures[task.name]} if temperatures else {})
        for task in spec.tasks
    ]
    content = {
        "format": FORMAT,
        "name": spec.name,
        "title": spec.title,
        "about": spec.about,
        "modality": spec.modality,
        "architecture": dict(spec.architecture),
        "base": {"weights": "base.safetensors"},
        "tasks": tasks,
        "heads": "heads.safetensors",
        "statistics": "statistics.safetensors" if "statistics.safetensors" in files else None,
        **({"displacements": dict(displacements)} if displacements else {}),
        "defaults": asdict(defaults),
        "thresholds": dict(thresholds),
        "sha256": {file: sha256_of(folder / file) for file in sorted(files)},
    }
    path = folder / "suite.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _half(name: str, tensor: Tensor) -> Tensor:
    rounded = tensor.detach().to(torch.float16).contiguous()
    if not torch.isfinite(rounded).all():
        raise ValueError(f"{name} has a value that half precision can't hold")
    return rounded
