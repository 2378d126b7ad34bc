"""One weight file as stored: tensors by the file's own names, mapped into memory piece by piece.

Pages of a map count as memory until the map goes. A `RawFile` therefore lets go of its map after
every `BUDGET` bytes that it has handed out, and maps anew when the next tensor is asked for.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semerge.common import UserError, first_line

BUDGET = 32 * 2**20  # bytes
PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))  # how a pickle starts


class RawFile:
    """Named tensors of one file; nothing is read before it is asked for. load: opens the file and
    returns its tensors, views of a fresh memory map where it can. remap: False where `load` reads
    the whole file instead of mapping it."""

    def __init__(
        self, path: Path, load: Callable[[], Mapping[str, Tensor]], remap: bool = True
    ) -> None:
        self.path = path
        self._load = load
        self._remap = remap
        self._open: Mapping[str, Tensor] | None = load()
        self._handed_out = 0
        self.quick_gelu: bool | None = None  # where the file itself tells its activation
        self.shapes = {key: tuple(tensor.shape) for key, tensor in self._open.items()}
        self.dtypes = {key: tensor.dtype for key, tensor in self._open.items()}

    def tensor(self, key: str) -> Tensor:
        """The stored tensor. It keeps its map alive: use it and drop it."""
        if self._open is None:
            self._open = self._load()
        tensor = self._open[key]
        self._handed_out += tensor.numel() * tensor.element_size()
        if self._remap and self._handed_out >= BUDGET:
            self._open, self._handed_out = None, 0
        return tensor


def check_there(path: Path) -> None:
    """Raises UserError where there is no file, or a folder in its place."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name the file in it.")
    if not path.is_file():
        raise UserError(f"{path} is missing.")


def open_raw(path: Path) -> RawFile:
    """A safetensors file or a torch state dict. A file named so must be safetensors; of others the
    content decides. Raises UserError where the file is missing, damaged or holds more than tensors
    by name."""
    check_there(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path} can't be read: {first_line(error)}.") from None
    # a safetensors file is a length (8 bytes), then JSON; "PK" alone may well be such a length
    header = start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**26
    if path.suffix != ".safetensors" and not header and start[:2] in (b"PK", *PICKLES):
        zipped = is_archive(path)
        return RawFile(path, lambda: _state_dict(path, zipped), remap=zipped)
    raw = RawFile(path, lambda: _safetensors(path))
    _check_unique(path)
    return raw


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, as torch writes them, be its table of contents damaged or not."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def check_stored(path: Path) -> None:
    """Torch compresses nothing in its archives, and makes room for what the table of contents says.
    Raises UserError where there is more than the file holds."""
    with zipfile.ZipFile(path) as archive:
        if any(part.file_size != part.compress_size for part in archive.infolist()):
            raise UserError(f"{path} is a compressed archive, which torch does not write.")


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
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read as safetensors: {error}.") from None


def _state_dict(path: Path, zipped: bool) -> Mapping[str, Tensor]:
    """Read with `weights_only`, which runs nothing; before torch 1.6 files were no archives."""
    try:
        if zipped:
            check_stored(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UserError:
        raise
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds Python objects, not tensors alone; a pickled ImageEncoder has the "
            "layout openclip-pickle."
        ) from None
    except Exception as error:  # damaged bytes make torch raise anything, assertions too
        raise UserError(f"{path} can't be read as a torch file: {first_line(error)}.") from None
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not tensors by name.")
    # nik-dim/tall_masks' code may leave the model's name among the tensors
    state.pop("model_name", None)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{path}: {key} is no tensor.")
    return state
