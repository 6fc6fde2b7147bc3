"""Formats that another package reads: loaded when met, and named where missing."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from upscale.errors import InputError
from upscale.images.read import probe, read, readable_suffixes

HEADS = {
    "pillow_heif": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIC", "upscale[heif]"),
    "pillow_jxl": (b"\xff\x0a" + bytes(40), "JPEG XL", "upscale[jxl]"),
}


@pytest.mark.parametrize("module", HEADS)
def test_missing_package(module, monkeypatch, tmp_path):
    data, title, extra = HEADS[module]
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    path = tmp_path / "a.x"
    path.write_bytes(data)
    for use in (probe, read):
        with pytest.raises(InputError, match=f"a.x is {title}, which needs the package {module}") as caught:
            use(path)
        assert extra in caught.value.hint


def test_found_in_folders():
    assert {".heic", ".heif", ".jxl"} <= readable_suffixes()


def test_not_loaded_for_others():
    """AVIF is of the same family, and a JPEG begins much like JPEG XL."""
    code = (
        "import io, sys\nfrom PIL import Image\nfrom upscale.images.read import read\n"
        "for format in ('JPEG', 'AVIF', 'PNG'):\n"
        "    if format in (Image.init(), Image.SAVE)[1]:\n"
        "        stream = io.BytesIO()\n        Image.new('RGB', (8, 8)).save(stream, format)\n"
        "        read(stream.getvalue())\n"
        "assert not {'pillow_heif', 'pillow_jxl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def photo():
    y, x = np.mgrid[:48, :64]
    return Image.fromarray(np.stack([x * 3, y * 4, 0 * x + 90], -1).astype(np.uint8))


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif`")
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8825] = "Phone", 6, {1: "N", 2: (47.0, 22.0, 11.5)}
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(stream, exif=exif.tobytes(), quality=95)
    picture = read(stream.getvalue())
    assert probe(stream.getvalue()).size == picture.size == (48, 64)
    expected = np.asarray(photo().transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(picture.color - expected).mean() < 4
    tags = Image.Exif()
    tags.load(picture.metadata.exif)
    assert tags[0x010F] == "Phone" and 0x0112 not in tags and tags.get_ifd(0x8825)[1] == "N"


def test_damaged_heic():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif`")
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(stream)
    data = stream.getvalue()
    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(InputError, match="damaged|not a picture"):
            read(data[: int(len(data) * share)])


def test_heic_whose_crop_lies_elsewhere():
    """Its decoder gives all that is coded then, padding included."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif`")
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo().crop((0, 0, 19, 23))).save(stream)
    data = bytearray(stream.getvalue())
    data[data.index(b"clap") + 22] ^= 0x6E  # where it begins: ISO 14496-12, 12.1.4
    with pytest.raises(InputError, match="of another size than its header says"):
        read(bytes(data))


@pytest.mark.parametrize(("primaries", "said"), [(1, False), (9, True)])
def test_colours_of_a_heic_that_are_not_srgb_are_said(primaries, said):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif`")
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(stream)
    data = bytearray(stream.getvalue())
    data[data.index(b"colrnclx") + 9] = primaries
    assert len(read(bytes(data)).notes) == said


def test_what_comes_with_a_heic_is_said():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif`")
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo().convert("RGBA")).save(stream)
    alpha, other = b"urn:mpeg:hevc:2015:auxid:1", b"urn:com:apple:photo:hdrgai"
    picture = read(stream.getvalue().replace(alpha, other))
    assert picture.alpha is None and len(picture.notes) == 1 and "gain map" in picture.notes[0]


def test_jpeg_xl_is_turned_once(tmp_path):
    """By its decoder, as the codestream says; EXIF counts for a JPEG that was packed as it is."""
    pytest.importorskip("pillow_jxl", reason="the extra `jxl`")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    photo().save(stream, "JXL", exif=exif.tobytes())
    assert read(stream.getvalue()).size == probe(stream.getvalue()).size == (64, 48)
    photo().save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as jpeg:
        jpeg.save(tmp_path / "a.jxl", lossless_jpeg=True)
    assert read(tmp_path / "a.jxl").size == probe(tmp_path / "a.jxl").size == (48, 64)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (264, 8), (40, 30), (513, 511), (9000, 3), (3, 9000)])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl_is_measured_before_it_is_decoded(size, container, monkeypatch):
    """Its plug-in decodes what it opens, and a few bytes may be a billion pixels."""
    pytest.importorskip("pillow_jxl", reason="the extra `jxl`")
    stream = io.BytesIO()
    Image.new("L", size).save(stream, "JXL", effort=1, use_container=container)
    assert probe(stream.getvalue()).size == size
    monkeypatch.setattr(Image, "open", None)
    megapixels = size[0] * size[1] / 1e6
    with pytest.raises(InputError, match="the limit is"):
        probe(stream.getvalue(), max_mpix=megapixels * 0.999)


def test_jpeg_xl():
    pytest.importorskip("pillow_jxl", reason="the extra `jxl`")
    stream = io.BytesIO()
    photo().save(stream, "JXL", lossless=True)
    picture = read(stream.getvalue())
    assert probe(stream.getvalue()).size == (64, 48)
    assert np.array_equal(picture.color, np.asarray(photo()))
