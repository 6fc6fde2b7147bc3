"""Pictures to bytes: what every format keeps, and what it says about what it cannot keep."""

from __future__ import annotations

import io

import numpy as np
import pytest

from upscale.errors import ExitCode, OutputError, UsageError
from upscale.images.formats import FORMATS
from upscale.images.picture import Picture
from upscale.images.read import read
from upscale.images.write import encode, write

ROWS = [row for row in FORMATS.values() if row.is_available]
LOSSLESS = [row for row in ROWS if row.default_quality is None and row.photos]
NO_GRAY = ("webp", "avif", "gif")  # WebP has none, older Pillow reads none in AVIF, GIF has palettes


def ramp(channels, dtype=np.uint8, size=(20, 14)):
    y, x = np.mgrid[: size[1], : size[0]]
    planes = [x / size[0], y / size[1], (x + y) / sum(size)][:channels]
    return np.floor(np.stack(planes, -1) * np.iinfo(dtype).max).astype(dtype)


class Pipe(io.RawIOBase):
    """A stream that can only be written to, like standard output in a pipeline."""

    def __init__(self):
        self.parts = []

    def writable(self):
        return True

    def write(self, data):
        self.parts.append(bytes(data))
        return len(data)

    def seek(self, *args):
        raise io.UnsupportedOperation("seek")

    tell = fileno = seek


def encoded(picture, row, **options):
    pipe = Pipe()
    notes = encode(picture, pipe, format=row, **options)
    return b"".join(pipe.parts), notes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_format_takes_every_picture(row, channels, has_alpha, dtype, tmp_path):
    """Never refused; exact where the row says so; and a note exactly where something was lost."""
    color = ramp(channels, dtype)
    alpha = ramp(1, dtype)[::-1, :, 0].copy() if has_alpha else None
    picture = Picture(color, alpha)
    data, notes = encoded(picture, row)
    back = read(data)
    assert back.size == picture.size
    plain_gray = channels == 1 and not (has_alpha and row.alpha)
    kept_16 = dtype == np.uint16 and 16 in (row.gray_bits if plain_gray else row.color_bits)
    assert back.color.dtype == (np.uint16 if kept_16 else np.uint8)
    assert any("16 bits" in note for note in notes) == (dtype == np.uint16 and not kept_16)
    assert any("laid on white" in note for note in notes) == (has_alpha and not row.alpha)
    assert (back.alpha is not None) == (has_alpha and row.alpha)
    if channels == 1 and row.name not in NO_GRAY:
        assert back.is_gray or (row.name == "tiff" and has_alpha and kept_16)  # Pillow reads no such TIFF

    full = np.iinfo(dtype).max
    expected = color / full
    if has_alpha and not row.alpha:
        expected = expected * (alpha / full)[..., None] + 1 - (alpha / full)[..., None]
    shown = back.color / np.iinfo(back.color.dtype).max
    tolerance = 0.55 / np.iinfo(back.color.dtype).max if row in LOSSLESS else 0.08
    visible = slice(None) if back.alpha is None else back.alpha > 40  # encoders drop what nobody sees
    assert np.abs(shown - expected)[visible].max() <= tolerance

    path = tmp_path / f"out{row.suffix}"
    assert write(picture, path) == notes
    assert path.read_bytes() == data or row.name == "avif"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("row", LOSSLESS, ids=lambda row: row.name)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_thin_pictures(row, size):
    picture = Picture(ramp(3, size=size))
    assert np.array_equal(read(encoded(picture, row)[0]).color, picture.color)


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("row", LOSSLESS, ids=lambda row: row.name)
def test_all_16_bit_levels_survive(row, channels, has_alpha):
    plain_gray = channels == 1 and not (has_alpha and row.alpha)
    if 16 not in (row.gray_bits if plain_gray else row.color_bits):
        pytest.skip("8 bits are all it holds")
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    levels = np.concatenate([levels, levels.T.reshape(256, 256, 1), levels[::-1]], 2)[..., :channels]
    alpha = levels[::-1, :, 0].copy() if has_alpha and row.alpha else None
    back = read(encoded(Picture(levels, alpha), row)[0])
    assert (back.color == levels).all()  # grey may have become colour
    assert alpha is None or np.array_equal(back.alpha, alpha)


