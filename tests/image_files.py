"""Image files for tests of what people hand in, made in memory: by Pillow, or byte by byte."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from semerge.common import UserError
from semerge.inputs import decode_image

W, H = 48, 32


def picture(mode="RGB", size=(W, H)):
    """A smooth, asymmetric picture: no flip or turn of it equals itself."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([x, y, x * y], axis=-1)
    return Image.fromarray(np.rint(rgb * 255).astype(np.uint8)).convert(mode)


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(source):
    return np.asarray(decode_image(source).image)


def refusal(source):
    """The sentence a source is refused with: one line, one sentence, no traceback in it."""
    with pytest.raises(UserError) as caught:
        decode_image(source)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Error" not in sentence
    return sentence


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, body=b"", extra=b"", depth=8, color=0):
    """A PNG put together by hand: grey unless told, `body` is the compressed pixel data."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
