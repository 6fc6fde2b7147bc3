"""Pictures softer than their pixels are found, and sharp ones left alone."""

from __future__ import annotations

import io
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from upscale.engine.softness import spare_factor
from upscale.images.resize import resize
from upscale.training.examples.blurs import blur

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["astronaut.jpg", "chelsea.jpg"])
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    """Small, and as sharp as its pixels."""
    with Image.open(EXAMPLES / request.param) as image:
        rgb = np.asarray(image.convert("RGB"))
    return np.asarray(resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), resample="bicubic"))


def blurred(rgb: np.ndarray, std: float) -> np.ndarray:
    x = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]
    sigma = torch.tensor([std])
    soft = blur(x, sigma, sigma, torch.zeros(1), radius=int(4 * std) + 1)
    return soft[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def enlarged(rgb: np.ndarray, factor: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    return np.asarray(resize(rgb, (factor * width, factor * height), resample="bicubic"))


def compressed(rgb: np.ndarray, quality: int) -> tuple[np.ndarray, float]:
    """Return what JPEG leaves of a photo, and the mean step of its table."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality)
    image: Any = Image.open(file)
    return np.asarray(image), fmean(image.quantization[0])


def test_sharp_photographs_lose_by_being_smaller(photo: np.ndarray) -> None:
    for rgb in (photo, photo[:, :, 1:2], blurred(photo, 0.7)):
        assert spare_factor(rgb) == 1
    assert spare_factor(*compressed(photo, 60)) == 1


@pytest.mark.parametrize(
    ("std", "factors"), [(1.5, {1.5, 2.0}), (2.0, {2.0}), (3.2, {2.0, 3.0}), (5.0, {3.0, 4.0})]
)
def test_blurred_ones_do_not(std: float, factors: set[float], photo: np.ndarray) -> None:
    soft = blurred(photo, std)
    assert spare_factor(soft) in factors
    assert spare_factor(soft[:, :, 1:2]) in factors
    assert spare_factor(soft.astype(np.uint16) * 257) == spare_factor(soft)


@pytest.mark.parametrize("quality", [75, 90])
def test_marks_of_jpeg_are_no_detail(quality: int, photo: np.ndarray) -> None:
    assert spare_factor(*compressed(blurred(photo, 2.0), quality)) == 2


@pytest.mark.parametrize(("factor", "found"), [(3, {1.5, 2.0}), (4, {1.5, 2.0, 3.0})])
def test_neither_do_enlarged_ones(factor: int, found: set[float], photo: np.ndarray) -> None:
    assert spare_factor(enlarged(photo, factor)) in found


def noisy(rgb: np.ndarray, std: float, *, shared: bool = False, grain: float = 0.0) -> np.ndarray:
    """Noise of each colour or, `shared`, of brightness; alike in neighbours by a blur of `grain` pixels."""
    noise = np.random.default_rng(0).normal(0, 1, (*rgb.shape[:2], 1 if shared else 3)).astype(np.float32)
    if grain:
        x, sigma = torch.from_numpy(noise).permute(2, 0, 1)[None], torch.tensor([grain])
        noise = blur(x, sigma, sigma, torch.zeros(1), radius=4)[0].permute(1, 2, 0).numpy()
    noise *= std / noise.std()
    return np.clip(np.round(rgb + noise), 0, 255).astype(np.uint8)


NOISES = [
    {"std": 3},
    {"std": 5},
    {"std": 3, "shared": True},
    {"std": 6, "shared": True, "grain": 0.7},
]


@pytest.mark.parametrize("noise", [*NOISES, {"std": 5, "shared": True}], ids=str)
def test_noise_does_not_make_a_photograph_soft(noise: dict[str, Any], photo: np.ndarray) -> None:
    assert spare_factor(noisy(photo, **noise)) == 1
    assert spare_factor(noisy(blurred(photo, 0.7), **noise)) == 1


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_nor_does_it_hide_that_one_is(noise: dict[str, Any], photo: np.ndarray) -> None:
    assert spare_factor(noisy(blurred(photo, 2.0), **noise)) in (1.5, 2.0)


@pytest.mark.parametrize("border", [0, 255])
def test_where_noise_is_cut_off_nothing_is_said_of_it(border: int, photo: np.ndarray) -> None:
    """As around a scanned print."""
    soft = blurred(np.pad(photo, ((48, 48), (48, 48), (0, 0)), constant_values=border), 2.0)
    clipped = noisy(soft, 3)
    flat = np.where(soft == border, border, clipped).astype(np.uint8)
    assert spare_factor(clipped) in (1.5, 2.0) and spare_factor(flat) in (1.5, 2.0)


def test_what_is_in_focus_keeps_its_pixels(photo: np.ndarray) -> None:
    """A small part of a portrait is: that is the part to see."""
    soft = blurred(photo, 2.5)
    top, left = soft.shape[0] // 2, soft.shape[1] // 2
    part = np.s_[top : top + 48, left : left + 48]
    soft[part] = photo[part]
    assert spare_factor(soft) == 1


def test_a_small_thing_in_focus_before_a_wide_background_does_so_too(photo: np.ndarray) -> None:
    """As a bird: of the whole picture it is less than what else may be lost."""
    wide = np.tile(photo, (3, 3, 1))[:600, :720]
    soft = blurred(wide, 3.0)
    assert spare_factor(soft) > 1
    part = np.s_[276:324, 336:384]
    soft[part] = wide[part]
    assert spare_factor(soft) == 1


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (20, 60, 200)], ids=str)
def test_bars_and_borders_do_not_hide_that_a_photo_is_soft(
    color: tuple[int, int, int], photo: np.ndarray
) -> None:
    def framed(rgb: np.ndarray, width: int) -> np.ndarray:
        whole = np.empty((rgb.shape[0] + 64, rgb.shape[1] + 2 * width, 3), np.uint8)
        whole[:] = color
        whole[32:-32, width : whole.shape[1] - width] = rgb
        return whole

    soft = blurred(photo, 2.0)
    for width in (0, 24):
        whole = framed(soft, width)
        assert spare_factor(whole) == 2 == spare_factor(whole.astype(np.uint16) * 257)
        assert spare_factor(framed(photo, width)) == 1
        if len(set(color)) == 1:  # of a coloured border JPEG leaves a blurred edge of colour
            assert spare_factor(*compressed(whole, 85)) in (1.5, 2.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (300, 300)], ids=str)
def test_one_colour_is_nothing_but_frame(size: tuple[int, int]) -> None:
    assert spare_factor(np.full((*size, 3), 255, np.uint8)) == 1


def test_nothing_is_said_of_what_shows_nothing() -> None:
    y, x = np.mgrid[:256, :256]
    sky = np.repeat((150 + y / 8 + x / 20)[:, :, None], 3, axis=2).astype(np.uint8)
    assert spare_factor(sky) == 1
    night = np.zeros((256, 256, 3), np.uint8)
    night[::37, ::41] = 255
    assert spare_factor(night) == 1
    assert spare_factor(blurred(night[:40, :40], 3)) == 1
