"""Merges that take long, shipped beside a suite.

What a method makes of a suite's experts can be *shipped*: as half-precision differences from the
base, in the suite's folder `variants/`, in files below 10 MB. They are found by the hash of the
method's spec and the suite's weights, so nothing there can be taken for another's; `index.json`
says what each is and holds the hash of every file. `merge --ship` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semerge.checkpoints.files import sha256_of
from semerge.checkpoints.made import FOLDER, INDEX, index_of
from semerge.checkpoints.saving import SUFFIX, save_whole
from semerge.common import UserError, content_key, write_text
from semerge.methods import METHODS
from semerge.suites import Suite

LIMIT = 9_500_000
"""Bytes of a file's numbers: with its header it stays below 10 MB."""


def key_of(spec: str, weights_sha256: str) -> str:
    """Under what a merge is shipped. No version is in it: what is there was made once, and its
    entry in the index says by which."""
    return content_key({"shipped": spec, "weights": weights_sha256})


def ship(
    suite: Suite,
    spec: str,
    weights_sha256: str,
    deltas: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> list[Path]:
    """Write what a method changes into the suite's folder. deltas: differences from the base by
    name, of any shape. Returns the files. Raises UserError where a number is no finite one of half
    precision, or the folder does not take them."""
    folder, key = suite.folder / FOLDER, key_of(spec, weights_sha256)
    halves = {name: x.detach().cpu().half() for name, x in deltas.items()}
    for name, x in halves.items():
        if not torch.isfinite(x).all():
            raise UserError(f"{name} of {METHODS.title(spec)} has numbers that no half can hold.")
    shapes = {name: list(x.shape) for name, x in halves.items()}
    written: list[Path] = []
    try:
        folder.mkdir(exist_ok=True)
        index = index_of(suite)
        for old in index.get(key, {}).get("files", {}):
            (folder / old).unlink(missing_ok=True)
        for number, part in enumerate(_parts(halves)):
            file = folder / f"{key[:16]}-{number}{SUFFIX}"
            save_whole(file, part, {"part": str(number)})
            written.append(file)
        files = {file.name: sha256_of(file) for file in written}
        index[key] = {"method": spec, "shapes": shapes, "files": files, **about}
        write_text(folder / INDEX, json.dumps(index, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}.") from None
    return written


def _parts(halves: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The numbers cut into files: by name and where a piece begins."""
    part: dict[str, Tensor] = {}
    room = most = LIMIT // 2  # numbers
    for name, x in halves.items():
        flat, start = x.flatten(), 0
        while start < len(flat):
            piece = flat[start : start + room]
            part[f"{name}#{start}"] = piece.clone()
            start, room = start + len(piece), room - len(piece)
            if room == 0:
                yield part
                part, room = {}, most
    if part:
        yield part


def shipped(suite: Suite, spec: str, weights_sha256: str) -> dict[str, Tensor] | None:
    """What was shipped of a method for these weights, float32 differences by name; None where
    nothing was. Raises UserError where a file is missing, damaged or another one."""
    entry = index_of(suite).get(key_of(spec, weights_sha256))
    if entry is None:
        return None
    found = {name: torch.full(shape, torch.nan) for name, shape in entry["shapes"].items()}
    for name, sha256 in entry["files"].items():
        file = suite.folder / FOLDER / name
        try:
            if sha256_of(file) != sha256:
                raise UserError(f"{file} is damaged: its hash is not the one that {INDEX} states.")
            for label, piece in load_file(file).items():
                tensor, _, start = label.rpartition("#")
                begin = int(start)
                found[tensor].view(-1)[begin : begin + len(piece)] = piece.float()
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise UserError(f"{file} can't be read: {error}.") from None
    for name, x in found.items():
        if torch.isnan(x).any():
            raise UserError(f"{suite.folder / FOLDER}: a part of {name} is missing.")
    return found
