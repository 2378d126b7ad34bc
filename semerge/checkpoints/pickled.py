"""Files of the original task_vectors code: a pickled `ImageEncoder`, a `ClassificationHead`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from semerge.checkpoints.checkpoint import check_finite
from semerge.checkpoints.rawfile import RawFile, is_archive
from semerge.checkpoints.unpickle import Stub, origins, read_module, tensors_of
from semerge.errors import UserError

NORM_TOLERANCE = 1e-2  # relative: rows of a head are unit vectors times the logit scale


def open_pickled(path: Path) -> RawFile:
    """The tensors of a pickled `ImageEncoder` by name.

    `quick_gelu` of the file tells which activation its blocks were pickled with, if any.

    Raises:
        UserError: the file is missing or damaged, or is no such module.
    """
    kinds: set[str] = set()

    def load() -> dict[str, Tensor]:
        module = _read(path, "ImageEncoder")
        kinds.update(origin.rpartition(".")[2] for origin in origins(module))
        return tensors_of(module, path)

    raw = RawFile(path, load, remap=is_archive(path))
    if kinds & {"QuickGELU", "GELU"}:
        raw.quick_gelu = "QuickGELU" in kinds
    return raw


def read_head(path: Path, rows: int, width: int, logit_scale: float) -> Tensor:
    """The head of a pickled `ClassificationHead`, (C, D), as unit vectors.

    Its weight holds unit text embeddings times the logit scale, which is the backbone's business.

    Raises:
        UserError: as `open_pickled`; or it is no zero-shot head of this many classes.
    """
    module = _read(path, "ClassificationHead")
    tensors = tensors_of(module, path)
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None or tuple(weight.shape) != (rows, width):
        found = "missing" if weight is None else tuple(weight.shape)
        raise UserError(
            f"{path}: weight is {found}, not {(rows, width)}: it must have a row for each class of "
            "the task."
        )
    weight = weight.detach().to(torch.float32, copy=True)
    check_finite(weight, f"{path}: weight")
    if bias is not None and bool(bias.any()):
        raise UserError(f"{path}: bias is not zero, so this is no zero-shot head.")
    if not module.state.get("normalize"):
        raise UserError(f"{path}: normalize is not set, so this is no zero-shot head.")
    head = weight / logit_scale
    norms = torch.linalg.vector_norm(head, dim=-1)
    if bool(((norms - 1).abs() > NORM_TOLERANCE).any()):
        raise UserError(
            f"{path}: rows of weight have lengths {float(norms.min() * logit_scale):.4g} to "
            f"{float(norms.max() * logit_scale):.4g}, not the logit scale {logit_scale:g}."
        )
    return head


def head_rows(path: Path) -> int:
    """The number of classes of a pickled `ClassificationHead`.

    Raises:
        UserError: as `open_pickled`; or it has no weight.
    """
    weight = tensors_of(_read(path, "ClassificationHead"), path).get("weight")
    if weight is None or weight.dim() != 2:
        raise UserError(f"{path}: weight is missing or is no matrix.")
    return len(weight)


def _read(path: Path, kind: str) -> Stub:
    module = read_module(path)
    if module.origin.rpartition(".")[2] != kind:
        raise UserError(f"{path} holds a pickled {module.origin}, not an object of class {kind}.")
    return module
