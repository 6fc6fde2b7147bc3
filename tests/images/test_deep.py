"""16 bits per channel in colour: every level arrives, whatever the container does with the bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from upscale.errors import InputError
from upscale.images.read import probe, read

tifffile = pytest.importorskip("tifffile", reason="makes the TIFF files; in the extra `test`")

SIZE = (37, 29)
NOISE = np.random.default_rng(0).integers(0, 65536, (SIZE[1], SIZE[0], 4), np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, *chunks):
    """A PNG written by hand, its rows not filtered."""
    height, width, channels = samples.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def interlaced(samples):
    """The same in Adam7's seven passes."""
    height, width, _ = samples.shape
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [b"\0" + row.astype(">u2").tobytes() for y, x, dy, dx in steps for row in samples[y::dy, x::dx]]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
    idat = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + idat + chunk(b"IEND", b"")


def tiff(samples, byteorder="<", **options):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder=byteorder) as writer:
        writer.write(samples, photometric="rgb", metadata=None, **options)
    return stream.getvalue()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png(channels):
    picture = read(png(NOISE[..., :channels]))
    colors = 1 if channels == 2 else 3
    assert picture.notes == ()
    assert np.array_equal(picture.color, NOISE[..., :colors])
    if channels == 3:
        assert picture.alpha is None
    else:
        assert np.array_equal(picture.alpha, NOISE[..., channels - 1])


def test_interlaced_png():
    assert np.array_equal(read(interlaced(NOISE[..., :3])).color, NOISE[..., :3])


LAYOUTS = {
    "strips": {"rowsperstrip": 7},
    "one strip": {},
    "deflate": {"compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 16)},
    "compressed tiles": {"tile": (16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff(channels, layout, byteorder):
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    data = tiff(NOISE[..., :channels], byteorder, **options, **LAYOUTS[layout])
    picture = read(data)
    assert picture.notes == () and probe(data).bit_depth == 16
    assert np.array_equal(picture.color, NOISE[..., :3])
    if channels == 4:
        assert np.array_equal(picture.alpha, NOISE[..., 3])


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("rows", [5, SIZE[1]])
def test_planes(rows, byteorder):
    samples = np.ascontiguousarray(np.moveaxis(NOISE[..., :3], 2, 0))
    data = tiff(samples, byteorder, planarconfig="separate", rowsperstrip=rows)
    assert np.array_equal(read(data).color, NOISE[..., :3])


def test_compressed_planes_are_reduced_and_said_to_be():
    """Pillow knows better than we which byte is the upper one there."""
    samples = np.ascontiguousarray(np.moveaxis(NOISE[..., :3], 2, 0))
    picture = read(tiff(samples, planarconfig="separate", compression="zlib"))
    assert picture.notes == ("16-bit colour was reduced to 8 bits.",)
    assert np.array_equal(picture.color, NOISE[..., :3] >> 8)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_and_alpha_in_planes_are_refused(compression):
    """Pillow loses the alpha: nothing of the picture would be seen."""
    samples = np.ascontiguousarray(np.moveaxis(NOISE[..., :2] >> 8, 2, 0).astype(np.uint8))
    kind = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "compression": compression}
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, planarconfig="separate", **kind)
    for use in (probe, read):
        with pytest.raises(InputError, match="planes of their own are not supported"):
            use(stream.getvalue())


def test_tiles_of_gigabytes_are_refused():
    data = tiff(NOISE[..., :3], tile=(16, 16), compression="zlib")
    entry = struct.pack("<HHII", 323, 4, 1, 16)
    assert entry in data
    with pytest.raises(InputError, match="tiles are far larger"):
        probe(data.replace(entry, struct.pack("<HHII", 323, 4, 1, 1 << 24)))


def test_premultiplied_alpha_is_divided():
    alpha = np.maximum(NOISE[..., 3:], 256)
    straight = NOISE[..., :3]
    premultiplied = np.rint(straight * (alpha / 65535)).astype(np.uint16)
    picture = read(tiff(np.concatenate([premultiplied, alpha], 2), extrasamples=["assocalpha"]))
    error = np.abs(picture.color.astype(int) - straight)
    assert (error <= np.ceil(65535 / alpha / 2) + 1).all()
    assert np.median(error) <= 2
    assert np.array_equal(picture.alpha, alpha[..., 0])


@pytest.mark.parametrize("white", [256, 1023, 65535])
def test_ppm(white):
    samples = (NOISE[..., :3].astype(int) % (white + 1)).astype(np.uint16)
    data = b"P6 %d %d %d\n" % (*SIZE, white) + samples.astype(">u2").tobytes()
    picture = read(data)
    assert picture.notes == ()
    np.testing.assert_array_equal(picture.color, np.floor(samples * (65535 / white) + 0.5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_orientation(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if format == "PNG":
        data = png(NOISE[..., :3], chunk(b"eXIf", exif.tobytes()[6:]))
    else:
        data = tiff(NOISE[..., :3], extratags=[(0x0112, 3, 1, orientation, True)])
    expected = []
    for channel in range(3):  # Pillow turns 32-bit integers exactly
        plane = Image.fromarray(NOISE[..., channel].astype(np.int32))
        plane.info["exif"] = exif.tobytes()
        expected.append(np.asarray(ImageOps.exif_transpose(plane)))
    picture = read(data)
    assert np.array_equal(picture.color, np.stack(expected, -1))
    assert probe(data).size == picture.size


def test_colour_key_is_exact():
    samples = NOISE[..., :3].copy()
    samples[3, 4] = (1000, 2000, 3000)
    samples[3, 5] = (1000, 2000, 3001)
    picture = read(png(samples, chunk(b"tRNS", struct.pack(">3H", 1000, 2000, 3000))))
    assert picture.alpha[3, 4] == 0 and picture.alpha[3, 5] == 65535


@pytest.mark.parametrize("data", [png(NOISE), tiff(NOISE[..., :3]), tiff(NOISE[..., :3], compression="zlib")])
def test_truncated(data):
    for share in (0.5, 0.8, 0.95):
        with pytest.raises(InputError, match="damaged or incomplete|not a picture"):
            read(data[: int(len(data) * share)])


def test_truncated_ppm():
    with pytest.raises(InputError, match="truncated"):
        read(b"P6 4 4 65535\n" + bytes(4 * 4 * 6 - 1))
