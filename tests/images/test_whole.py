"""Files cut short are told from whole ones without decoding them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from upscale.errors import InputError
from upscale.images.formats import FORMATS
from upscale.images.picture import Metadata, Picture
from upscale.images.read import probe
from upscale.images.whole import is_whole
from upscale.images.write import write

ROWS = [row for row in FORMATS.values() if row.is_available]
RNG = np.random.default_rng(0)
PICTURES = {
    "colour": Picture(RNG.integers(0, 255, (40, 50, 3), np.uint8)),
    "gray": Picture(RNG.integers(0, 255, (40, 50, 1), np.uint8)),
    "16 bits": Picture(RNG.integers(0, 65535, (40, 50, 1), np.uint16)),
    "16 bits in colour": Picture(RNG.integers(0, 65535, (40, 50, 3), np.uint16)),
    "alpha": Picture(RNG.integers(0, 255, (40, 50, 3), np.uint8), RNG.integers(0, 255, (40, 50), np.uint8)),
    "metadata": Picture(
        RNG.integers(0, 255, (9, 9, 3), np.uint8), metadata=Metadata(xmp=b"<x/>", dpi=(72, 72))
    ),
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_we_write_is_whole_and_a_part_of_it_is_not(row, kind, tmp_path):
    path = tmp_path / f"a{row.suffix}"
    write(PICTURES[kind], path)
    data = path.read_bytes()
    format = probe(path).format
    assert format == row.pillow_name and is_whole(path, format)
    for length in {*np.linspace(1, len(data) - 1, 30, dtype=int), len(data) - 1}:
        path.write_bytes(data[:length])
        assert not is_whole(path, format), length


def test_formats_that_are_not_written_count_as_whole(tmp_path):
    path = tmp_path / "a.ico"
    Image.new("L", (9, 9)).save(path)
    assert is_whole(path, "ICO")


def test_file_that_vanished(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        is_whole(tmp_path / "gone.png", "PNG")


@pytest.mark.parametrize("format", ["TIFF", "AVIF", "PPM", "PNG", "JPEG", "GIF"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"II*\0" + b"\xff" * 40,
        b"II+\0\x08\0\0\0" + bytes(7) + b"\x40" + bytes(100),  # goes on where no file can be
        b"P6\n9 9\n255\n",
        bytes(100),
    ],
)
def test_nonsense_is_not_whole(data, format, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(data)
    assert not is_whole(path, format)


def test_tiff_without_its_last_pages_is_not_whole(tmp_path):
    """What is left of it is: its directories lead to one that is not there."""
    path = tmp_path / "a.tif"
    pages = [Image.new("L", (9, 9), level) for level in range(7)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert is_whole(path, "TIFF")
    data = path.read_bytes()
    for length in range(60, len(data), 60):
        path.write_bytes(data[:length])
        assert not is_whole(path, "TIFF"), length
