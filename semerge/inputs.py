"""What a user hands in, made safe: `decode_image` for pictures, and `clean_text` for sentences; and
a picture as an address, `png_url` and `thumbnail`."""

from __future__ import annotations

import base64
import ctypes
import os
import re
import stat
import struct
import threading
import unicodedata
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import (  # noqa: F401
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from semerge.common import UserError
from semerge.foreign import kind_of

# The six plugins are imported by name so that the first request has none to register.

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 25_000_000
MAX_ASPECT = 50  # longer side over shorter side
MIN_SIDE = 8
MAX_SIDE = 1024  # the decoded picture is scaled down to this

_MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # brands
_ACCEPTED = "use a JPEG, PNG, WebP, GIF, BMP or TIFF file"
_UNREADABLE = f"This file is not a readable image; {_ACCEPTED}."
_DAMAGED = "This image file is incomplete or damaged; save or download it once more."
_PNG_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT")
)
_UNREAD = b"unread"  # in the place of a profile: one that is none
_SRGB_PRIMARIES, _UNTOLD = 1, 2  # of a PNG's cICP or a HEIC's nclx
MAX_PROFILE = 4 * 2**20  # bytes; those of printing presses have two or three million
SAME = 2  # levels that readings of one colour may differ by: profiles of sRGB itself do
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of profiles, as Pillow calls them
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class DecodedImage:
    """An upright, opaque 8-bit RGB picture without metadata, and what was done to get it."""

    image: Image.Image
    notices: tuple[str, ...] = ()


def decode_image(
    source: str | os.PathLike[str] | bytes | Image.Image | np.ndarray | None,
) -> DecodedImage:
    """Turn a file, its bytes, a Pillow image or an array into a plain RGB picture.

    `source` is a path, the bytes of a JPEG, PNG, WebP, GIF, BMP or TIFF file, or of a HEIC one
    where pillow-heif is installed (the content decides, not the name), a Pillow image, or an array
    (H, W[, 1 | 3 | 4]) of uint8, uint16, bool, integers in 0..255 or floats in 0..1. Transparent
    parts become white, EXIF orientation is applied, of an animation the first frame is taken, and
    no side of the result is above `MAX_SIDE`. Colours are converted to sRGB by the file's profile;
    a notice tells where it can't be used. The size limits hold on the file's header, before a pixel
    is decoded.

    Raises `UserError` for everything else, in one sentence.
    """
    if source is None:
        raise UserError("Choose or upload an image.")
    notices: list[str] = []
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(source.size)
        image = source
    else:
        image = _open(*_read(source))
    try:
        if image is not source:
            # MPO is how phones store a JPEG with a depth map: no animation to speak of.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                notices.append("This file holds several frames; only the first one is used.")
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # JPEG: decode no more than is needed
        if image.format == "TIFF":
            _load_tiff(image, notices)
        else:
            image.load()
        upright, profile = _upright(image), image.info.get("icc_profile")
        plain = profile and upright.mode == "CMYK"  # what its profile is about
        picture = upright.copy() if plain else _to_rgb(upright, notices)
    except UserError:
        raise
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise UserError(_DAMAGED) from error
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if profile and upright.mode != "LAB":
        picture = _in_srgb(picture, profile, notices)
    picture.info.clear()  # no EXIF, GPS position or comment leaves this function
    return DecodedImage(picture, tuple(notices))


_HARMLESS = b"Unknown field with tag"  # notes of other programs
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_libtiff = threading.local()  # `lines`: what it says while this thread decodes


def _load_tiff(image: Image.Image, notices: list[str]) -> None:
    """libtiff decodes what it can, and tells of the rest on stderr alone."""
    _hear_libtiff()
    _libtiff.lines = []
    image.load()
    if any(_HARMLESS not in line for line in _libtiff.lines):
        notices.append("Parts of this TIFF file are damaged; the picture may be another one.")


