"""What files say in places where Pillow does not look."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, features

from upscale.images.read import probe, read

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
IPTC = b"\x1c\x02\x78\0\3abc"
needs_jpeg_2000 = pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without JPEG 2000")


def saved(format, **options):
    stream = io.BytesIO()
    Image.new("RGB", (5, 3), "red").save(stream, format, **options)
    return stream.getvalue()


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def exif(orientation=1):
    block = Image.Exif()
    block[0x010F], block[0x0112] = "Camera", orientation
    return block.tobytes().removeprefix(b"Exif\0\0")


def jp2(profile, *behind, method=2):
    """Return a JPEG 2000 whose colours are described by a profile."""
    data = saved("JPEG2000")
    header = data.index(b"jp2h") - 4
    stop = header + int.from_bytes(data[header : header + 4], "big")
    color = data.index(b"colr", header) - 4
    inner = data[header + 8 : color] + box(b"colr", bytes((method, 0, 0)) + profile)
    return data[:header] + box(b"jp2h", inner) + data[stop:] + b"".join(behind)


@needs_jpeg_2000
def test_jpeg_2000(linear_rgb):
    data = jp2(linear_rgb, box(b"uuid", XMP_UUID + XMP), box(b"uuid", b"JpgTiffExif->JP2" + exif(6)))
    picture = read(data)
    assert picture.metadata.icc_profile == linear_rgb and picture.metadata.xmp == XMP
    assert picture.metadata.exif is not None and b"Camera" in picture.metadata.exif
    assert picture.size == probe(data).size == (3, 5) and picture.notes == ()


@needs_jpeg_2000
@pytest.mark.parametrize("content", [b"", b"\0", XMP_UUID, XMP_UUID[:9]])
def test_absurd_boxes_do_not_cost_the_picture(content):
    picture = read(jp2(b"junk", box(b"uuid", content), b"\0\0\0\1uuid" + b"\xff" * 8, b"\0\0\0\4junk"))
    assert picture.metadata.icc_profile is picture.metadata.xmp is None


def psd(*resources):
    blocks = [
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in resources
    ]
    found = b"".join(blocks)
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHII", 3, 3, 5, 8, 3, 0, len(found))
    return head + found + bytes(4 + 2) + bytes(3 * 3 * 5)


def test_photoshop():
    resolution = struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1)
    picture = read(psd((1005, resolution), (1028, IPTC), (1058, exif()), (1060, XMP)))
    said = picture.metadata
    assert said.dpi == (300, 150) and said.xmp == XMP and said.iptc == IPTC
    assert said.exif is not None and b"Camera" in said.exif
    assert picture.size == (5, 3) and picture.notes == ()


@pytest.mark.parametrize("number", [1005, 1028, 1058, 1060])
def test_absurd_resources_do_not_cost_the_picture(number):
    assert read(psd((number, b""))).size == read(psd((number, b"\xff\xfe\xfd"))).size == (5, 3)


def test_jpeg_xl():
    pytest.importorskip("pillow_jxl", reason="the extra `jxl`")
    stream = io.BytesIO()
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(stream, "JXL")
    kind = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    assert read(kind + box(b"xml ", XMP) + box(b"jxlc", stream.getvalue())).metadata.xmp == XMP
