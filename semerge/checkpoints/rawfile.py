"""One weight file as stored: tensors by the file's own names, mapped into memory piece by piece.

Pages of a map count as memory until the map goes. A `RawFile` therefore lets go of its map after
every `BUDGET` bytes that it has handed out, and maps anew when the next tensor is asked for.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from semerge.common import UserError, first_line
from semerge.foreign import WEIGHTS, kind_of_file

BUDGET = 32 * 2**20  # bytes
# What no model calls its own parts: before a name, in any order, and within one.
_WRAPPERS = re.compile(
    r"^(?:(?:module|model|base_model|_orig_mod)\.)+"
    r"|(?<![^.])(?:_orig_mod\.|modules_to_save\.(?:default\.)?)+"
)


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


def check_weights(path: Path) -> bytes:
    """The beginning of a file that may hold weights, by what it is and not by its name. Raises
    UserError where there is none, it can't be read, or it is plainly something else."""
    check_there(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
        # of safetensors, whose first bytes, a length, may be those of anything
        what = None if is_header(start) else kind_of_file(path) or _text(start)
    except OSError as error:
        raise UserError(f"{path} can't be read: {first_line(error)}.") from None
    if what not in (None, WEIGHTS):
        raise UserError(f"{path} holds no weights that can be read: it is {what}.")
    return start


def is_header(start: bytes) -> bool:
    """Whether a file begins as safetensors do: a length in 8 bytes, then JSON."""
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**26


def _text(start: bytes) -> str | None:
    kinds = {b"[": "a JSON array", b"{": "a JSON object"}
    plain = len(start) == 9 and start.isascii() and start.decode("ascii").isprintable()
    return kinds.get(start.lstrip()[:1], "a plain text" if plain else None)


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


def unwrapped(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors by the names that the model itself gives them: without the attributes under which
    `DataParallel`, a Lightning module, PEFT or `torch.compile` keep it. Raises UserError where two
    are of one name then."""
    named = {_WRAPPERS.sub("", name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise UserError(f"{path} holds the same name twice, in a wrapper and without.")
    return named
