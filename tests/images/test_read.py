"""Every kind of picture that Pillow reads, as colour and alpha."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from upscale.errors import InputError
from upscale.images.formats import FORMATS
from upscale.images.read import probe, read

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def photo(mode="RGB", size=(23, 17)):
    """A smooth picture, so that lossy formats stay close."""
    y, x = np.mgrid[: size[1], : size[0]]
    planes = [x * 200 // size[0] + 20, y * 200 // size[1] + 20, (x + y) * 4 + 20, 255 - x * 5]
    count = len(Image.new(mode, (1, 1)).getbands())
    return Image.fromarray(np.stack(planes[:count], -1).astype(np.uint8).squeeze())


def png(width, height, depth, color_type, rows, *, palette=None, transparency=None, late=()):
    """A PNG written by hand: for depths and chunks that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = [
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)),
    ]
    if palette:
        parts.append(chunk(b"PLTE", palette))
    if transparency:
        parts.append(chunk(b"tRNS", transparency))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    parts += [chunk(kind, data) for kind, data in late]
    return b"".join([*parts, chunk(b"IEND", b"")])


_EXACT = {
    "PNG": ("RGB", "L", "LA", "RGBA"),
    "TIFF": ("RGB", "RGBA", "L", "LA"),
    "BMP": ("RGB", "L"),
    "PPM": ("RGB", "L"),
    "TGA": ("RGBA",),
    "ICO": ("RGBA",),
    "PCX": ("RGB",),
    "SGI": ("RGB",),
    "QOI": ("RGBA",),
    "DDS": ("RGBA",),
}
Image.init()
READABLE = [(format, mode, 0) for format, modes in _EXACT.items() for mode in modes]
READABLE = [row for row in READABLE if row[0] in Image.SAVE]
READABLE += [("JPEG", mode, 9) for mode in ("RGB", "L")]
READABLE += [("WEBP", mode, 12) for mode in ("RGB", "RGBA") if features.check("webp")]
READABLE += [("JPEG2000", mode, 0) for mode in ("RGB", "RGBA", "L") if features.check("jpg_2000")]
READABLE += [("AVIF", mode, 12) for mode in ("RGB", "RGBA", "L") if FORMATS["avif"].is_available]


@pytest.mark.parametrize(("format", "mode", "tolerance"), READABLE)
def test_formats_and_modes(format, mode, tolerance, tmp_path):
    original = photo(mode)
    if format == "ICO":
        original = original.resize((16, 16))
    data = saved(original, format)
    picture = read(data)
    expected = np.asarray(original).reshape(original.height, original.width, -1)
    colors = 1 if mode in ("L", "LA") else 3
    assert picture.format == format
    assert picture.size == original.size
    assert picture.color.dtype == np.uint8 and picture.color.flags.writeable
    assert np.abs(picture.color.astype(int) - expected[..., :colors]).max() <= tolerance
    if mode in ("LA", "RGBA"):
        assert np.abs(picture.alpha.astype(int) - expected[..., -1]).max() <= tolerance
    else:
        assert picture.alpha is None
    assert picture.notes == ()

    path = tmp_path / f"ä picture.{format.lower()}"
    path.write_bytes(data)
    from_file = read(path)
    assert np.array_equal(from_file.color, picture.color)
    info = probe(path)
    assert info == probe(data)
    assert (info.format, info.size, info.bit_depth, info.frames) == (format, picture.size, 8, 1)
    assert info.has_alpha == (picture.alpha is not None)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "PPM"])
def test_thin_pictures(format, size):
    assert read(saved(Image.new("RGB", size, (9, 9, 9)), format)).size == size


def test_one_bit():
    image = Image.new("1", (5, 3))
    image.putpixel((2, 1), 1)
    for format in ("PNG", "TIFF", "BMP", "PPM"):
        picture = read(saved(image, format))
        assert picture.color.shape == (3, 5, 1)
        assert picture.color[1, 2, 0] == 255 and picture.color.sum() == 255


# --- transparency -------------------------------------------------------------------------------------------


def test_palette():
    image = photo().quantize(16)
    picture = read(saved(image, "PNG"))
    assert np.array_equal(picture.color, np.asarray(image.convert("RGB")))
    assert picture.alpha is None


