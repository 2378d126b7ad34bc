"""Weight files as people have them: one step from what was saved to a model's own tensors by name.

A file may be safetensors or torch's, alone or in shards with an index. Training scripts put a model
inside others and its state dict beside an optimiser's; what they put around is taken off here,
before anyone asks for the layout.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semerge.checkpoints.pickled import read_object
from semerge.checkpoints.rawfile import (
    RawFile,
    check_stored,
    check_there,
    check_weights,
    is_archive,
    is_header,
    unwrapped,
)
from semerge.common import UserError, first_line, listed, read_json

PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))  # how a pickle starts
INDEX = ".index.json"
# What a folder's model is in; adapters only where their config lies beside, or the whole model.
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
MODELS = (
    *("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin"),
    *(f"pytorch_model.bin{INDEX}", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_SHARD = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<count>\d{5})(?P<suffix>\.\w+)")

Load = Callable[[], Mapping[str, Tensor]]


def weights_in(path: Path) -> Path:
    """The file of weights in a model's folder; a file is itself. Raises UserError where there is
    none, or more than one that may be meant."""
    if not path.is_dir():
        return path
    names = (ADAPTERS if (path / "adapter_config.json").is_file() else ()) + MODELS
    for name in names:
        if (path / name).is_file():
            return path / name
    files = [file for file in path.iterdir() if file.suffix in SUFFIXES]
    if len(files) != 1:
        raise UserError(f"{path} is a folder; name the file in it.")
    return files[0]


def open_raw(path: Path) -> RawFile:
    """A safetensors file, or the state dict in a torch file, by the names that it has. A file named
    so must be safetensors; of others the content decides. Raises UserError where the file is
    missing, damaged or holds more than tensors by name."""
    return RawFile(path, *_loader(path))


def open_weights(path: Path) -> RawFile:
    """The same, or shards by the index that names them, without what was put around the model's own
    names."""
    load, remap = _shards(path) if path.name.endswith(INDEX) else _loader(path)
    return RawFile(path, lambda: unwrapped(load(), path), remap)


def parts_of(path: Path) -> list[Path]:
    """The files that a file of weights is read from: itself, and an index's shards."""
    if not path.name.endswith(INDEX):
        return [path]
    return [path, *(path.with_name(name) for name in sorted(set(_index(path).values())))]


def _loader(path: Path) -> tuple[Load, bool]:
    """How a file is opened, and whether that maps it."""
    check_there(path)
    shard = _SHARD.fullmatch(path.name)
    if shard is not None and int(shard["count"]) > 1:
        raise UserError(
            f"{path} is one shard of {int(shard['count'])}, so a part of a model; name its folder, "
            f"or {shard['name']}{shard['suffix']}{INDEX} in it."
        )
    return _open(path)


def _open(path: Path) -> tuple[Load, bool]:
    start = check_weights(path)
    # "PK" alone may well be the length of a header
    pickle_or_zip = not is_header(start) and start[:2] in (b"PK", *PICKLES)
    if path.suffix != ".safetensors" and pickle_or_zip:
        zipped = is_archive(path)
        return (lambda: _state_dict(path, zipped)), zipped
    return (lambda: _safetensors(path)), True


# ---- shards ------------------------------------------------------------------------------------


def _index(path: Path) -> dict[str, str]:
    """Which shard each tensor is in."""
    check_there(path)
    raw = read_json(path)
    names = raw.get("weight_map") if isinstance(raw, dict) else None
    if not isinstance(names, dict) or not all(map(_is_plain, names.values())):
        raise UserError(f"{path}: weight_map must name a file beside it for each tensor.")
    return names


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and not re.search(r"[/\\]", name)


def _shards(path: Path) -> tuple[Load, bool]:
    index = _index(path)
    shards = {name: _part(path, name) for name in sorted(set(index.values()))}

    def load() -> Mapping[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, (open_shard, _) in shards.items():
            part = open_shard()
            if set(part) != {key for key, shard in index.items() if shard == name}:
                raise UserError(f"{path.with_name(name)} holds other tensors than {path} says.")
            tensors.update(part)
        return tensors

    return load, all(remap for _, remap in shards.values())


def _part(index: Path, name: str) -> tuple[Load, bool]:
    file = index.with_name(name)
    if not file.is_file():
        raise UserError(f"{file} is missing: {index.name} says that a part of the model is in it.")
    return _open(file)


# ---- the two formats ---------------------------------------------------------------------------


def _check_unique(path: Path) -> None:
    """The format allows each name once; its library takes the last of several without a word."""

    def keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise UserError(f"{path} holds the same name twice.")
        return found

    with path.open("rb") as file:  # the library has checked the header
        header = file.read(int.from_bytes(file.read(8), "little"))
    json.loads(header, object_pairs_hook=keys)


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read as safetensors: {error}.") from None
    _check_unique(path)
    return tensors


def _state_dict(path: Path, zipped: bool) -> Mapping[str, Tensor]:
    """Read with `weights_only`, which runs nothing, or by stubs where a training script saved its
    own objects beside the weights; before torch 1.6 files were no archives."""
    try:
        if zipped:
            check_stored(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UserError:
        raise
    except pickle.UnpicklingError:
        state = read_object(path)
        if not isinstance(state, dict):
            raise UserError(
                f"{path} holds Python objects, not tensors alone; a pickled ImageEncoder has the "
                "layout openclip-pickle."
            ) from None
    except Exception as error:  # damaged bytes make torch raise anything, assertions too
        raise UserError(f"{path} can't be read as a torch file: {first_line(error)}.") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not tensors by name.")
    states = {} if any(map(_is_weight, state.items())) else dict(_inner(state))
    if len(states) > 1:
        raise UserError(
            f"{path} holds several models, {listed(states)}; save the one that is meant alone."
        )
    state = next(iter(states.values()), state)
    # nik-dim/tall_masks' code may leave the model's name among the tensors
    state.pop("model_name", None)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{path}: {key} is no tensor.")
    return state


def _inner(saved: Mapping[Any, Any], where: str = "", depth: int = 3) -> Iterator[tuple[str, Any]]:
    """The state dicts inside what a training script saved, by their place; an optimiser's, which
    has tensors by name too, is none."""
    for name, part in saved.items() if depth else ():
        if not isinstance(part, dict) or "optim" in str(name).lower():
            continue
        if any(map(_is_weight, part.items())):
            yield f"{where}{name}", part
        else:
            yield from _inner(part, f"{where}{name}.", depth - 1)


def _is_weight(item: tuple[Any, Any]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor) and value.dim() > 0
