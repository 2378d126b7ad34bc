"""A file that is none of those wanted is told by what it is, whichever door it comes to."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import published_fakes as fakes
import pytest
import torch
from PIL import Image
from published_suites import BASE, EXPERTS, TOWER, clip_suite
from safetensors.torch import save_file

from semerge import UserError, decode_image, read_suite
from semerge.backbones.weights import detect
from semerge.checkpoints.pickled import read_module
from semerge.data.files import read_images
from semerge.data.tabular import read_records
from semerge.foreign import END, START, kind_of, kind_of_file


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the library would turn backslashes
            archive.writestr(info, b"content")
    return data.getvalue()


def picture() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (9, 9)).save(data, "PNG")
    return data.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
KINDS = {
    "pointer": (POINTER, "a pointer in place of the file itself; fetch that by `git lfs pull`"),
    "annex": (b"/annex/objects/MD5E-s1--0.pt\n", "`git annex get`"),
    "page": (b"\n <!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
    "page with mark": (b"\xef\xbb\xbf<HTML lang=en>", "a web page"),
    "store": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(30), "a GGUF file of llama.cpp"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file, as Keras saves weights"),
    "torchscript": (
        zipped("m/data.pkl", "m/code/x.py", "m/constants.pkl"),
        "a TorchScript program",
    ),
    "workbook": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook; save it"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "an Excel workbook; save it"),
    "document": (zipped("word/document.xml"), "a Word document"),
    "backslashes": (zipped("m\\data.pkl", "m\\data\\0"), "whose names have backslashes"),
    "anew": (zipped("data.pkl", "data/0"), "was unpacked and packed anew"),
    "zip": (zipped("a.bin"), "packed; unpack it and choose the file inside"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "packed; unpack it"),
    "rar": (b"Rar!\x1a\x07" + bytes(20), "packed; unpack it"),
    "parquet": (b"PAR1" + bytes(20), "a Parquet file"),
    "sqlite": (b"SQLite format 3\0" + bytes(20), "an SQLite database"),
    "numpy": (b"\x93NUMPY\1\0" + bytes(20), "a NumPy array"),
    "pdf": (b"%PDF-1.7\n", "a PDF document"),
    "picture": (picture(), "a picture"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights(tmp_path: Path, kind: str, name: str) -> None:
    data, words = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(data)
    for read in (detect, read_module):
        with pytest.raises(UserError) as told:
            read(path)
        assert str(told.value).startswith(f"{path} holds no weights that can be read: it is ")
        assert words in str(told.value) and str(told.value).endswith(".")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"[1, 2, 3, 4, 5]", "a JSON array"),
        (b'\n{"error": "Not Found"}', "a JSON object"),
        (b"Repository not found", "a plain text"),
    ],
)
def test_texts_are_no_weights(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"holds no weights that can be read: it is {what}\\."):
        detect(path)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"picture"}))
def test_tables_and_pictures(tmp_path: Path, kind: str) -> None:
    data, words = KINDS[kind]
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(UserError) as told:
        read_records(path)
    assert str(told.value).startswith("This file is ") and words in str(told.value)
    with pytest.raises(UserError) as told:
        decode_image(data)
    assert str(told.value).startswith("This file is not a readable image: it is ")
    assert words in str(told.value)


def test_a_picture_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(picture())
    with pytest.raises(UserError, match=r"^This file is a picture\.$"):
        read_records(path)


def test_weights_are_no_table_and_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(UserError, match=r"^This file is weights of a model, as PyTorch saves"):
        read_records(path)
    with pytest.raises(UserError, match="it is weights of a model"):
        decode_image(path.read_bytes())


def test_what_lies_beside_weights(tmp_path: Path) -> None:
    """A description, a tokenizer and a set are read with them."""
    folder = clip_suite(tmp_path, "fusionbench-clip")
    (folder / "suite.json").write_bytes(POINTER)
    with pytest.raises(UserError, match=r"suite\.json can't be read as JSON: it is a pointer"):
        read_suite(folder)
    path = tmp_path / "test.npz"
    path.write_bytes(KINDS["page"][0])
    with pytest.raises(UserError, match="it is a web page"):
        read_images(path, 2)
    from semerge.backbones.gpt2.model import read_tokenizer

    path = tmp_path / "tokenizer.json"
    path.write_bytes(POINTER)
    with pytest.raises(UserError, match="can't be read as a tokenizer: it is a pointer"):
        read_tokenizer(path)


def test_weights_are_taken_for_nothing_else(tmp_path: Path) -> None:
    """Whatever the length of its header is, a safetensors file begins with that number."""
    states = {"a": EXPERTS[0], "b": fakes.hf_clip(BASE, TOWER)}
    begins = set()
    for wide in (0, 5, 60, 700):
        for name, state in states.items():
            path = tmp_path / f"{name}.safetensors"
            about = {"format": "pt", "x": "y" * wide}
            save_file({k: x.contiguous() for k, x in state.items()}, path, about)
            begins.add(path.read_bytes()[:1])
            assert detect(path).shapes.keys() == state.keys()
    assert len(begins) > 4
    # one whose length has the letters of a zip archive
    path = tmp_path / "pk.safetensors"
    size = int.from_bytes(b"PK", "little")
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"visual.conv1.weight": tensor})
    path.write_bytes(size.to_bytes(8, "little") + header.ljust(size).encode() + bytes(4))
    assert detect(path).layout == "openclip-state-dict"


def test_the_end_of_a_large_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/version", b"3" * (START + END))
        archive.writestr("m/constants.pkl", b"")
    kind = kind_of_file(path)
    assert kind is not None and kind.startswith("a TorchScript program")
    assert kind == kind_of(path.read_bytes())
    assert kind_of(b"") is None and kind_of(b"text,label\nhello,1\n") is None