@pytest.mark.parametrize("transparency", [bytes(range(0, 160, 10)), 3])
def test_palette_with_transparency(transparency):
    image = photo().quantize(16)
    picture = read(saved(image, "PNG", transparency=transparency))
    levels = np.full(16, 255)
    if isinstance(transparency, int):
        levels[transparency] = 0
    else:
        levels[:] = list(transparency)
    assert np.array_equal(picture.alpha, levels[np.asarray(image)])
    assert np.array_equal(picture.color, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_colour_key(depth):
    """PNG's key counts in levels of the file, Pillow's pixels in 0 to 255."""
    levels = 2**depth
    data = png(8 // depth, 2, depth, 0, [b"\x00", b"\xff"], transparency=struct.pack(">H", levels - 1))
    picture = read(data)
    assert picture.color[..., 0].tolist() == [[0] * (8 // depth), [255] * (8 // depth)]
    assert picture.alpha.tolist() == [[255] * (8 // depth), [0] * (8 // depth)]
    assert probe(data).has_alpha


def test_grey_colour_key_of_16_bits():
    rows = [struct.pack(">2H", 4660, 4661)]
    picture = read(png(2, 1, 16, 0, rows, transparency=struct.pack(">H", 4660)))
    assert picture.color[..., 0].tolist() == [[4660, 4661]]
    assert picture.alpha.tolist() == [[0, 65535]]
    assert picture.alpha.dtype == np.uint16


@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_colour_key(depth):
    scale = 257 if depth == 16 else 1
    kind = ">6H" if depth == 16 else ">6B"
    levels = [scale * v for v in (10, 20, 30, 10, 20, 30)]
    levels[5] += 1
    key = struct.pack(">3H", *levels[:3])
    picture = read(png(2, 1, depth, 2, [struct.pack(kind, *levels)], transparency=key))
    assert picture.color.tolist() == [[levels[:3], levels[3:]]]
    assert picture.alpha.tolist() == [[0, 2**depth - 1]]


@pytest.mark.parametrize("bands", [2, 4] if int(Image.__version__.split(".")[0]) >= 12 else [4])
def test_premultiplied_alpha_is_divided(bands):
    """TIFF's ExtraSamples 1: associated alpha."""
    pixel = [60, 30, 90, 128][4 - bands :] if bands == 4 else [60, 128]
    data = bytearray(saved(Image.new("LA" if bands == 2 else "RGBA", (1, 1), tuple(pixel)), "TIFF"))
    entry = data.find(struct.pack("<HHI", 338, 3, 1))
    data[entry + 8] = 1
    picture = read(bytes(data))
    assert picture.alpha.tolist() == [[128]]
    expected = [value * 255 / 128 for value in pixel[:-1]]
    np.testing.assert_allclose(picture.color[0, 0], expected, atol=1)


# --- bit depths ---------------------------------------------------------------------------------------------

DEEP = (np.arange(256) * 255 + 7).astype(np.uint16).reshape(16, 16)


def deep_image():
    return Image.frombytes("I;16", (16, 16), DEEP.astype("<u2").tobytes())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_stays(format):
    data = saved(deep_image(), format)
    picture = read(data)
    assert picture.color.dtype == np.uint16
    assert np.array_equal(picture.color[..., 0], DEEP)
    assert picture.notes == ()
    assert probe(data).bit_depth == 16


def test_16_bit_big_endian_tiff():
    image = Image.frombytes("I;16B", (16, 16), DEEP.astype(">u2").tobytes())
    assert np.array_equal(read(saved(image, "TIFF")).color[..., 0], DEEP)


def test_16_bit_tiff_whose_zero_is_white():
    data = saved(deep_image(), "TIFF", tiffinfo={262: 0})
    assert np.array_equal(read(data).color[..., 0], 65535 - DEEP)


@pytest.mark.parametrize(("mode", "color"), [("RGB", (9, 8, 7)), ("L", (9,))])
def test_channels_of_a_tiff_that_are_neither_colour_nor_transparency_are_said(mode, color):
    """Photoshop keeps selections so."""
    data = saved(Image.new(f"{mode}A", (3, 2), (*color, 6)), "TIFF")
    picture = read(data.replace(struct.pack("<HHLL", 338, 3, 1, 2), struct.pack("<HHLL", 338, 3, 1, 0)))
    assert picture.alpha is None and (picture.color == color).all()
    assert picture.notes == ("Channels besides colour and transparency were left out.",)


def test_lost_place_on_the_earth_is_said():
    picture = read(saved(photo(), "TIFF", tiffinfo={33550: (0.5, 0.5, 0.0)}))
    assert len(picture.notes) == 1 and "GeoTIFF" in picture.notes[0]


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without JPEG 2000")
def test_16_bit_jpeg_2000_is_seen():
    data = saved(deep_image(), "JPEG2000")
    assert probe(data).bit_depth == 16
    assert np.array_equal(read(data).color[..., 0], DEEP)


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without JPEG 2000")
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_jpeg_2000_of_any_depth_is_spread_to_16(bits):
    """Pillow writes 16 bits; fewer in the header move middle grey, so that is moved beforehand."""
    levels = np.linspace(0, 2**bits - 1, 128).round().astype(np.int64)
    moved = (levels + 2**15 - 2 ** (bits - 1)).astype(np.uint16).reshape(8, 16)
    data = bytearray(saved(Image.fromarray(moved), "JPEG2000", no_jp2=True, irreversible=False))
    place = data.find(b"\xff\x4f\xff\x51") + 42
    assert data[place] == 15
    data[place] = bits - 1
    assert probe(bytes(data)).bit_depth == bits
    expected = levels * 65535 / (2**bits - 1)
    assert np.abs(read(bytes(data)).color.ravel() - expected).max() <= 2 ** (16 - bits)


def test_12_bit_tiff_is_spread_to_16():
    data = bytearray(saved(Image.new("L", (2, 1)), "TIFF"))  # 2 pixels of 12 bits are 3 bytes
    entry = data.find(struct.pack("<HHI", 258, 3, 1))
    data[entry + 8 : entry + 10] = struct.pack("<H", 12)
    offset = struct.unpack_from("<I", data, data.find(struct.pack("<H", 273)) + 8)[0]
    data[offset:] = bytes([0x00, 0x0F, 0xFF])
    assert read(bytes(data)).color[..., 0].tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("values", "expected", "white"),
    [
        ([0, 128, 255], [0, 32896, 65535], "255"),
        ([0, 1000, 65535], [0, 1000, 65535], "65535"),
        ([0, 500_000, 1_000_000], [0, 32767, 65535], "1e+06"),
        ([-100, 0, 255], [0, 18461, 65535], "255"),
    ],
)
def test_32_bit_integers(values, expected, white):
    image = Image.fromarray(np.array([values], np.int32))
    data = saved(image, "TIFF")
    picture = read(data)
    assert probe(data).bit_depth == 32
    assert picture.color.dtype == np.uint16
    np.testing.assert_allclose(picture.color[0, :, 0], expected, atol=1)
    assert picture.notes == (f"32-bit integer greyscale was converted to 16 bits, {white} taken as white.",)


@pytest.mark.parametrize(
    ("values", "expected", "notes"),
    [
        ([0, 0.5, 1], [0, 32768, 65535], 1),
        ([0, 51, 255], [0, 13107, 65535], 1),
        ([0, 0.25, np.nan], [0, 16384, 0], 2),
        ([-np.inf, 0.25, np.inf], [0, 16384, 0], 2),
        ([0, 0, 0], [0, 0, 0], 1),
    ],
)
def test_floats(values, expected, notes):
    picture = read(saved(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert picture.color[0, :, 0].tolist() == expected
    assert len(picture.notes) == notes
    assert "taken as white" in picture.notes[-1]


# --- colour -------------------------------------------------------------------------------------------------


def test_cmyk_without_profile_is_approximated():
    image = Image.new("CMYK", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 255, 0, 0))
    picture = read(saved(image, "TIFF"))
    assert picture.color.tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert picture.notes == ("CMYK without a usable colour profile was converted to sRGB approximately.",)


@pytest.mark.parametrize("junk", [b"junk", SRGB])
def test_cmyk_with_an_unusable_profile(junk):
    picture = read(saved(Image.new("CMYK", (2, 1)), "TIFF", icc_profile=junk))
    assert picture.color.tolist() == [[[255] * 3] * 2]
    assert picture.metadata.icc_profile is None
    assert picture.notes[0] == "The colour profile is broken or not for CMYK and was ignored."


def test_jpeg_of_four_channels():
    """Adobe's inverted CMYK: white paper must not become black."""
    picture = read(saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG"))
    assert picture.color.min() > 250


def cmyk_profile():
    """A tiny ICC v2 output profile (lut8): one grid of 2^4 points, Lab = (100, 0, 0) less ink."""
    table = bytearray()
    for c in (0, 1):
        for m in (0, 1):
            for y in (0, 1):
                for k in (0, 1):
                    lightness = 255 * (1 - k) * (3 - c - m - y) // 3
                    table += bytes((lightness, 128, 128))
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0))
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += ramp * 4 + bytes(table) + ramp * 3
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"Test\0" + bytes(78)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags, data, offset = b"", b"", 128 + 4 + 12 * 3
    for name, body in ((b"desc", text), (b"wtpt", white), (b"A2B0", lut)):
        body += bytes(-len(body) % 4)
        tags += name + struct.pack(">II", offset + len(data), len(body))
        data += body
    header = bytearray(128)
    header[8:12] = bytes((2, 0x40, 0, 0))
    header[12:24] = b"prtrCMYKLab "
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    profile = bytes(header) + struct.pack(">I", 3) + tags + data
    return struct.pack(">I", len(profile)) + profile[4:]


def test_cmyk_goes_through_its_profile():
    """The test profile has neutral inks: pure cyan becomes a light grey, where the bare formula says cyan."""
    image = Image.new("CMYK", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 0))
    picture = read(saved(image, "TIFF", icc_profile=cmyk_profile()))
    white, cyan = picture.color[0].astype(int)
    assert white.min() > 250
    assert np.ptp(cyan) <= 2 and 130 < cyan[0] < 200
    assert picture.metadata.icc_profile is None
    assert picture.notes == ("CMYK was converted to sRGB.",)


def test_lab():
    image = Image.new("LAB", (2, 1), (255, 128, 128))
    image.putpixel((1, 0), (138, 208, 198))  # Lab (54, 80, 70): about the red of sRGB
    picture = read(saved(image, "TIFF"))
    white, red = picture.color[0].astype(int)
    assert white.min() >= 253
    assert red[0] > 240 and red[1] < 60 and red[2] < 60
    assert picture.notes == ("Lab was converted to sRGB.",)


def test_icc_profile_is_kept_when_it_fits():
    assert read(saved(photo(), "PNG", icc_profile=SRGB)).metadata.icc_profile == SRGB
    assert read(saved(photo().quantize(8), "PNG", icc_profile=SRGB)).metadata.icc_profile == SRGB


@pytest.mark.parametrize(
    ("mode", "profile", "note"),
    [
        ("RGB", b"no profile at all", "broken"),
        ("RGB", SRGB[:300], "broken"),
        ("L", SRGB, "is for RGB, does not fit a greyscale picture"),
    ],
)
def test_icc_profile_that_is_no_good_is_dropped(mode, profile, note):
    picture = read(saved(photo(mode), "JPEG", icc_profile=profile))
    assert picture.metadata.icc_profile is None
    assert len(picture.notes) == 1 and note in picture.notes[0]


# --- several pictures in a file -----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP", "MPO"])
def test_first_of_several(format):
    if format == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    frames = [Image.new("RGB", (8, 8), color) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    if format == "MPO" and int(Image.__version__.split(".")[0]) < 12:
        pytest.skip("old versions of Pillow write broken MPO to memory")
    picture = read(data)
    assert probe(data).frames == 3
    assert picture.notes == ("Only the first of 3 pictures in the file was used.",)
    assert picture.color[4, 4, 0] > 230 and picture.color[4, 4, 1:].max() < 20
    assert picture.format == ("JPEG" if format == "MPO" else format)


def test_gif_with_one_frame_has_no_note():
    picture = read(saved(photo().quantize(16), "GIF"))
    assert (picture.format, picture.notes) == ("GIF", ())


# --- limits -------------------------------------------------------------------------------------------------


def test_limit_comes_from_the_header():
    """A file that claims 250 gigapixels and holds none of them is refused for its claim, at once."""
    bomb = png(500_000, 500_000, 8, 2, [b""])
    for use in (probe, read):
        with pytest.raises(InputError) as caught:
            use(bomb)
        assert caught.value.message == "standard input has 2.5e+05 megapixels; the limit is 250 megapixels."
        assert "--max-input-mpix" in caught.value.hint


@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF", "JPEG", "WEBP"])
def test_limit_is_exact_and_can_be_raised(format, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(saved(Image.new("L", (1000, 100)), format))
    assert read(path, max_mpix=0.1).size == (1000, 100)
    with pytest.raises(InputError, match=r"has 0\.1 megapixels; the limit is 0\.0999 megapixels"):
        probe(path, max_mpix=0.0999)


def test_pillows_own_limit_is_left_alone(monkeypatch):
    """Neither does it stop us, nor do we change it for others, even when reads fail and overlap."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    good, bad = saved(photo(), "PNG"), b"not a picture"

    def work():
        for _ in range(10):
            read(good)
            with pytest.raises(InputError):
                read(bad)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        before = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert caught == []
    assert Image.MAX_IMAGE_PIXELS == 50


def test_reading_is_repeatable():
    data = saved(photo(), "PNG", dpi=(300, 300))
    first, second = read(data), read(data)
    assert np.array_equal(first.color, second.color)
    assert replace(first, color=second.color) == second
