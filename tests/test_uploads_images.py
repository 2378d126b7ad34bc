"""Uploaded zip archives of images: what is read, and what is refused with which sentence."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_vision_suite
from uploading import labels, refused

from semerge.data import archives
from semerge.data.uploads import uploaded_sets
from semerge.inputs import decode_image
from semerge.suites import Suite, read_suite


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_vision_suite(tmp_path_factory.mktemp("vision")))


def png(seed: int = 0, size: tuple[int, int] = (20, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_one_folder_a_class_and_the_task_inferred(vision: Suite, tmp_path: Path) -> None:
    files = {f"mine/{c}/{i}.png": png(i, (20 + i, 30)) for i in range(2) for c in ("DOG", "ant")}
    files |= {"__MACOSX/mine/._0.png": b"x", "mine/.DS_Store": b"x", "mine/empty/": b""}
    found = uploaded_sets(vision, pack(tmp_path / "a.zip", files))
    assert labels(found) == {"task2": [3, 0, 3, 0]}  # only task2 has a dog
    (own,) = found.sets
    assert found.data == "a.zip" and own.split == "upload" and own.visual
    assert own.names == ("mine/DOG/0.png", "mine/ant/0.png", "mine/DOG/1.png", "mine/ant/1.png")
    for i, name in enumerate(own.names):
        assert np.array_equal(own.pixels(i), np.asarray(decode_image(files[name]).image))
    half = own.take([2, 1])
    assert half.names == (own.names[2], own.names[1]) and half.pixels(0).shape == (21, 30, 3)
    assert half.sha256() != own.sha256() == own.take(range(4)).sha256()


def test_the_task_chosen_named_or_by_its_folder(vision: Suite, tmp_path: Path) -> None:
    a = pack(tmp_path / "a.zip", {"ant/1.png": png()})
    assert "fit the tasks task0, task1, task2; choose one" in refused(vision, a)
    assert labels(uploaded_sets(vision, a, "task1")) == {"task1": [0]}
    a = pack(tmp_path / "a.zip", {"ant/1.png": png(), "bee/1.png": png()})
    assert labels(uploaded_sets(vision, a)) == {"task0": [0, 1]}  # all that task0 has
    assert labels(uploaded_sets(vision, a, "task1")) == {"task1": [0, 1]}
    b = pack(tmp_path / "b.zip", {"task1/ant/1.png": png(), "task1/bee/1.png": png()})
    assert labels(uploaded_sets(vision, b)) == {"task1": [0, 1]}
    both = {"x/task2/eel/1.png": png(), "x/task0/bee/1.png": png()}
    assert "is no class of task2" in refused(vision, pack(tmp_path / "c.zip", both))
    both = {"x/task2/dog/1.png": png(), "x/task0/bee/1.png": png()}
    found = uploaded_sets(vision, pack(tmp_path / "d.zip", both))
    assert labels(found) == {"task0": [1], "task2": [3]}
    assert "classes of no task" in refused(vision, pack(tmp_path / "e.zip", {"owl/1.png": png()}))
    assert "task 'nine' is unknown" in refused(vision, a, "nine")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../ant/1.png", "leads out of the zip"),
        ("ant/../../1.png", "leads out of the zip"),
        ("/ant/1.png", "leads out of the zip"),
        ("C:/ant/1.png", "leads out of the zip"),
        ("ant\\..\\1.png", "leads out of the zip"),
        ("ant/1\x1b.png", "not readable"),
        ("ant/" + "x" * 300 + ".png", "too long"),
        ("a/b/c/d/e/1.png", "more than 4 folders"),
        ("ant/more.zip", "an archive inside the archive"),
        ("1.png", "no class's folder"),
        ("a/b/c/1.png", "no class's folder"),
    ],
)
def test_names_that_are_refused(vision: Suite, tmp_path: Path, name: str, words: str) -> None:
    path = pack(tmp_path / "a.zip", {name: png(), "bee/2.png": png()})
    assert words in refused(vision, path, "task0")


def test_links_passwords_and_twins_are_refused(vision: Suite, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("ant/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "a link or a device" in refused(vision, tmp_path / "a.zip")
    path = pack(tmp_path / "b.zip", {"ant/1.png": png()})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the local header, and the one in the directory
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(vision, path)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("ant/1.png", png())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ant/1.png", png(1))
    assert "twice" in refused(vision, tmp_path / "c.zip")
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("ant/1.png", png())
    assert "unusual way" in refused(vision, tmp_path / "d.zip")


def test_bombs_are_refused_before_they_are_unpacked(
    vision: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ant/1.png", bytes(9 * 2**20))
    monkeypatch.setattr(archives, "_unpack", lambda *_: pytest.fail("unpacked"))
    assert "as zip bombs do" in refused(vision, tmp_path / "a.zip")
    big = pack(tmp_path / "b.zip", {"ant/1.png": bytes(11 * 2**20)})
    assert "limit is 10 MB a file" in refused(vision, big)
    three = pack(tmp_path / "c.zip", {f"ant/{i}.png": png(i) for i in range(3)})
    monkeypatch.setattr(archives, "MAX_UNPACKED", 3000)
    assert "when unpacked; the limit" in refused(vision, three, "task0")
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    assert "3 files; the limit is 2" in refused(vision, three, "task0")
    monkeypatch.setattr(archives, "MAX_ARCHIVE", 100)
    assert "the limit is" in refused(vision, three, "task0")


def test_a_directory_of_millions_is_refused_by_its_end_record(
    vision: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "a.zip", {"ant/1.png": png()})
    data = bytearray(path.read_bytes())
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("parsed"))
    for field, value in ((10, struct.pack("<H", 60_000)), (12, struct.pack("<L", 2**32 - 1))):
        changed = bytearray(data)
        at = changed.rfind(b"PK\x05\x06") + field
        changed[at : at + len(value)] = value
        path.write_bytes(changed)
        assert "too many files" in refused(vision, path)


def test_sizes_that_lie_and_damage_are_refused(vision: Suite, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"ant/1.png": png()})
    data = path.read_bytes()
    directory = data.rfind(b"PK\x01\x02")
    (size,) = struct.unpack_from("<L", data, directory + 24)
    for told in (size - 5, size + 5):
        changed = bytearray(data)
        struct.pack_into("<L", changed, directory + 24, told)
        path.write_bytes(changed)
        assert "damaged" in refused(vision, path, "task0")
    changed = bytearray(data)
    changed[60] ^= 255
    path.write_bytes(changed)
    assert "damaged" in refused(vision, path, "task0")
    path.write_bytes(data[: len(data) // 2])
    assert "no zip archive" in refused(vision, path)
    path.write_bytes(b"")
    assert "no zip archive" in refused(vision, path)
    assert "can't be read" in refused(vision, tmp_path / "nothing.zip")
    assert "no files" in refused(vision, pack(tmp_path / "b.zip", {"ant/": b""}))


def test_damage_to_an_archives_own_records_is_told(vision: Suite, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"ant/ü.png": png(), "bee/1.png": png()})
    whole = path.read_bytes()
    said = "This zip archive is damaged or incomplete; make it once more."
    at = whole.index("ü".encode())  # the name beside the file; the directory has it again
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    assert refused(vision, path) == said
    end = whole.index(b"PK\x05\x06")  # 12 bytes on, the directory's size: beyond the beginning
    path.write_bytes(whole[: end + 12] + struct.pack("<L", len(whole)) + whole[end + 16 :])
    assert refused(vision, path) == said


def test_a_picture_is_checked_as_a_single_one_is(vision: Suite, tmp_path: Path) -> None:
    for data, words in ((b"<svg/>", "SVG"), (png(size=(4, 4)), "too small"), (b"no", "readable")):
        path = pack(tmp_path / "a.zip", {"ant/1.png": data})
        sentence = refused(vision, path, "task0")
        assert words in sentence and sentence.startswith("'ant/1.png': ")


def test_names_in_utf_8_are_read_whatever_the_flag(vision: Suite, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"ant/é.png": png()})
    data = path.read_bytes()
    unmarked = bytearray(data)
    unmarked[7] &= ~8
    unmarked[unmarked.rfind(b"PK\x01\x02") + 9] &= ~8
    for content in (data, unmarked):
        path.write_bytes(content)
        assert uploaded_sets(vision, path, "task0").sets[0].names == ("ant/é.png",)
    path.write_bytes(unmarked.replace("é".encode(), b"\xe9\xe9"))
    assert "not UTF-8" in refused(vision, path)
