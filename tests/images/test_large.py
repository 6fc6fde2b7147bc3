"""Pictures written strip by strip: the same as those that Pillow writes, whatever their kind."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageCms

from upscale.errors import OutputError
from upscale.images import large, scratch, tiff, vips
from upscale.images.formats import FORMATS, check_size
from upscale.images.metadata import collect
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe, read
from upscale.images.whole import is_whole
from upscale.images.write import encode, write

needs_vips = pytest.mark.skipif(not vips.is_installed(), reason="needs the extra upscale[big]")
STREAMED = [pytest.param("jpg", marks=needs_vips), "png", "tiff", "ppm"]
RECORD = {"model": "tiny", "scale": "4"}


@pytest.fixture
def all_large(monkeypatch):
    monkeypatch.setattr(large, "STREAM_FROM_PX", 1)
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1)


def drawn(channels=3, dtype=np.uint8, size=(300, 270), alpha=False):
    y, x = np.mgrid[: size[1], : size[0]] / max(size)
    full = np.iinfo(dtype).max
    planes = np.stack([x, y, (1 + np.sin(9 * x * y)) / 2], -1)[..., :channels]
    color = np.floor(planes * full).astype(dtype)
    return Picture(color, np.floor((1 - x) * full).astype(dtype) if alpha else None)


@cache  # the profile holds the time it was made
def described():
    exif = Image.Exif()
    exif[271], exif[306] = "Camera", "2020:01:02 03:04:05"
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: 0.01}
    exif[34853] = {1: "N", 2: (1.0, 2.0, 3.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    return Metadata(exif.tobytes(), profile, (300.0, 300.0), xmp + b"</rdf:RDF></x:xmpmeta>")


def data_of(picture, format, **options):
    stream = io.BytesIO()
    notes = encode(picture, stream, format=format, **options)
    return stream.getvalue(), notes


@pytest.mark.parametrize("format", STREAMED)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_same_picture_as_ever(format, channels, alpha, dtype, monkeypatch):
    picture = drawn(channels, dtype, alpha=alpha)
    small, notes = data_of(picture, format)
    monkeypatch.setattr(large, "STREAM_FROM_PX", 1)
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1)
    streamed, streamed_notes = data_of(picture, format)
    one, other = read(small), read(streamed)
    assert notes == streamed_notes
    tolerance = 3 if format == "jpg" else 0
    assert one.color.dtype == other.color.dtype and (one.alpha is None) == (other.alpha is None)
    if (
        one.color.shape[2] < other.color.shape[2]
    ):  # Pillow's small TIFF has grey with alpha in colour at 16 bits
        other = Picture(other.color[..., :1], other.alpha)
    assert np.abs(one.color[..., : other.color.shape[2]].astype(int) - other.color).max() <= tolerance
    if one.alpha is not None and other.alpha is not None:
        assert np.array_equal(one.alpha, other.alpha)


@pytest.mark.parametrize("format", STREAMED)
def test_what_is_said_besides_the_pixels(format, monkeypatch):
    picture = Picture(drawn().color, metadata=described())
    small, _ = data_of(picture, format, record=RECORD)
    monkeypatch.setattr(large, "STREAM_FROM_PX", 1)
    streamed, _ = data_of(picture, format, record=RECORD)
    said = [collect(Image.open(io.BytesIO(data))) for data in (small, streamed)]
    assert said[0].metadata == said[1].metadata
    assert said[0].icc_profile == said[1].icc_profile
    if format != "ppm":
        assert probe(streamed).record == RECORD and said[1].icc_profile == described().icc_profile
        assert said[1].metadata.exif and said[1].metadata.dpi == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("format", STREAMED)
def test_nothing_is_said_where_nothing_is_known(format, all_large):
    with Image.open(io.BytesIO(data_of(drawn(), format)[0])) as image:
        assert not image.getexif().get(282) and not {"dpi", "xmp", "icc_profile"} & set(image.info) - {
            "dpi" if format == "tiff" else ""  # Pillow makes one up
        }


@pytest.mark.parametrize("format", STREAMED)
def test_files_are_whole(format, all_large, tmp_path):
    path = tmp_path / f"a{FORMATS[format].suffix}"
    write(drawn(), path)
    assert is_whole(path, FORMATS[format].pillow_name)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_whole(path, FORMATS[format].pillow_name)


@pytest.mark.parametrize(("height", "head"), [(17_000, b"II*\0"), (18_000, b"II+\0")])
def test_tiff_is_big_from_4_gb_on(height, head):
    """4.08 and 4.32 GB; nothing of it is in memory."""
    levels = np.broadcast_to(np.uint8(7), (height, 80_000, 3))
    beginning = bytearray()

    class Sink:
        def write(self, data):
            beginning.extend(bytes(data[:4]) if len(beginning) < 4 else b"")
            if len(data) > 1 << 16:
                raise StopIteration  # the pixels

    with pytest.raises(StopIteration):
        tiff.TiffWriter(Sink(), 1, "a.tif").add(Picture(levels), Metadata())
    assert beginning == head


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", [(256, 256), (1, 700), (513, 255)], ids=str)
def test_big_tiff(size, alpha, all_large, monkeypatch, tmp_path):
    monkeypatch.setattr(tiff, "_CLASSIC_BYTES", 1)
    picture = Picture(**{**vars(drawn(size=size, alpha=alpha)), "metadata": described()})
    write(picture, tmp_path / "a.tif", record=RECORD)
    data = (tmp_path / "a.tif").read_bytes()
    assert data.startswith(b"II+\0")
    back = read(data)
    assert np.array_equal(back.color, picture.color)
    assert alpha == (back.alpha is not None)
    assert probe(data).record == RECORD and back.metadata.dpi == (300.0, 300.0)
    assert is_whole(tmp_path / "a.tif", "TIFF")


def test_views_of_larger_arrays(all_large):
    whole = drawn(size=(300, 200))
    part = Picture(whole.color[10:150, 7:99])
    for format in STREAMED[1:]:
        assert np.array_equal(read(data_of(part, format)[0]).color, part.color)


@pytest.mark.parametrize("format", STREAMED)
@pytest.mark.parametrize("after", [0, 5000])
def test_a_disk_that_fills_up(format, after, all_large, capfd):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > after:
                raise OSError(28, "No space left on device")
            return super().write(data)

    noise = Picture(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    with pytest.raises(OutputError, match="out cannot be written: the disk is full"):
        encode(noise, Full(), format=format, name="out")
    assert capfd.readouterr() == ("", "")  # libvips would have said so itself


@needs_vips
def test_a_reader_that_has_gone(all_large):
    class Closed(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        encode(drawn(), Closed(), format="jpg")


def test_png_without_libvips(all_large, monkeypatch):
    monkeypatch.setattr(vips, "is_installed", lambda: False)
    for picture in (drawn(), drawn(1, np.uint16), drawn(3, np.uint16, alpha=True)):
        assert np.array_equal(read(data_of(picture, "png")[0]).color, picture.color)


def test_what_would_have_to_be_held_is_refused(monkeypatch):
    size = (32000, 24000)
    for format in ("png", "tiff", "ppm"):
        check_size(FORMATS[format], size)
    for format in ("avif", "bmp"):
        with pytest.raises(OutputError, match=rf"{format} is limited to 280 megapixels here. Choose png"):
            check_size(FORMATS[format], size)
    monkeypatch.setattr(vips, "is_installed", lambda: False)
    with pytest.raises(OutputError, match=r'pip install "upscale\[big\]", or choose png or tiff'):
        check_size(FORMATS["jpg"], size)
    monkeypatch.setattr(vips, "is_installed", lambda: True)
    check_size(FORMATS["jpg"], size)


def test_limits_of_formats_say_what_to_do():
    with pytest.raises(OutputError, match=r"70000x100 pixels; jpg allows at most 65500 per side. Choose png"):
        check_size(FORMATS["jpg"], (70000, 100))
    check_size(FORMATS["tiff"], (60000, 60000))  # 10.8 GB: BigTIFF
