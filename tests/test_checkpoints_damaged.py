"""Bytes that changed at random: a file is read, or refused in one sentence that names it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled, write_pickled_head
from published_suites import BASE, EXPERTS, TOWER

from semerge.backbones.weights import detect, open_base, open_expert
from semerge.checkpoints.pickled import read_head
from semerge.common import UserError

VIT = fakes.VIT
ENCODER = fakes.image_encoder(EXPERTS[0], TOWER)
TIMES = 25
REACH = 4000  # bytes from a file's start, and before its end, that say what is where


def old_state_dict(path: Path) -> Path:
    torch.save(ENCODER, path, _use_new_zipfile_serialization=False)
    return path


FILES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "a.safetensors": ("fusionbench-clip", lambda p: fakes.write_vision_model(p, EXPERTS[0])),
    "state.pt": ("openclip-state-dict", lambda p: fakes.write_state_dict(p, ENCODER)),
    "old.pt": ("openclip-state-dict", old_state_dict),
    "module.pt": ("openclip-pickle", lambda p: write_pickled(p, ENCODER)),
    "bare.pt": ("openclip-pickle", lambda p: write_pickled(p, ENCODER, bare=True)),
    "head.pt": ("", lambda p: write_pickled_head(p, 50 * torch.eye(3, 16))),
    "lora.safetensors": ("peft-lora", fakes.write_lora),
}


@pytest.mark.filterwarnings("ignore")  # torch's, on pickles of other protocols
@pytest.mark.parametrize("name", FILES)
def test_changed_bytes(tmp_path: Path, name: str) -> None:
    layout, write = FILES[name]
    path = fakes.write_clip_model(tmp_path / "base" / "model.bin", fakes.hf_clip(BASE, TOWER))
    base = open_base(path, "hf-clip", VIT.shapes)
    path = write(tmp_path / "file" / name) if name != "old.pt" else write(tmp_path / name)
    whole, chance = path.read_bytes(), random.Random(name)
    ends = [0, max(0, len(whole) - REACH), max(0, whole.find(b"data.pkl"))]

    def read() -> object:
        if not layout:
            return read_head(path, 3, 16, 50.0)
        return dict(open_expert(path, layout, VIT.shapes, base))

    told = []
    for _ in range(TIMES):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            at = chance.choice(ends) + chance.randrange(REACH)
            changed[min(at, len(changed) - 1)] = chance.randrange(256)
        path.write_bytes(changed)
        for use in (read, lambda: detect(path)):
            try:
                use()
            except UserError as error:
                told.append(str(error))
    assert told  # or nothing was damaged
    assert all(str(path) in words and "\n" not in words for words in told)


def test_a_table_of_contents_that_is_damaged(tmp_path: Path) -> None:
    """`zipfile` itself raises where the archive claims to span disks."""
    path = fakes.write_state_dict(tmp_path / "state.pt", ENCODER)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 16] = 7  # how many disks there are
    path.write_bytes(data)
    for layout in ("openclip-state-dict", "openclip-pickle"):
        with pytest.raises(UserError, match=r"state\.pt can't be read as"):
            open_base(path, layout, VIT.shapes)
