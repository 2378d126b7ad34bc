"""Small valid files of every format, cut short and flipped at random: read, or one sentence.

Seeded, so that a failure comes again. A longer run: SEMERGE_FUZZ=5000 python -m pytest THIS.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semerge.common import UserError
from semerge.data.archives import list_archive, read_archive
from semerge.data.labelled import read_set
from semerge.data.tabular import read_records

ROUNDS = int(os.environ.get("SEMERGE_FUZZ", "120"))
CLASSES = b'["ant", "bee", "c\xc3\xa4t"]'
LINES = b"".join(
    json.dumps({"text": f"Satz {i} ü", "text_b": "zwei", "label": i % 3}).encode() + b"\n"
    for i in range(6)
)
TABLE = 'text,label,text_b\n"a, ü",ant,x\nfoo,bee,"y\n z"\n'.encode()
BARE = 'text\tlabel\n"a" ü\tant\nfoo\tbee\n'


def arrays() -> dict[str, bytes]:
    """x and y as .npy files."""
    found = {}
    for name, array in (("x", np.arange(6 * 72, dtype=np.uint8)), ("y", np.arange(6) % 3)):
        file = io.BytesIO()
        np.save(file, array.reshape(6, 8, 9) if name == "x" else array)
        found[name] = file.getvalue()
    return found


def zipped(method: int, files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def npz(method: int) -> bytes:
    return zipped(method, {f"{name}.npy": content for name, content in arrays().items()})


def with_array(name: str) -> Callable[[bytes], bytes]:
    """An .npz file whose checksums fit a damaged array."""

    def pack(content: bytes) -> bytes:
        files = arrays() | {name: content}
        return zipped(zipfile.ZIP_STORED, {f"{n}.npy": c for n, c in files.items()})

    return pack


def pictures() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(file, "PNG")
    names = ("ant/1.png", "bee/ü.png")
    return zipped(zipfile.ZIP_DEFLATED, dict.fromkeys(names, file.getvalue()))


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to four random cuts, flips, losses or insertions."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        kind = rng.choice("cut flip flip byte lose add".split())
        if kind == "cut":
            del found[at:]
        elif kind == "lose":
            del found[at : at + rng.randrange(1, 9)]
        elif kind == "add":
            found[at:at] = rng.randbytes(rng.randrange(1, 5))
        elif at < len(found):
            found[at] = rng.randrange(256) if kind == "byte" else found[at] ^ 1 << rng.randrange(8)
    return bytes(found)


def same(content: bytes) -> bytes:
    return content


# format: the valid content, where its damaged form is put, how it is packed for that
FORMATS: dict[str, tuple[bytes, str, Callable[[bytes], bytes]]] = {
    "stored npz": (npz(zipfile.ZIP_STORED), "test.npz", same),
    "deflated npz": (npz(zipfile.ZIP_DEFLATED), "test.npz", same),
    "LZMA npz": (npz(zipfile.ZIP_LZMA), "test.npz", same),
    "x.npy": (arrays()["x"], "test.npz", with_array("x")),
    "y.npy": (arrays()["y"], "test.npz", with_array("y")),
    "gzip": (gzip.compress(LINES, mtime=0), "test.jsonl.gz", same),
    "JSON lines": (LINES, "test.jsonl.gz", gzip.compress),
    "class names": (CLASSES, "classes.json", same),
    "uploaded CSV": (TABLE, "upload", same),
    "uploaded JSON lines": (LINES, "upload", same),
    "uploaded JSON array": (b"[" + LINES.strip().replace(b"\n", b",") + b"]", "upload", same),
    "uploaded UTF-16": (b"\xff\xfe" + BARE.encode("utf-16-le"), "upload", same),
    "uploaded zip": (pictures(), "upload", same),
}


def read(folder: Path, kind: str) -> None:
    if kind == "uploaded zip":
        entries, _ = list_archive(folder / "t/upload")
        list(read_archive(folder / "t/upload", entries))
    elif kind.startswith("uploaded"):
        read_records(folder / "t/upload")
    else:
        found = read_set(folder, "t", "test")
        count = len(found.images) if found.images is not None else len(found.texts)
        assert count == len(found) and found.labels.max() < len(found.classes)
        assert found.labels.min() >= 0 and found.sha256()


@pytest.mark.parametrize("kind", list(FORMATS))
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")  # a header as Python 2 wrote it
@pytest.mark.filterwarnings("ignore:Data type alias:DeprecationWarning")  # or an old numpy
def test_damage_is_one_sentence(kind: str, tmp_path: Path) -> None:
    content, name, pack = FORMATS[kind]
    rng = random.Random(kind)
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "classes.json").write_bytes(CLASSES)
    if name == "classes.json":
        (folder / "test.jsonl.gz").write_bytes(gzip.compress(LINES))
    path, refused = folder / name, 0
    path.write_bytes(pack(content))
    read(tmp_path, kind)
    for _ in range(ROUNDS):
        path.write_bytes(pack(damaged(content, rng)))
        try:
            read(tmp_path, kind)
        except UserError as error:
            refused += 1
            sentence = str(error)
            assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400
            assert name == "upload" or str(folder) in sentence
    assert refused > ROUNDS // 8
