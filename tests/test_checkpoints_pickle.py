"""A pickle is a program. None of it is run: what it names stays a stub, whatever it asks for."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled, write_pickled_head
from published_fakes import VIT

from semerge.backbones.weights import open_base
from semerge.checkpoints.pickled import (
    Stub,
    Unpickler,
    open_pickled,
    read_head,
    read_module,
    tensors_of,
)
from semerge.checkpoints.weight_files import open_raw
from semerge.common import UserError

TOWER = fakes.text_weights(1)
STATE = fakes.image_encoder(fakes.random_weights(VIT.shapes, 0), TOWER)


class Payload:
    """Runs a command when a plain unpickler meets it."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def payloads(marker: Path) -> list[Payload]:
    """Ways to create a file."""
    code = f"open({str(marker)!r}, 'w')"
    return [
        Payload(os.system, f"touch {marker}"),
        Payload(eval, code),
        Payload(exec, code),
        Payload(open, str(marker), "w"),
        Payload(Path.touch, marker),
        Payload(getattr, Payload(__import__, "os"), "system"),
        Payload(torch.load, str(marker)),
    ]


def save(content: object, path: Path, form: str) -> None:
    if form == "archive":
        torch.save(content, path)
    elif form == "old archive":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(form)))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("form", ["archive", "old archive", "2", "4"])
def test_a_payload_is_not_run(tmp_path: Path, form: str, number: int) -> None:
    marker, path = tmp_path / "ran", tmp_path / "finetuned.pt"
    save(OrderedDict(model=payloads(marker)[number]), path, form)
    for layout in ("openclip-pickle", "openclip-state-dict"):
        with pytest.raises(UserError, match=r"finetuned\.pt"):
            open_base(path, layout, VIT.shapes)
    with pytest.raises(UserError, match=r"finetuned\.pt"):
        read_head(path, 3, 16, 50.0)
    assert not marker.exists()


def test_the_payloads_would_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(payloads(marker)[4]))
    assert marker.exists()


def test_a_payload_inside_a_module_is_not_run(tmp_path: Path) -> None:
    """The module around it is read all the same: a stub stands where the payload was."""
    marker, path = tmp_path / "ran", tmp_path / "finetuned.pt"
    encoder = torch.nn.Linear(2, 2)
    encoder.train_preprocess = Payload(os.system, f"touch {marker}")
    save(encoder, path, "archive")
    module = read_module(path)
    assert torch.equal(tensors_of(module, path)["weight"], encoder.weight)
    assert isinstance(module.state["train_preprocess"], Stub)
    assert not marker.exists()


def test_what_a_pickle_names_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pt"
    path.write_bytes(b"\x80\x02cantigravity_of_semerge\nfly\n)R.")
    module = read_module(path)
    assert module.origin == "antigravity_of_semerge.fly"
    assert "antigravity_of_semerge" not in sys.modules


def test_attributes_that_a_pickle_sets_reach_nothing_shared() -> None:
    """BUILD with a pair sets attributes of whatever came before, here of a rebuilder."""
    name = b"ctorch._utils\n_rebuild_tensor_v2\n"
    program = b"\x80\x02" + name + b"(N}X\x04\x00\x00\x00evilK\x01stb."
    assert Unpickler(io.BytesIO(program)).load().evil == 1
    program = b"\x80\x02" + name + b"."
    assert not hasattr(Unpickler(io.BytesIO(program)).load(), "evil")
    assert not hasattr(torch._utils._rebuild_tensor_v2, "evil")


def test_open_clip_is_not_needed(tmp_path: Path) -> None:
    path = write_pickled(tmp_path / "finetuned.pt", STATE)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if "open_clip" in name}
    try:
        assert torch.equal(open_pickled(path).tensor("visual.proj"), STATE["model.visual.proj"])
        assert not any(name.startswith(("open_clip", "src")) for name in sys.modules)
    finally:
        sys.modules.update(kept)


