"""How coarse a WebP is, by its header."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale.images.read import read
from upscale.images.read_frames import read_frames
from upscale.images.webp import luma_step
from upscale.metrics.luma import luma

EXAMPLE = Path(__file__).parents[2] / "examples" / "chelsea.jpg"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(EXAMPLE) as image:
        return image.convert("RGB").resize((113, 75), Image.Resampling.BICUBIC)


def written(image: Image.Image, kind: str = "WEBP", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def error(image: Image.Image, data: bytes) -> float:
    """Mean squared difference of luma between a picture and its file."""
    with Image.open(io.BytesIO(data)) as made:
        return float(
            ((luma(np.asarray(made.convert("RGB"))) - luma(np.asarray(image))).astype(float) ** 2).mean()
        )


def test_the_step_is_that_of_a_jpeg_as_far_from_the_photo(photo: Image.Image) -> None:
    jpegs = [written(photo, "JPEG", quality=quality) for quality in range(96, 16, -4)]
    errors = [error(photo, data) for data in jpegs]
    steps = [read(data).luma_step for data in jpegs]
    for quality in (30, 50, 75, 90):
        data = written(photo, quality=quality)
        as_coarse = np.interp(error(photo, data), errors, steps)
        assert as_coarse / 2 < read(data).luma_step < as_coarse * 2


def test_it_falls_with_quality_and_is_nothing_without_loss(photo: Image.Image) -> None:
    steps = [read(written(photo, quality=quality)).luma_step for quality in (0, 20, 40, 60, 80, 95, 100)]
    assert all(a > b > 0 for a, b in pairwise(steps)) and steps[0] > 200 and steps[-1] < 2
    assert read(written(photo, lossless=True)).luma_step == 0
    assert read(written(photo, "PNG")).luma_step == 0


@pytest.mark.parametrize("segments", [1, 2, 4])
def test_one_index_or_several(photo: Image.Image, segments: int) -> None:
    """`method` 0 has one index for all blocks; a flat picture needs no more either."""
    flat = read(written(Image.new("RGB", (64, 64), "gray"), quality=75, method=segments)).luma_step
    one = read(written(photo, quality=75, method=0)).luma_step
    assert flat > 0 and one == pytest.approx(read(written(photo, quality=75)).luma_step, rel=0.5)


def test_behind_other_chunks_and_in_animations(photo: Image.Image) -> None:
    step = read(written(photo, quality=50)).luma_step
    clear = photo.copy()
    clear.putalpha(Image.new("L", photo.size, 128))
    assert read(written(clear, quality=50)).luma_step == pytest.approx(step, rel=0.05)
    exif = Image.Exif()
    exif[0x010E] = "x" * 5001
    marked = written(photo, quality=50, exif=exif, xmp=b"<x/>", icc_profile=b"\0" * 4999)
    assert luma_step(io.BytesIO(marked)) == step
    film = written(
        photo, quality=50, save_all=True, append_images=[photo.transpose(Image.Transpose.ROTATE_180)]
    )
    assert [frame.picture.luma_step for frame in read_frames(film)] == [pytest.approx(step, rel=0.05)] * 2


def test_headers_that_make_no_sense(photo: Image.Image) -> None:
    data = written(photo, quality=50)
    assert luma_step(io.BytesIO(b"")) == 0 and luma_step(io.BytesIO(data[:25])) == 0
    for end in range(26, 60):
        assert 0 <= luma_step(io.BytesIO(data[:end])) < 1000
    generator = np.random.default_rng(0)
    for _ in range(300):
        noise = generator.integers(0, 256, 60, dtype=np.uint8).tobytes()
        assert 0 <= luma_step(io.BytesIO(data[:30] + noise)) < 1000
        assert luma_step(io.BytesIO(noise)) == 0
    endless = data[:12] + b"JUNK\0\0\0\0" * 100_000
    assert luma_step(io.BytesIO(endless)) == 0


def test_the_file_is_left_where_it_was(photo: Image.Image) -> None:
    file = io.BytesIO(written(photo, quality=50))
    file.seek(7)
    assert luma_step(file) > 0 and file.tell() == 7