@lru_cache(maxsize=1)  # it keeps the handler alive
def _hear_libtiff() -> object:
    """Have libtiff's lines come to the thread that decodes."""

    def hear(module: bytes | None, line: bytes | None, values: int | None) -> None:
        if hasattr(_libtiff, "lines"):
            _libtiff.lines.append(line or b"")

    handler = _Handler(hear)
    with suppress(OSError, AttributeError):  # where Pillow holds libtiff inside, lines stay there
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(handler)
        library.TIFFSetWarningHandler(handler)
    return handler


def _read(source: object) -> tuple[bytes, str]:
    """The bytes of a file and its name ("" for bytes)."""
    if isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(len(source))
        return bytes(source), ""
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"An image can't be made from a value of type {type(source).__name__}.")
    name = str(os.fspath(source))
    # repr escapes line breaks and direction marks, which a hostile name may hold.
    shown = repr(name if len(name) <= 80 else name[:40] + "..." + name[-37:])
    try:
        status = Path(name).stat()
        regular = stat.S_ISREG(status.st_mode)
        data = b""
        if regular and status.st_size <= MAX_BYTES:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)  # it may have grown since
    except FileNotFoundError:
        raise UserError(f"There is no file {shown}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"The file {shown} can't be read.") from error
    if not regular:
        raise UserError(f"{shown} is not a file.")
    _check_bytes(max(status.st_size, len(data)))
    return data, name


def _open(data: bytes, name: str) -> Image.Image:
    """The image with its header read and its size checked, no pixel decoded yet."""
    kind = _format(data)
    if kind is None:
        raise UserError(_why_unreadable(data, name))
    read = _reader_of_heic() if kind == "HEIF" else partial(Image.open, formats=(kind,))
    unread = False
    if kind == "PNG":
        data, unread = _bare_png(data)
    try:
        image = read(BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{MAX_PIXELS // 10**6} megapixels"
        raise UserError(f"This image has far too many pixels; the limit is {limit}.") from error
    except Exception as error:  # as above: anything
        raise UserError(_DAMAGED) from error
    _check_size(image.size)
    wide = image.info.get("nclx_profile") or {}  # what a HEIC file may have in a profile's place
    unread |= wide.get("color_primaries", _SRGB_PRIMARIES) not in (_SRGB_PRIMARIES, _UNTOLD)
    if unread and not image.info.get("icc_profile"):
        image.info["icc_profile"] = _UNREAD
    return image


def _reader_of_heic() -> Callable[[BytesIO], Image.Image]:
    """That of an optional package; Pillow is not told of it, which would open such files anywhere.
    Raises UserError where it is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise UserError(
            "HEIC images are not supported here, where pillow-heif is not installed; save the "
            "picture as JPEG or PNG."
        ) from None
    return HeifImageFile


def _format(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return "HEIF"
    return next((kind for kind, magic in _MAGIC.items() if data.startswith(magic)), None)


def is_picture(data: bytes) -> bool:
    """Whether a file that begins so is a picture of any kind, though it may not be read here."""
    return _format(data) is not None or data[4:8] == b"ftyp"


def _why_unreadable(data: bytes, name: str) -> str:
    if not data:
        return "This file is not a readable image: it is empty."
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF images are not supported; save the picture as JPEG or PNG."
    start = data[:4096].replace(b"\0", b"").lower()  # without NUL, UTF-16 reads like ASCII
    if (b"<svg" in start and b"<html" not in start) or name.lower().endswith((".svg", ".svgz")):
        return "SVG drawings are not supported; save the drawing as PNG."
    what = kind_of(data)
    return f"This file is not a readable image: it is {what}." if what else _UNREADABLE


def _bare_png(data: bytes) -> tuple[bytes, bool]:
    """The PNG without its notes and without a profile that is none, as Pillow refuses the whole
    picture for a large one; and whether it says more of its colours than what is left."""
    kept, at, profile, told = [data[:8]], 8, False, False
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        good = name == b"iCCP" and not profile and _is_small(content)
        if name in _PNG_CHUNKS or good:
            kept.append(data[at : at + 12 + length])
        profile |= good
        told |= name == b"iCCP" or (name == b"cICP" and content[:1] != bytes([_SRGB_PRIMARIES]))
        at += 12 + length
    return b"".join(kept), told and not profile


def _is_small(content: bytes) -> bool:
    """Whether a profile in a PNG is whole, and not so large that Pillow refuses it."""
    try:
        unpacking = zlib.decompressobj()
        unpacking.decompress(content.partition(b"\0")[2][1:], PngImagePlugin.MAX_TEXT_CHUNK)
        return unpacking.eof
    except zlib.error:
        return False


def _check_bytes(count: int) -> None:
    if count > MAX_BYTES:
        size, limit = count / 2**20, MAX_BYTES // 2**20
        raise UserError(f"This file has {size:,.1f} MB; the limit is {limit} MB.")


def _check_size(size: tuple[int, int]) -> None:
    """Refuse what is too large, too narrow or too small; `size` is (width, height) in pixels."""
    width, height = size
    shown = f"{width:,} x {height:,} pixels"
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 10**6} megapixels"
        raise UserError(f"This image has {shown}; the limit is {limit}.")
    if max(size) > MAX_ASPECT * max(min(size), 1):
        raise UserError(
            f"This image has {shown}; the longer side may be {MAX_ASPECT} times the shorter one."
        )
    if min(size) < MIN_SIDE:
        raise UserError(
            f"This image is too small: it has {shown}, and each side needs {MIN_SIDE} or more."
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing about the pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _in_srgb(picture: Image.Image, profile: bytes, notices: list[str]) -> Image.Image:
    """By the profile of its file; appends to `notices` where that can't be used."""
    converted = as_srgb(picture, profile)
    if converted is not None:
        return converted
    if picture.mode == "CMYK":
        return _to_rgb(picture, notices)
    notices.append("The colours were read without the file's colour profile, which can't be used.")
    return picture


def as_srgb(picture: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture (RGB or CMYK, 8 bits) in RGB, as its ICC profile has the colours; with a profile
    of greys, as one in grey. None where the profile is damaged, too large or of another kind."""
    if len(profile) > MAX_PROFILE:
        return None
    from PIL import ImageCms  # few pictures need it

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _SPACES[source.profile.xcolor_space]
        if (mode == "CMYK") != (picture.mode == "CMYK"):
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB")
        if mode == "RGB" and _is_identity(transform):
            return picture
        return transform.apply(picture.convert(mode))
    except Exception:  # a reader fed with damaged bytes may raise anything
        return None


def _is_identity(transform: Image.core.CMS) -> bool:
    levels = np.linspace(0, 255, 6).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    found = np.asarray(transform.apply(Image.fromarray(grid)))
    return bool(np.abs(found.astype(int) - grid).max() <= SAME)


def _to_rgb(image: Image.Image, notices: list[str]) -> Image.Image:
    """A new 8-bit RGB image; appends to `notices` where the colours had to be guessed."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if "transparency" in image.info:
            values = np.where(values == image.info["transparency"], 65535, values)
        return Image.fromarray(_to_bytes(values, notices)).convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        notices.append(f"The colours were converted from {image.mode} without a colour profile.")
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        # The colour beneath a transparent pixel must not show: lay the picture on white.
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    except (ValueError, OSError) as error:
        raise UserError(f"Images in the colour mode {image.mode} are not supported.") from error


def _to_bytes(values: np.ndarray, notices: list[str]) -> np.ndarray:
    """16-bit, 32-bit or float grey values (H, W) as uint8."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise UserError("This image holds values that are not finite numbers.")
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = (high - low) or 1.0
    notices.append(f"The grey values, {low:g} to {high:g}, were rescaled to black to white.")
    return np.rint((values.astype(np.float64) - low) * (255 / span)).astype(np.uint8)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise UserError("An image array must have the shape H x W or H x W x 1, 3 or 4.")
    _check_size((array.shape[1], array.shape[0]))
    kind, low, high = array.dtype.kind, 0, 0
    if kind in "iuf":
        low, high = array.min(), array.max()
    if kind == "b":
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array.astype(np.uint32) + 128) // 257
    elif kind == "f" and low >= 0 and high <= 1:  # false for NaN
        array = np.rint(array.astype(np.float64) * 255)
    elif not (kind in "iu" and low >= 0 and high <= 255):
        raise UserError("An image array must hold integers in 0..255 or floats in 0..1.")
    return Image.fromarray(np.ascontiguousarray(array.astype(np.uint8)))


# --------------------------------------------------------------------------------------------------
# Sentences as the models get them: one written form, nothing invisible, within the limits.

MAX_CHARACTERS = 2_000

# Controls (but no white space), soft hyphen, zero-width and direction marks, fillers that look like
# nothing, annotation anchors. The joiners U+200C and U+200D are looked at one by one below.
_INVISIBLE = dict.fromkeys(
    [
        *(*range(0x09), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0)),
        *(0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F)),
        *(*range(0x2060, 0x2070), 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC), 0xE0001),
    ]
)
# Tag characters spell the flags of England, Scotland and Wales, and hide text everywhere else.
_TAGS = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f)|[\U000e0020-\U000e007f]"
)
_BLANK = " \u2800"  # the second is Braille without a dot
_JOINERS = "\u200c\u200d"
_EMOJI = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]")


@dataclass(frozen=True)
class CleanText:
    """One sentence, or a pair; `text_b` is None where there is no second one."""

    text: str
    text_b: str | None = None
    notices: tuple[str, ...] = ()


def clean_text(text: str | None, text_b: str | None = None) -> CleanText:
    """Bring one sentence, or a pair, into one written form (NFC), without invisible characters.

    White space is folded to single spaces. A blank `text_b` counts as none. Length is limited to
    `MAX_CHARACTERS` each. Nothing is escaped: what shows the text has to do that.

    Raises `UserError` for what is no text, empty, too long or not valid Unicode.
    """
    notices: list[str] = []
    first = _clean(text, "sentence", notices)
    if not first:
        raise UserError("Type a sentence.")
    second = _clean(text_b, "second sentence", notices)
    return CleanText(first, second or None, tuple(notices))


def _clean(text: object, what: str, notices: list[str]) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise UserError(f"The {what} must be text, not a value of type {type(text).__name__}.")
    _check_length(len(text), what, 5 * MAX_CHARACTERS)  # bounds the work below
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"The {what} holds characters that are not valid Unicode.")
    visible = _TAGS.sub(lambda match: match[1] or "", text.translate(_INVISIBLE))
    removed = len(visible) < len(text)
    visible = unicodedata.normalize("NFC", visible)
    joined = "".join(c for i, c in enumerate(visible) if c not in _JOINERS or _joins(visible, i))
    removed |= len(joined) < len(visible)
    clean = " ".join(unicodedata.normalize("NFC", joined).split())
    _check_length(len(clean), what, MAX_CHARACTERS)
    if all(c in _BLANK or unicodedata.category(c) in ("Mn", "Me", "Cf") for c in clean):
        return ""  # marks and joiners with nothing to stand on
    if removed:
        notices.append(f"Invisible characters were removed from the {what}.")
    return clean


def _check_length(length: int, what: str, limit: int) -> None:
    if length > limit:
        shown = f"{length:,} characters; the limit is {MAX_CHARACTERS:,}"
        raise UserError(f"The {what} has {shown}.")


def _joins(text: str, at: int) -> bool:
    """Whether the joiner at `at` shapes its neighbours, as in emoji, Hindi or Persian. Follows the
    contextual rules for joiners of RFC 5892, appendix A, with emoji added."""
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if before and unicodedata.combining(before) == 9:  # a virama
        return True
    if text[at] == "\u200d":
        return bool(_EMOJI.match(after) and (_EMOJI.match(before) or before == "\ufe0f"))
    sides = [unicodedata.bidirectional(side) for side in (before, after) if side]
    return len(sides) == 2 and sides[0] in ("AL", "NSM") and sides[1] == "AL"


def png_url(image: Image.Image) -> str:
    """A picture as an address that holds it, every pixel as it is."""
    data = BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


@lru_cache(maxsize=512)
def thumbnail(file: Path, side: int = 96) -> str:
    """A small copy of a picture, `side` px at most, as an address that holds it."""
    with Image.open(file) as image:
        small = image.convert("RGB")
        small.thumbnail((side, side))
        data = BytesIO()
        small.save(data, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode("ascii")
