"""Pickled modules of the original task_vectors code, read without running anything in them."""

from __future__ import annotations

import mmap
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from semerge.checkpoints.checkpoint import head_of
from semerge.checkpoints.rawfile import RawFile, check_stored, check_weights, is_archive, unwrapped
from semerge.common import UserError, first_line

DEEPEST = 50  # modules inside one another; an encoder has six


class Stub:
    """Stands for an object of a class that is not imported. Takes any arguments, does nothing."""

    origin = ""  # "module.name" as the pickle spells it

    def __new__(cls, *args: Any, **kwargs: Any) -> Stub:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *args: Any, **kwargs: Any) -> Stub:
        return Stub()  # a function that a function returned

    def __setitem__(self, key: Any, value: Any) -> None:
        """A dictionary of a kind of its own."""

    def extend(self, values: Any) -> None:
        """A list of a kind of its own."""

    append = add = extend


class Unpickler(pickle.Unpickler):
    """Resolves a name to a rebuilder of tensors, a plain container or a stub, never to a module.
    Raises ValueError at once where the program asks for more room than it has bytes."""

    def __init__(self, file: Any, *, encoding: str = "utf-8") -> None:
        _check_room(file)
        super().__init__(file, encoding=encoding)
        self._known = _rebuilders()

    def find_class(self, module: str, name: str) -> Any:
        origin = f"{module}.{name}"
        if origin not in self._known:
            self._known[origin] = type(name.rpartition(".")[2] or "Stub", (Stub,), {})
            self._known[origin].origin = origin
        return self._known[origin]


def _check_room(file: Any) -> None:
    """Go through a program, in a file or a map, without running it: `pickletools` refuses a size
    that reaches past the end, and an index of the memo may be no larger than the count of those
    before it. The unpickler would make room for either first."""
    start, put = file.tell(), 0
    for operation, index, _ in pickletools.genops(file):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            if index is not None and index > put:
                raise ValueError(f"its memo has an index {index} after {put} objects")
            put += 1
    file.seek(start)


def _rebuilders() -> dict[str, Any]:
    """What a pickle may name, made anew for each file: it may set attributes on what it gets."""

    def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        # torch checks types and that the tensor lies within; gradients and hooks are dropped
        return torch._utils._rebuild_tensor(storage, offset, size, stride)

    def rebuild_parameter(data: Any, *_: Any) -> Any:
        return data

    def encode(text: str, encoding: str) -> bytes:
        # how protocol 2 spells bytes
        return text.encode("latin1")

    def load_storage(data: bytes) -> Any:
        # a storage inside a bare pickle is itself a torch file
        return torch.load(BytesIO(data), map_location="cpu", weights_only=True)

    return {
        "collections.OrderedDict": OrderedDict,
        "builtins.set": set,
        "__builtin__.set": set,
        "_codecs.encode": encode,
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch._utils._rebuild_parameter": rebuild_parameter,
        "torch.storage._load_from_bytes": load_storage,
    }


def read_object(path: Path) -> Any:
    """What a pickle holds, a torch archive or a bare one: plain containers and tensors, and a stub
    for anything else. Raises UserError where the file is missing or damaged."""
    check_weights(path)
    try:
        read: Callable[[Path], Any] = _archive if is_archive(path) else _bare
        return read(path)
    except UserError:
        raise
    except Exception as error:  # bytes that are a program of no one knows whom may raise anything
        raise UserError(f"{path} can't be read as a pickled module: {first_line(error)}.") from None


def read_module(path: Path) -> Stub:
    """The pickled module of a file, as a stub. Raises UserError as `read_object` does, and where
    the file holds something else."""
    found = read_object(path)
    if not isinstance(found, Stub):
        kind = type(found).__name__
        raise UserError(
            f"{path} holds a {kind}, not a pickled module; tensors by name have the layout "
            "openclip-state-dict."
        )
    return found


def _archive(path: Path) -> Any:
    check_stored(path)
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("constants.pkl") for name in archive.namelist()):
            raise UserError(f"{path} is a TorchScript program, not a pickled module.")
    # torch wants a module with an Unpickler; its own storages stay behind the memory map
    module = SimpleNamespace(Unpickler=Unpickler, load=None, __name__=__name__)
    return torch.load(path, map_location="cpu", pickle_module=module, weights_only=False, mmap=True)