def test_a_tensor_reaches_no_further_than_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pt"
    write_pickled(path, STATE)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pkl = next(name for name in parts if name.endswith("data.pkl"))
    # the class embedding, 32 numbers, claims to have 255
    parts[pkl] = parts[pkl].replace(b"K \x85", b"K\xff\x85")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match="can't be read as a pickled module"):
        open_pickled(path)


def test_other_objects_are_refused(tmp_path: Path) -> None:
    head = write_pickled_head(tmp_path / "head.pt", torch.randn(3, 16))
    encoder = write_pickled(tmp_path / "encoder.pt", STATE)
    with pytest.raises(UserError, match=r"pickled src\.modeling\.ClassificationHead, not .*Image"):
        open_pickled(head)
    with pytest.raises(UserError, match=r"pickled src\.modeling\.ImageEncoder, not .*Head"):
        read_head(encoder, 3, 16, 50.0)
    plain = fakes.write_state_dict(tmp_path / "state.pt", STATE)
    with pytest.raises(UserError, match="have the layout openclip-state-dict"):
        open_pickled(plain)
    with pytest.raises(UserError, match="layout openclip-pickle"):
        open_base(encoder, "openclip-state-dict", VIT.shapes)
    with pytest.raises(UserError, match="missing"):
        open_pickled(tmp_path / "none.pt")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(UserError, match="TorchScript"):
        open_pickled(path)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda state: state.update(_modules=[]), "_modules is no dictionary"),
        (lambda state: state["_parameters"].update(weight="x"), "weight is no tensor"),
        (lambda state: state["_modules"].update(inner={}), "inner is no torch module"),
        (lambda state: state.update(_non_persistent_buffers_set=3), "buffers_set is no set"),
    ],
)
def test_a_module_that_is_none(
    tmp_path: Path, break_it: Callable[[dict[str, Any]], None], words: str
) -> None:
    path = tmp_path / "finetuned.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    module = read_module(path)
    break_it(module.state)
    with pytest.raises(UserError, match=words):
        tensors_of(module, path)


def test_modules_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    module = top = read_module(path)
    for _ in range(5000):  # deeper than Python's own limit
        module.state["_modules"]["in"] = module = read_copy(top)
    with pytest.raises(UserError, match="in is no torch module"):
        tensors_of(top, path)


def read_copy(module: Stub) -> Stub:
    """Another module with the same parts, none of them inside."""
    other = type(module)()
    other.state = {**module.state, "_modules": {}}
    return other


def test_a_module_inside_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    module = read_module(path)
    module.state["_modules"]["again"] = module
    with pytest.raises(UserError, match="again is no torch module"):
        tensors_of(module, path)


ROOM = 300 * 2**20  # far beyond what a file of some bytes needs
BODY = b"]q\x00."


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02]r" + struct.pack("<I", ROOM // 32) + b".",  # the index of a memo
        b"\x80\x02]p" + str(ROOM // 32).encode() + b"\n.",
        b"\x80\x04B" + struct.pack("<I", ROOM) + BODY,  # bytes
        b"\x80\x04\x8e" + struct.pack("<Q", ROOM) + BODY,
        b"\x80\x05\x96" + struct.pack("<Q", ROOM) + BODY,  # a bytearray
        b"\x80\x04X" + struct.pack("<I", ROOM) + BODY,  # a text
        b"\x80\x02\x8b" + struct.pack("<I", ROOM) + BODY,  # a number
        b"\x80\x04\x95" + struct.pack("<Q", ROOM) + BODY,  # a frame
    ],
)
def test_no_room_is_made_for_what_is_not_there(
    tmp_path: Path, program: bytes, archive: bool
) -> None:
    path = tmp_path / "x.pt"
    if archive:
        torch.save([], path)
        with zipfile.ZipFile(path) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(path, "w") as file:
            for name, data in parts.items():
                file.writestr(name, program if name.endswith("data.pkl") else data)
    else:
        path.write_bytes(program)
    tracemalloc.start()
    with pytest.raises(UserError):
        read_module(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_an_archive_is_no_larger_than_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save([], path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", bytes(10 * 2**20))
    for read in (read_module, open_raw):
        with pytest.raises(UserError, match="compressed archive"):
            read(path)
