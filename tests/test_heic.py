"""HEIC by the optional package pillow-heif, and without it."""

from __future__ import annotations

import io
import sys

import numpy as np
import pillow_heif
import pytest
from image_files import encoded, picture, refusal
from PIL import Image, UnidentifiedImageError
from test_colours import P3, UNREAD, in_srgb, matrix

from semerge.common import UserError
from semerge.inputs import MAX_SIDE, decode_image

HERE = np.asarray(picture()).astype(int)


def heic(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95, **options)
    return file.getvalue()


def test_a_photo_is_read_as_its_png_is() -> None:
    found = decode_image(heic(picture()))
    assert found.image.size == picture().size and found.notices == ()
    assert np.abs(np.asarray(found.image).astype(int) - HERE).mean() < 3
    grey = decode_image(heic(picture("L")))
    wanted = np.asarray(decode_image(encoded(picture("L"))).image).astype(int)
    assert np.abs(np.asarray(grey.image).astype(int) - wanted).mean() < 3
    large = decode_image(heic(Image.new("RGB", (2200, 1100), "red")))
    assert large.image.size == (MAX_SIDE, MAX_SIDE // 2)


def test_it_is_turned_upright_and_its_colours_are_converted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(heic(picture(), exif=exif.tobytes()))
    wanted = np.rot90(HERE, -1)
    assert turned.image.size == wanted.shape[1::-1]
    assert np.abs(np.asarray(turned.image).astype(int) - wanted).mean() < 3
    red = Image.new("RGB", (64, 64), (200, 60, 60))
    red.info["icc_profile"] = matrix(P3, 2.2)
    found = decode_image(heic(red))
    assert not found.notices and not found.image.info
    assert (
        np.abs(np.asarray(found.image)[9, 9] - in_srgb(np.array([200.0, 60, 60]), P3, 2.2)).max()
        <= 4
    )


def test_colours_that_are_wide_without_a_profile_are_told() -> None:
    image = pillow_heif.from_pillow(picture())
    file = io.BytesIO()
    image.save(
        file,
        quality=95,
        save_nclx_profile=True,
        color_primaries=12,
        matrix_coefficients=6,
        transfer_characteristics=13,
        full_range_flag=1,
    )
    assert decode_image(file.getvalue()).notices == (UNREAD,)


def test_limits_and_damage() -> None:
    whole = heic(picture())
    assert "too small" in refusal(heic(Image.new("RGB", (64, 4))))
    for share in (0.1, 0.5, 0.9):
        assert "incomplete or damaged" in refusal(whole[: int(len(whole) * share)])
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        bad = bytearray(whole)
        bad[random.integers(0, len(bad))] ^= 1 << random.integers(0, 8)
        try:
            assert decode_image(bytes(bad)).image.mode == "RGB"
        except UserError:
            refused += 1
    assert refused > 5


def test_nothing_else_opens_such_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(picture())
    decode_image(data)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    sentence = refusal(data)
    assert "HEIC images are not supported here" in sentence and "pillow-heif" in sentence