def test_alpha_that_hides_nothing_is_left_out_silently():
    picture = Picture(ramp(3), np.full((14, 20), 255, np.uint8))
    data, notes = encoded(picture, "ppm")
    assert notes == ()
    assert np.array_equal(read(data).color, picture.color)


def test_transparent_becomes_white():
    alpha = np.full((14, 20), 255, np.uint8)
    alpha[0] = 0
    back = read(encoded(Picture(np.zeros((14, 20, 3), np.uint8), alpha), "bmp")[0])
    assert (back.color[0] == 255).all() and (back.color[1:] == 0).all()


@pytest.mark.parametrize("row", [row for row in ROWS if row.default_quality], ids=lambda row: row.name)
def test_quality(row):
    noise = Picture(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    low, default, high = (len(encoded(noise, row, quality=q)[0]) for q in (30, None, 100))
    assert low < default < high
    assert encoded(noise, row, quality=row.default_quality)[0] == encoded(noise, row)[0]


def test_jpeg_keeps_full_colour_resolution():
    from PIL import Image, JpegImagePlugin

    image = Image.open(io.BytesIO(encoded(Picture(ramp(3)), "jpg")[0]))
    assert JpegImagePlugin.get_sampling(image) == 0


def test_format_comes_from_the_suffix_or_the_argument(tmp_path):
    picture = Picture(ramp(3))
    write(picture, tmp_path / "a.PNG")
    write(picture, tmp_path / "b", format="png")
    write(picture, tmp_path / "c.dat", format=FORMATS["png"])
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with pytest.raises(UsageError, match="xyz"):
        write(picture, tmp_path / "d.xyz")
    with pytest.raises(UsageError, match="without a suffix"):
        write(picture, tmp_path / "d")
    assert len(list(tmp_path.iterdir())) == 3


def test_input_arrays_are_untouched():
    color, alpha = ramp(3, np.uint16), ramp(1, np.uint16)[..., 0]
    before = color.copy(), alpha.copy()
    for row in ROWS:
        encoded(Picture(color, alpha), row)
    assert np.array_equal(color, before[0]) and np.array_equal(alpha, before[1])


def test_a_format_limit_leaves_nothing_behind(tmp_path):
    wide = Picture(np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(OutputError) as caught:
        write(wide, tmp_path / "wide.jpg")
    assert caught.value.message.startswith(str(tmp_path / "wide.jpg")) and "65500" in caught.value.message
    assert caught.value.exit_code == ExitCode.OUTPUT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), SystemError("odd"), MemoryError()])
def test_whatever_an_encoder_raises(error, tmp_path, monkeypatch):
    from PIL import Image

    def save(*args, **kwargs):
        raise error

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OutputError) as caught:
        write(Picture(ramp(3)), tmp_path / "out.png")
    assert caught.value.message.startswith(str(tmp_path / "out.png"))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_gone():
    class Closed(Pipe):
        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

    for row in ROWS:
        with pytest.raises(BrokenPipeError):
            encode(Picture(ramp(3)), Closed(), format=row)


def test_a_full_disk_behind_standard_output():
    class Full(Pipe):
        def write(self, data):
            raise OSError(28, "No space left on device")

    for row in ROWS:
        with pytest.raises(OutputError, match="Standard output cannot be written: the disk is full"):
            encode(Picture(ramp(3)), Full(), format=row)


@pytest.mark.parametrize("levels", [(0, 255), (0, 100, 255)])
def test_half_transparency_that_gif_has_not_is_said(levels):
    alpha = np.array(levels * 20, np.uint8)[:40].reshape(4, 10)
    notes = encode(Picture(np.full((4, 10, 3), 90, np.uint8), alpha), io.BytesIO(), format="gif")
    assert [note for note in notes if "half-transparency" in note] == ([notes[0]] if len(levels) > 2 else [])