def _bare(path: Path) -> Any:
    # a map gives no more than there is, whatever size is asked for
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return Unpickler(mapped).load()


def tensors_of(module: Stub, path: Path) -> dict[str, Tensor]:
    """Parameters and persistent buffers by dotted name: what `module.state_dict()` would give.
    Raises UserError where a part of the module is not laid out as torch lays out modules."""
    return dict(_walk(module, "", path, ()))


def _walk(module: Any, prefix: str, path: Path, above: tuple[int, ...]) -> Iterator[Any]:
    state = module.state if isinstance(module, Stub) else None
    if not isinstance(state, dict) or id(module) in above or len(above) > DEEPEST:
        raise UserError(f"{path}: {prefix.rstrip('.') or 'the module'} is no torch module.")
    parameters, buffers, children = (
        _part(state, key, prefix, path) for key in ("_parameters", "_buffers", "_modules")
    )
    passing = state.get("_non_persistent_buffers_set", set())
    if not isinstance(passing, set):
        raise UserError(f"{path}: {prefix}_non_persistent_buffers_set is no set.")
    kept = {name: x for name, x in buffers.items() if name not in passing}
    for name, value in (*parameters.items(), *kept.items()):
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise UserError(f"{path}: {prefix}{name} is no tensor.")
        yield f"{prefix}{name}", value
    for name, child in children.items():
        if child is not None:
            yield from _walk(child, f"{prefix}{name}.", path, (*above, id(module)))


def _part(state: dict[str, Any], key: str, prefix: str, path: Path) -> dict[str, Any]:
    part = state.get(key, {})
    if not isinstance(part, dict):
        raise UserError(f"{path}: {prefix}{key} is no dictionary.")
    return part


def origins(module: Stub) -> Iterator[str]:
    """Names of the classes of a module and of all modules in it, with repeats."""
    yield module.origin
    children = module.state.get("_modules", {}) if isinstance(module.state, dict) else {}
    for child in children.values():
        if isinstance(child, Stub):
            yield from origins(child)


# ---- files of the original task_vectors code -----------------------------------------------------

NORM_TOLERANCE = 1e-2  # relative: rows of a head are unit vectors times the logit scale


def open_pickled(path: Path) -> RawFile:
    """The tensors of a pickled `ImageEncoder` by name. `quick_gelu` of the file tells which
    activation its blocks were pickled with, if any. Raises UserError where the file is missing or
    damaged, or is no such module."""
    kinds: set[str] = set()

    def load() -> dict[str, Tensor]:
        module = _read(path, "ImageEncoder")
        kinds.update(origin.rpartition(".")[2] for origin in origins(module))
        return unwrapped(tensors_of(module, path), path)

    raw = RawFile(path, load, remap=is_archive(path))
    if kinds & {"QuickGELU", "GELU"}:
        raw.quick_gelu = "QuickGELU" in kinds
    return raw


def read_head(path: Path, rows: int, width: int, logit_scale: float) -> Tensor:
    """The head of a pickled `ClassificationHead`, (C, D), as unit vectors. Its weight holds unit
    text embeddings times the logit scale, which is the backbone's business. Raises UserError as
    `open_pickled` does, and where it is no zero-shot head of this many classes."""
    module = _read(path, "ClassificationHead")
    tensors = tensors_of(module, path)
    weight, bias = tensors.get("weight"), tensors.get("bias")
    weight = head_of(path, "weight", weight, rows, width)
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
    """The number of classes of a pickled `ClassificationHead`. Raises UserError as `open_pickled`
    does, and where it has no weight."""
    weight = tensors_of(_read(path, "ClassificationHead"), path).get("weight")
    if weight is None or weight.dim() != 2:
        raise UserError(f"{path}: weight is missing or is no matrix.")
    return len(weight)


def _read(path: Path, kind: str) -> Stub:
    module = read_module(path)
    if module.origin.rpartition(".")[2] != kind:
        raise UserError(f"{path} holds a pickled {module.origin}, not an object of class {kind}.")
    return module
