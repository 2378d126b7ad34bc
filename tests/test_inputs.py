"""Pictures as people really hand them in: odd, damaged, of every mode and kind."""

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from image_files import H, W, chunk, encoded, picture, pixels, png, refusal
from PIL import Image, ImageFile, PngImagePlugin

from semerge import inputs
from semerge.inputs import decode_image

# --- accepted as they are -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_keep_every_pixel(kind):
    np.testing.assert_array_equal(pixels(encoded(picture(), kind)), np.asarray(picture()))


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {})])
def test_lossy_files_are_close(kind, options):
    got = pixels(encoded(picture(), kind, **options)).astype(int)
    assert np.abs(got - np.asarray(picture())).mean() < 6


def test_a_path_its_text_and_its_bytes_are_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture()))
    assert decode_image(path) == decode_image(str(path)) == decode_image(path.read_bytes())


@pytest.mark.parametrize(
    "name", ["photo", "PHOTO.PNG", "a.jpg", "<img src=x onerror=alert(1)>.png"]
)
def test_content_decides_not_the_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(picture("P"), "GIF"))
    np.testing.assert_array_equal(pixels(path), np.asarray(picture("P").convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_equal_their_rgb(mode):
    image = picture("L").convert(mode) if mode in ("1", "LA") else picture(mode)
    np.testing.assert_array_equal(pixels(encoded(image)), np.asarray(image.convert("RGB")))


def test_large_pictures_are_scaled_down():
    for kind in ("PNG", "JPEG"):
        assert decode_image(encoded(picture().resize((3000, 1500)), kind)).image.size == (1024, 512)


# --- pixels that are easy to get wrong ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_ramp(kind):
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))
    decoded = decode_image(encoded(Image.fromarray(ramp), kind))
    assert decoded.notices == ()
    np.testing.assert_array_equal(np.asarray(decoded.image)[0, :, 0], np.arange(256))


def test_16_bit_grey_with_a_transparent_value():
    rows = b"".join(b"\0" + struct.pack(">16H", *([100, 65535 // 2] * 8)) for _ in range(16))
    extra = chunk(b"tRNS", struct.pack(">H", 100))
    got = pixels(png(16, 16, zlib.compress(rows), extra, depth=16))
    assert got[0, 0].tolist() == [255] * 3 and got[0, 1].tolist() == [127] * 3


def test_float_pictures_are_rescaled_and_say_so():
    ramp = np.tile(np.linspace(-3, 5, 64, dtype=np.float32), (16, 1))
    decoded = decode_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert "rescaled" in decoded.notices[0]
    row = np.asarray(decoded.image)[0, :, 0]
    assert row[0] == 0 and row[-1] == 255 and (np.diff(row.astype(int)) > 0).all()
    assert pixels(Image.fromarray(ramp * 0 + 0.5)).mean() == 128
    assert pixels(Image.fromarray(ramp * 0 + 9)).mean() == 0


def test_32_bit_integers_beyond_16_bits_are_rescaled_and_say_so():
    ramp = np.tile(np.linspace(0, 10**6, 64).astype(np.int32), (16, 1))
    decoded = decode_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert "rescaled" in decoded.notices[0] and np.asarray(decoded.image)[0, -1, 0] == 255


def test_floats_that_are_no_numbers_are_refused():
    values = np.full((16, 16), np.nan, dtype=np.float32)
    assert "finite" in refusal(encoded(Image.fromarray(values), "TIFF"))


def test_cmyk_jpeg_looks_like_its_rgb():
    decoded = decode_image(encoded(picture("CMYK"), "JPEG", quality=95))
    assert "CMYK" in decoded.notices[0]
    assert np.abs(np.asarray(decoded.image).astype(int) - np.asarray(picture())).mean() < 8


def test_other_colour_spaces():
    decoded = decode_image(encoded(picture("LAB"), "TIFF"))
    assert "LAB" in decoded.notices[0]
    for image in (picture("YCbCr"), picture("HSV")):
        assert np.abs(pixels(image).astype(int) - np.asarray(picture())).mean() < 3


def test_transparent_palette_entries_are_white():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (8, 0, 16, 16))
    for options in ({"transparency": 0}, {"transparency": bytes([0, 255])}):
        got = pixels(encoded(image, **options))
        assert got[0, 0].tolist() == [255] * 3 and got[0, 15].tolist() == [200, 100, 50]


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_is_white(mode, key):
    image = Image.new("L", (16, 16), 7).convert(mode)
    assert (pixels(encoded(image, transparency=key)) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_hidden_colours_beneath_transparency_do_not_show(kind):
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 4), dtype=np.uint8)
    noise[..., 3] = 0
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert (pixels(encoded(Image.fromarray(noise), kind, **options)) == 255).all()


def test_half_transparent_is_mixed_with_white():
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert abs(int(pixels(encoded(image))[0, 0, 0]) - 127) <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (W, H), "red"), Image.new("RGB", (W, H), "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    decoded = decode_image(data)
    assert len(decoded.notices) == 1 and "first" in decoded.notices[0]
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(frames[0]))
    assert decode_image(encoded(frames[0], kind)).notices == ()


def test_a_two_picture_jpeg_of_a_phone_is_no_animation():
    data = encoded(picture(), "MPO", save_all=True, append_images=[picture("L").convert("RGB")])
    assert decode_image(data).notices == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(kind, orientation):
    # The picture is stored turned the other way, so that the tag brings it back.
    inverse = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = inverse.get(orientation, inputs._TURNS.get(orientation))
    stored = picture() if turn is None else picture().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    got = pixels(encoded(stored, kind, exif=exif, **options))
    np.testing.assert_array_equal(got, np.asarray(picture()))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09"]
)
def test_damaged_exif_is_ignored(exif):
    data = encoded(picture(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    np.testing.assert_array_equal(pixels(data[:2] + segment + data[2:]), pixels(data))


def test_damaged_and_huge_profiles_and_notes_are_ignored():
    np.testing.assert_array_equal(
        pixels(encoded(picture(), icc_profile=b"no profile")), np.asarray(picture())
    )
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", "x" * 3_000_000, zip=True)
    data = encoded(picture(), icc_profile=bytes(3_000_000), pnginfo=notes)
    np.testing.assert_array_equal(pixels(data), np.asarray(picture()))
    jpeg = encoded(picture(), "JPEG")
    noted = encoded(picture(), "JPEG", icc_profile=bytes(500_000), xmp=b"x" * 60_000)
    np.testing.assert_array_equal(pixels(noted), pixels(jpeg))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_no_metadata_leaves(kind):
    exif = Image.Exif()
    exif[0x010F] = "SecretCam"
    exif.get_ifd(0x8825)[1] = "N"
    decoded = decode_image(encoded(picture(), kind, exif=exif)).image
    assert decoded.info == {} and len(decoded.getexif()) == 0
    assert b"SecretCam" not in encoded(decoded, "PNG")


# --- arrays and Pillow images ---------------------------------------------------------------------


def test_arrays_of_every_kind_give_the_same_picture():
    grey = np.asarray(picture("L"))
    want = np.stack([grey] * 3, axis=-1)
    for array in (grey, grey[..., None], want, grey.astype(np.int64), grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(pixels(array), want)
    np.testing.assert_array_equal(pixels(grey / 255), want)
    np.testing.assert_array_equal(pixels((grey / 255).astype(np.float32)), want)
    np.testing.assert_array_equal(pixels(grey > 99), np.where(want > 99, 255, 0))
    np.testing.assert_array_equal(pixels(want[:, ::-1]), want[:, ::-1])
    assert (pixels(np.zeros((16, 16, 4), dtype=np.uint8)) == 255).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 16, 16)),
        np.zeros(16),
        np.zeros((0, 5)),
        np.zeros((4, 4)),
        np.full((16, 16), -1),
        np.full((16, 16), 256),
        np.full((16, 16), 1.01),
        np.full((16, 16), np.nan),
        np.full((16, 16), "a"),
        np.full((16, 16), 1j),
        np.broadcast_to(np.uint8(0), (9400, 9400)),
    ],
)
def test_arrays_that_are_no_pictures(array):
    refusal(array)


