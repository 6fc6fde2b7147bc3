"""JPEG's steps are found where it has been, and nowhere else."""

from __future__ import annotations

import io
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale.images.resize import resize
from upscale.metrics.jpeg import luma_step

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOS = ["astronaut.jpg", "chelsea.jpg", "rocket.jpg"]


def photo(name: str, size: tuple[int, int] = (120, 88)) -> np.ndarray:
    """Reduced, so that nothing of its own compression is left."""
    with Image.open(EXAMPLES / name) as image:
        return np.asarray(resize(np.asarray(image.convert("RGB")), size, resample="bicubic"))


def compressed(pixels: np.ndarray, quality: int, mode: str = "RGB") -> tuple[np.ndarray, float]:
    """Return what JPEG leaves of a picture, and the mean step of its table."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        tables: Any = image
        return np.atleast_3d(np.asarray(image)), fmean(tables.quantization[0])


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("quality", [5, 10, 20, 30, 50, 60, 75, 85])  # steps end at 255: from 15 on down
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_steps_are_found(name: str, quality: int, mode: str) -> None:
    pixels, step = compressed(photo(name), quality, mode)
    assert luma_step(pixels) == pytest.approx(step, rel=0.05)
    assert luma_step(pixels.astype(np.uint16) * 257) == pytest.approx(step, rel=0.05)


@pytest.mark.parametrize("name", PHOTOS)
def test_there_are_none_without_jpeg(name: str) -> None:
    for size in ((120, 88), (256, 200)):
        pixels = photo(name, size)
        noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
        for clean in (pixels, pixels[:, :, 1:2], np.clip(pixels + noise, 0, 255).astype(np.uint8)):
            assert luma_step(clean) == 0
    assert luma_step(compressed(photo(name), 97)[0]) == 0  # too fine to hide anything


@pytest.mark.parametrize("name", PHOTOS)
def test_another_jpeg_on_top_does_not_hide_them(name: str) -> None:
    once, step = compressed(photo(name), 60)
    assert luma_step(compressed(once, 95)[0]) == pytest.approx(step, rel=0.08)


def test_drawings_and_pictures_too_small_have_none() -> None:
    enlarged = photo("chelsea.jpg").repeat(8, axis=0).repeat(8, axis=1)  # blocks of one colour each
    few = photo("chelsea.jpg") // 32 * 32
    flat = np.full((64, 64, 3), 77, np.uint8)
    for pixels in (enlarged, few, flat, flat[:5, :7], flat[:, :, :1], compressed(flat, 40)[0]):
        assert luma_step(pixels) == 0
