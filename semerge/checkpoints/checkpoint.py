"""A checked checkpoint: tensors by canonical name, read from the file when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semerge.checkpoints.rawfile import RawFile
from semerge.common import UserError, quoted

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Origin:
    """The stored tensors behind one parameter, put together along the first axis."""

    keys: tuple[str, ...]
    transposed: bool = False  # stored as (out, in) where the parameter is (in, out)

    def shape(self, whole: Shape) -> Shape:
        """What each stored tensor must look like if the parameter has the shape `whole`."""
        if self.transposed:
            return whole[::-1]
        return (whole[0] // len(self.keys), *whole[1:])


class Tensors(Mapping[str, Tensor]):
    """Tensors that are read when they are asked for. sources: what each is made from."""

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __contains__(self, name: object) -> bool:
        return name in self._sources


class Checkpoint(Tensors):
    """The parameters of one model in float32, under the backbone's names.

    Keys, shapes and types are checked when it is made, values when a tensor is read. A tensor may
    be a view of a memory map: read it, use it, drop it.

    origins: what each parameter is made from. shapes: of the parameters, in canonical form. known:
    a pattern for keys of the file that are no parameters, which may be there or not. Raises
    UserError where a key is missing or unknown, or a shape or type is wrong; it names the first.
    """

    def __init__(
        self, raw: RawFile, origins: Mapping[str, Origin], shapes: Shapes, known: str = r"(?!)"
    ) -> None:
        super().__init__(dict(origins))
        self._raw, self.path = raw, raw.path
        # whether the file says that its blocks use QuickGELU; None where it says nothing
        self.quick_gelu = raw.quick_gelu
        # what else the file tells: left-overs of the text tower, the factor on cosine similarities
        self.anchors: Mapping[str, Tensor] = {}
        self.logit_scale: float | None = None
        # keys of what is no parameter, but may be a copy of one: key -> parameter
        self.copies: Mapping[str, str] = {}
        used = set()
        for name, origin in origins.items():
            for key in origin.keys:
                check_stored(raw, key, origin.shape(shapes[name]))
                used.add(key)
        for key in raw.shapes:
            if key not in used and not re.fullmatch(known, key):
                raise UserError(f"{raw.path}: {key} is not a known key.")

    def __getitem__(self, name: str) -> Tensor:
        origin: Origin = self._sources[name]
        parts = [stored(self._raw, key) for key in origin.keys]
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        return tensor.T.contiguous() if origin.transposed else tensor

    def laid_out(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this file would hold of other parameters, by its own keys and in float32; what else
        is in it, such as a text tower, is as it is here, a copy of a parameter again a copy."""
        tensors: dict[str, Tensor] = {}
        for name, origin in self._sources.items():
            whole = params[name].T if origin.transposed else params[name]
            parts = zip(origin.keys, whole.chunk(len(origin.keys)), strict=True)
            tensors |= {key: part.contiguous() for key, part in parts}
        for key in self._raw.shapes.keys() - tensors.keys():
            other, name = self._raw.tensor(key).detach(), self.copies.get(key, "")
            if name and torch.equal(other.float(), self[name]):
                tensors[key] = params[name].clone()
            else:  # whole numbers as they are
                whole = other.float() if other.is_floating_point() else other
                tensors[key] = whole.contiguous()
        return tensors


def check_stored(raw: RawFile, key: str, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that is missing or has another shape, or a type that is no float."""
    path, shapes, dtypes = raw.path, raw.shapes, raw.dtypes
    if key not in shapes:
        raise UserError(f"{path}: {key} is missing.")
    if shapes[key] != shape:
        raise UserError(f"{path}: {key} has shape {shapes[key]}, not {shape}.")
    if not dtypes[key].is_floating_point:
        raise UserError(f"{path}: {key} holds {dtypes[key]}, not floating point numbers.")


def stored(raw: RawFile, key: str) -> Tensor:
    """A file's tensor in float32, finite throughout; it may be a view of the file's map."""
    tensor = raw.tensor(key).detach().to(torch.float32)
    check_finite(tensor, f"{raw.path}: {key}")
    return tensor


def check_finite(tensor: Tensor, what: str) -> None:
    """Refuse NaN and infinity, without a temporary tensor. `what` names file and key."""
    if not tensor.numel():
        raise UserError(f"{what} holds no numbers.")
    low, high = tensor.aminmax()  # both are NaN if one number is
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise UserError(f"{what} holds values that are not finite.")


def head_of(path: Path, key: str, found: Tensor | None, rows: int, width: int) -> Tensor:
    """A head (rows, width) that a file holds under `key`, as a copy in float32. Raises UserError
    where there is none, it has not a row for each class, or it is not finite."""
    if found is None or tuple(found.shape) != (rows, width):
        shape = "missing" if found is None else tuple(found.shape)
        raise UserError(
            f"{path}: {key} is {shape}, not {(rows, width)}: it must have a row for each class of "
            "the task."
        )
    head = found.detach().to(torch.float32, copy=True)
    check_finite(head, f"{path}: {key}")
    return head


def same(names: Iterable[str], prefix: str) -> dict[str, Origin]:
    """Layouts that use the canonical names, behind a prefix."""
    return {name: Origin((prefix + name,)) for name in names}


def prefix_of(raw: RawFile, prefix: str) -> str:
    """The prefix, if any key of the file has it, or nothing."""
    return prefix if any(key.startswith(prefix) for key in raw.shapes) else ""


def check_same(file: Path, config: Mapping[str, Any], key: str, expected: float) -> None:
    """Refuse a config.json that says something else than suite.json; what it leaves out is so."""
    found = config.get(key, expected)
    if found != expected:
        raise UserError(
            f"{file}: {key} is {quoted(found)}, but suite.json's architecture has "
            f"{quoted(expected)}."
        )