def test_a_pillow_image_is_read_and_left_alone():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(BytesIO(encoded(picture(), "JPEG", exif=exif)))
    decoded = decode_image(image).image
    assert decoded.size == (H, W) and image.size == (W, H) and image.getexif()[0x0112] == 6
    plain = picture()
    decode_image(plain).image.paste("black", (0, 0, W, H))
    assert plain == picture()
    assert "50 times" in refusal(Image.new("L", (5000, 10)))
    assert "incomplete" in refusal(Image.open(BytesIO(encoded(picture(size=(300, 300)))[:200])))


# --- side effects ---------------------------------------------------------------------------------


def test_threads_get_their_own_pictures_and_no_global_changes():
    def state():
        return (
            Image.MAX_IMAGE_PIXELS,
            ImageFile.LOAD_TRUNCATED_IMAGES,
            ImageFile.SAFEBLOCK,
            PngImagePlugin.MAX_TEXT_CHUNK,
            tuple(Image.ID),
            list(warnings.filters),
        )

    before = state()
    files = [
        encoded(picture(size=(64 + 8 * i, 64)), kind)
        for i, kind in enumerate(("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"))
    ]
    want = [pixels(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, expected in zip(pool.map(pixels, files * 4), want * 4, strict=True):
                np.testing.assert_array_equal(got, expected)
    assert state() == before


# --- what libtiff says ----------------------------------------------------------------------------


def g4(broken=False):
    """A drawing in fax coding, of which libtiff decodes what it can."""
    data = bytearray(encoded(picture("1"), "TIFF", compression="group4"))
    if broken:
        data[38:58] = b"\xff\x5a" * 10
    return bytes(data)


def test_libtiff_is_told_as_a_notice_and_not_in_the_log(capfd):
    assert decode_image(g4()).notices == ()
    decoded = decode_image(g4(broken=True))
    assert decoded.notices == (
        "Parts of this TIFF file are damaged; the picture may be another one.",
    )
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: bool(decode_image(g4(i % 3 == 0)).notices), range(60)))
    assert found == [i % 3 == 0 for i in range(60)]
    assert capfd.readouterr() == ("", "")


def test_notes_of_other_programs_are_none(capfd):
    image = picture()
    data = encoded(image, "TIFF", compression="tiff_lzw", tiffinfo={65_000: "of a camera"})
    assert decode_image(data).notices == ()
    np.testing.assert_array_equal(pixels(data), np.asarray(image))
    assert capfd.readouterr() == ("", "")
