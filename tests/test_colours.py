"""Colour profiles: converted to sRGB as colour science has it, or told."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from image_files import chunk, encoded
from PIL import Image, ImageCms

from semerge.inputs import MAX_PROFILE, decode_image

# Columns: the primaries in XYZ, adapted to D50, as profiles have them.
P3 = np.array(
    [[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
)
WHITE = (0.9642, 1.0, 0.8249)
UNREAD = "The colours were read without the file's colour profile, which can't be used."


def number(x: float) -> bytes:
    return struct.pack(">i", round(x * 65536))


def xyz(values: object) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(number(x) for x in values)  # type: ignore[attr-defined]


def gamma(power: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(power * 256)) + b"\0\0"


def profile(
    space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", to: bytes = b"XYZ "
) -> bytes:
    """An ICC profile of version 2 with these tags."""
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"wtpt": xyz(WHITE), b"cprt": b"text\0\0\0\0none\0", **tags}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += padded
    head = struct.pack(
        ">I4sI4s4s4s12s4s",
        at + len(body),
        bytes(4),
        0x02400000,
        kind,
        space,
        to,
        bytes(12),
        b"acsp",
    )
    head = head.ljust(68, b"\0") + b"".join(map(number, WHITE))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix(primaries: np.ndarray, power: float) -> bytes:
    tags = {name + b"XYZ": xyz(primaries[:, i]) for i, name in enumerate((b"r", b"g", b"b"))}
    return profile(b"RGB ", tags | {name + b"TRC": gamma(power) for name in (b"r", b"g", b"b")})


def press() -> bytes:
    """Inks that are grey: each takes a half of the light, and black all of it."""
    lights = [
        0 if k else round(255 * 0.5 ** (c + m + y))
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    identity = b"".join(number(float(i % 4 == 0)) for i in range(9))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + 4 * ramp
    lut += b"".join(bytes((light, 128, 128)) for light in lights) + 3 * ramp
    return profile(b"CMYK", {b"A2B0": lut}, b"prtr", b"Lab ")


def in_srgb(pixels: np.ndarray, primaries: np.ndarray, power: float) -> np.ndarray:
    """By the formulas: to light, to XYZ, to sRGB's light, and its curve."""
    light = np.clip((pixels / 255) ** power @ (np.linalg.inv(SRGB) @ primaries).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def colours() -> Image.Image:
    grid = np.stack(np.meshgrid(*3 * [np.linspace(20, 235, 8).astype(np.uint8)]), -1)
    return Image.fromarray(grid.reshape(16, 32, 3).astype(np.uint8))


@pytest.mark.parametrize(("kind", "options", "near"), [
    ("PNG", {}, 2), ("TIFF", {}, 2), ("WEBP", {"lossless": True}, 2),
])  # fmt: skip
@pytest.mark.parametrize(("primaries", "power"), [(P3, 2.2), (SRGB, 1.0), (P3, 1.8)])
def test_colours_are_those_of_the_formulas(kind, options, near, primaries, power) -> None:
    data = encoded(colours(), kind, icc_profile=matrix(primaries, power), **options)
    found = decode_image(data)
    wanted = in_srgb(np.asarray(colours()).astype(float), primaries, power)
    assert found.notices == () and "icc_profile" not in found.image.info
    assert np.abs(np.asarray(found.image) - wanted).max() <= near
    assert np.abs(np.asarray(colours()) - wanted).max() > 15  # it matters


def test_a_photo_of_a_phone_and_one_seen_through() -> None:
    red = Image.new("RGB", (40, 40), (200, 60, 60))
    wanted = in_srgb(np.array([200.0, 60, 60]), P3, 2.2)
    photo = decode_image(encoded(red, "JPEG", quality=95, icc_profile=matrix(P3, 2.2)))
    assert np.abs(np.asarray(photo.image)[5, 5] - wanted).max() <= 4 and photo.notices == ()
    glass = red.convert("RGBA")
    glass.paste((0, 0, 0, 0), (0, 0, 20, 40))
    half = np.asarray(decode_image(encoded(glass, icc_profile=matrix(P3, 2.2))).image)
    assert (half[:, :20] == 255).all() and np.abs(half[5, 30] - wanted).max() <= 2


@pytest.mark.parametrize("own", [
    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
])  # fmt: skip
def test_srgb_changes_no_pixel(own: bytes) -> None:
    found = decode_image(encoded(colours(), icc_profile=own))
    assert np.array_equal(np.asarray(found.image), np.asarray(colours())) and not found.notices


def test_greys_and_inks() -> None:
    grey = Image.fromarray(np.full((20, 20), 128, dtype=np.uint8))
    linear = profile(b"GRAY", {b"kTRC": gamma(1.0)})
    for picture in (grey, grey.convert("RGB")):
        found = decode_image(encoded(picture, icc_profile=linear))
        assert (
            np.abs(np.asarray(found.image).astype(int) - 188).max() <= 1
        )  # 255 · 0.502^(1/2.4) ..
        assert not found.notices
    inks = np.zeros((20, 40, 4), dtype=np.uint8)
    inks[:, 20:, 3] = 255
    for kind in ("JPEG", "TIFF"):
        data = encoded(Image.fromarray(inks, "CMYK"), kind, icc_profile=press())
        found = decode_image(data)
        pixels = np.asarray(found.image).astype(int)
        assert (pixels[:, :8] >= 250).all() and (pixels[:, 32:] <= 5).all() and not found.notices
    inks[..., :] = (255, 0, 0, 0)
    cyan = np.asarray(
        decode_image(encoded(Image.fromarray(inks, "CMYK"), "TIFF", icc_profile=press())).image
    )
    assert (np.ptp(cyan.astype(int), axis=-1) <= 2).all() and 100 < cyan.mean() < 140  # L = 50


@pytest.mark.parametrize("bad", [
    b"no profile", matrix(P3, 2.2)[:200], press(), bytes(MAX_PROFILE + 1),
    profile(b"Lab ", {}, b"abst", b"Lab "), b"\xff" * 500,
])  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_can_not_be_used_is_told(kind: str, bad: bytes) -> None:
    found = decode_image(encoded(colours(), kind, icc_profile=bad))
    assert found.notices == (UNREAD,)
    plain = decode_image(encoded(colours(), kind))
    assert np.array_equal(np.asarray(found.image), np.asarray(plain.image))


def test_inks_of_an_unreadable_press_are_converted_without_it() -> None:
    found = decode_image(encoded(Image.new("CMYK", (20, 20)), "TIFF", icc_profile=b"no profile"))
    assert found.notices == ("The colours were converted from CMYK without a colour profile.",)


@pytest.mark.parametrize(("name", "content", "told"), [
    (b"iCCP", b"x\0\0not packed", True),
    (b"iCCP", b"x\0\0" + zlib.compress(matrix(P3, 2.2))[:-9], True),
    (b"cICP", bytes((12, 13, 0, 1)), True),  # Display P3
    (b"cICP", bytes((1, 13, 0, 1)), False),
])  # fmt: skip
def test_what_a_png_says_in_other_ways(name: bytes, content: bytes, told: bool) -> None:
    data = encoded(colours())
    at = data.index(b"IDAT") - 4
    found = decode_image(data[:at] + chunk(name, content) + data[at:])
    assert found.notices == ((UNREAD,) if told else ())
    assert np.array_equal(np.asarray(found.image), np.asarray(colours()))


def test_damage_to_a_profile_is_no_error() -> None:
    random = np.random.default_rng(0)
    for whole in (matrix(P3, 2.2), press()):
        for _ in range(25):
            bad = bytearray(whole)
            for at in random.integers(0, len(bad), 6):
                bad[at] = random.integers(0, 256)
            mode = "CMYK" if whole == press() else "RGB"
            file = io.BytesIO()
            Image.new(mode, (20, 20), "white").save(file, "TIFF", icc_profile=bytes(bad))
            assert decode_image(file.getvalue()).image.mode == "RGB"
