"""Several pictures in a row are told from one with something behind it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from upscale.images.several import holds_several

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "PPM", "BMP", "AVIF"]


def encoded(format, size=(40, 30), **options):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(stream, format, **options)
    return stream.getvalue()


def sequence(format):
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    frames[0].save(stream, format, save_all=True, append_images=frames[1:], duration=100)
    return stream.getvalue()


FORMATS = [format for format in FORMATS if format != "AVIF" or features.check("avif")]
ONE = {
    **{format: encoded(format) for format in FORMATS},
    **{f"{format} of three": sequence(format) for format in ("GIF", "TIFF", "PNG", "WEBP")},
    "grey PPM": io.BytesIO(b"P5 # a comment\n40 30\n# another\n65535 " + bytes(2 * 40 * 30)).getvalue(),
    "bits": b"P4 9 5\n" + bytes(10),
    "compressed": encoded("TIFF", compression="tiff_lzw"),
    "tagged": encoded("TIFF", exif=Image.Exif(), dpi=(300, 300), description="a" * 99),
    "progressive": encoded("JPEG", progressive=True),
    "thumbnail": encoded("JPEG", exif=b"Exif\0\0" + encoded("JPEG", (8, 8))),
    "odd length": encoded("WEBP", (1, 1), lossless=True),
    "uncompressed": encoded("PNG", compress_level=0),
}


@pytest.mark.parametrize("kind", ONE)
def test_one(kind):
    data = ONE[kind]
    assert not holds_several(data)
    for behind in (b"\0" * 100, b"trailer", b"\xff\xd8", data[:2]):
        assert not holds_several(data + behind)


@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", ONE)
def test_two(first, second):
    assert holds_several(ONE[first] + ONE[second])
    assert holds_several(ONE[first] + ONE[second] + ONE[first])


def test_pictures_that_belong_together_are_one():
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(stream, "MPO", save_all=True, append_images=frames[1:])
    assert stream.getvalue().count(b"\xff\xd8\xff") == 2 and not holds_several(stream.getvalue())


def test_what_phones_append_is_no_other_picture():
    """The film of a motion photo, or pictures that XMP lists."""
    photo, film = encoded("JPEG"), b"\0\0\0\x18ftypmp42" + bytes(400)
    assert not holds_several(photo + film)
    packet = b"http://ns.adobe.com/xap/1.0/\0<x Container:Directory='gain map'/>"
    segment = b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet
    listed = photo[:2] + segment + photo[2:]
    assert holds_several(photo + photo) and not holds_several(listed + photo)


@given(st.sampled_from(FORMATS), st.integers(0, 3000), st.binary(max_size=40))
def test_never_raises_and_ends(format, length, behind):
    assert holds_several(ONE[format][:length] + behind) in (False, True)
