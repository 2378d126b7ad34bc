"""What is no picture, or too much of one: refused in a sentence, before a pixel is decoded."""

import contextlib
import sys
import warnings
import zlib

import numpy as np
import pytest
from image_files import H, W, encoded, picture, png, refusal
from PIL import Image, ImageFile

from semerge.common import UserError
from semerge.inputs import decode_image

SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)


@pytest.fixture
def decodes(monkeypatch):
    """Counts attempts to decode pixels, and lets none pass."""
    calls = []

    def load(image):
        calls.append(image.size)
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    return calls


@pytest.mark.parametrize("data", [b"", b"just a sentence", b"<html><script>x</script><svg>", b"\0"])
def test_what_is_no_image(data, tmp_path):
    path = tmp_path / "renamed.png"
    path.write_bytes(data)
    assert "not a readable image" in refusal(path)
    assert "not a readable image" in refusal(data)


def test_svg_is_told_by_content_and_by_name(tmp_path):
    hidden = b"<!--" + b" " * 5000 + b"-->" + SVG
    assert all("SVG" in refusal(data) for data in (SVG, b"\xef\xbb\xbf \n" + SVG))
    assert "SVG" in refusal(SVG.decode().encode("utf-16"))
    path = tmp_path / "drawing.SVG"
    path.write_bytes(hidden)
    assert "SVG" in refusal(path)
    renamed = tmp_path / "drawing.png"
    renamed.write_bytes(SVG)
    assert "SVG" in refusal(renamed)


@pytest.mark.parametrize(
    ("brand", "word"), [(b"heic", "HEIC"), (b"mif1", "HEIC"), (b"avif", "AVIF")]
)
def test_heic_and_avif_are_named(brand, word, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    sentence = refusal(b"\0\0\0\x18ftyp" + brand + bytes(100))
    assert word in sentence and "not supported" in sentence and "PNG" in sentence


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "PCX"])
def test_formats_off_the_list(kind):
    assert "not a readable image" in refusal(encoded(picture(), kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_files_are_incomplete(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert "file is incomplete" in refusal(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_is_read_or_refused_never_raised():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        data = np.frombuffer(encoded(picture(), kind), dtype=np.uint8)
        for _ in range(40):
            damaged = data.copy()
            damaged[rng.integers(8, len(data), 12)] = rng.integers(0, 256, 12)
            with contextlib.suppress(UserError):
                assert decode_image(damaged.tobytes()).image.mode == "RGB"


def test_an_88_megapixel_png_is_refused_undecoded(decodes):
    packer = zlib.compressobj(9)
    row = bytes(9401)
    body = b"".join(packer.compress(row) for _ in range(9400)) + packer.flush()
    data = png(9400, 9400, body)
    assert len(data) < 300_000
    sentence = refusal(data)
    assert "9,400 x 9,400" in sentence and "25 megapixels" in sentence
    assert decodes == []


def test_a_palette_that_is_not_there():
    """Pillow reads such a file, and fails as its colours are asked for."""
    assert "damaged" in refusal(png(8, 8, zlib.compress(bytes(80)), depth=8, color=3))


@pytest.mark.parametrize("size", [(60000, 60000), (11000, 11000)])
def test_bombs_are_refused_undecoded(decodes, size):
    # 11,000 x 11,000 is where Pillow only warns, which the test configuration makes an error.
    assert "25 megapixels" in refusal(png(*size, zlib.compress(b"")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "25 megapixels" in refusal(png(*size, zlib.compress(b"")))
    assert decodes == []


def test_the_pixel_limit_itself(decodes):
    assert "megapixels" in refusal(png(5001, 5000))
    assert decodes == []
    assert "incomplete" in refusal(png(5000, 5000))  # allowed, and its pixels are not there
    assert decodes == [(5000, 5000)]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((1, 1), "too small"),
        ((7, 9), "too small"),
        ((5000, 1), "50 times"),
        ((8, 408), "50 times"),
        ((0, 0), "incomplete"),
        ((0, 100), "incomplete"),
    ],
)
def test_shapes(size, words, decodes):
    assert words in refusal(png(*size, zlib.compress(b"")))
    assert decodes == []


def test_the_smallest_shapes_pass():
    for size in ((8, 8), (8, 400), (400, 8)):
        assert decode_image(encoded(picture(size=size))).image.size == size


def test_too_many_bytes(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(encoded(picture()) + bytes(11 * 2**20))
    for source in (path, path.read_bytes()):
        assert "11.0 MB" in (sentence := refusal(source)) and "limit is 10 MB" in sentence


def test_paths_that_are_no_files(tmp_path):
    assert "no file" in refusal(tmp_path / "missing.png")
    assert "not a file" in refusal(tmp_path)
    assert "not a file" in refusal("/dev/zero")
    assert "no file" in refusal("data:image/png;base64,AAAA")
    assert "can't be read" in refusal("a\0b.png")
    assert len(refusal("x" * 3000 + ".png")) < 150
    assert "\u202e" not in refusal("a\u202egnp.exe\n")


@pytest.mark.parametrize("source", [5, True, 1.5, [], {}, object()])
def test_values_of_other_types(source):
    assert "type" in refusal(source)


def test_nothing_at_all():
    assert refusal(None) == "Choose or upload an image."
