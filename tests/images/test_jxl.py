"""Headers of JPEG XL, bit by bit."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from upscale.images import jxl, storage

USUAL, SMALL, SQUARE = (1, 1), ((1, 1), (0, 5)), (1, 3)  # values and their numbers of bits


def codestream(*fields):
    bits, length = 0, 0
    for value, count in fields:
        bits |= value << length
        length += count
    return io.BytesIO(b"\xff\x0a" + bits.to_bytes(-(-length // 8), "little"))


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        (((1, 1), (4, 5), (0, 3), (30, 5)), (248, 40)),
        (((1, 1), (4, 5), (7, 3)), (80, 40)),
        (((0, 1), (0, 2), (29, 9), (3, 3)), (40, 30)),
        (((0, 1), (1, 2), (8000, 13), (0, 3), (3, 2), (2**30 - 1, 30)), (2**30, 8001)),
    ],
)
def test_size(fields, size):
    assert jxl.header(codestream(*fields, USUAL)) == (size, 8)


@pytest.mark.parametrize(
    ("fields", "bits"),
    [
        (((0, 1), (0, 1), (0, 2)), 8),
        (((0, 1), (0, 1), (1, 2)), 10),
        (((0, 1), (0, 1), (3, 2), (15, 6)), 16),
        (((0, 1), (1, 1), (1, 2)), 16),
        (((1, 1), (5, 3), (0, 3), (0, 1), (2, 2)), 12),  # turned
        (((1, 1), (0, 3), (4, 3), (0, 1), (2, 2)), 8),  # an animation
    ],
)
def test_bits(fields, bits):
    """They are told where the picture is reduced to 8."""
    file = codestream(*SMALL, SQUARE, (0, 1), *fields)
    assert jxl.header(file) == ((8, 8), bits)
    image = Image.new("RGB", (8, 8))
    image.format = "JXL"
    assert storage.inspect(image, file).bits == bits


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8\xff\xe0", bytes(64), b"\0\0\0\1jxlc" + b"\xff" * 8]
)
def test_others_have_none(data):
    assert jxl.header(io.BytesIO(data)) is None
