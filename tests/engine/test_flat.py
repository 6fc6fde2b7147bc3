"""Flat areas come out as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from upscale import Upscaler
from upscale.engine.flat import NEAR, RAMP, flatness, flatten_
from upscale.engine.tiles import Box, Tiling
from upscale.images.picture import Picture

Load = Callable[..., Upscaler]
GROUND = 200


def page(dtype: type = np.uint8, channels: int = 3) -> Picture:
    """One colour, with a drawing in the upper left corner."""
    color = np.full((40, 48, channels), GROUND, np.uint8)
    color[2:9, 3:12] = np.random.default_rng(0).integers(0, 256, (7, 9, channels))
    return Picture(color.astype(dtype) * (257 if dtype is np.uint16 else 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile_px", [32, 64])
def test_ground_keeps_its_colour(tile_px: int, channels: int, dtype: type, tiny: str, load: Load) -> None:
    picture = page(dtype, channels)
    result = load(tiny, tile_px=tile_px).upscale(picture, (192, 160)).color
    far = NEAR + RAMP + 1
    assert (result[4 * (9 + far) :] == picture.color[-1, -1]).all()
    assert (result[:, 4 * (12 + far) :] == picture.color[-1, -1]).all()
    assert (result[8:36, 12:48] != picture.color[-1, -1]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_samples_do_not_differ_there(dtype: torch.dtype, tiny: str, load: Load) -> None:
    upscaler = load(tiny, samples=2, map_uncertainty=True)
    torch.set_default_dtype(dtype)  # as a program may that uses this as a library
    try:
        made = upscaler.upscale(page(), (192, 160)).uncertainty
    finally:
        torch.set_default_dtype(torch.float32)
    assert made is not None and made[8:36, 12:48].any() and not made[4 * 20 :].any()


def test_coarse_jpeg_is_not_taken_for_flat(tiny: str, load: Load) -> None:
    upscaler = load(tiny, denoise=0.5)
    fine, coarse = (replace(page(), luma_step=step) for step in (29.0, 46.0))  # quality 75 and 60
    ground = np.s_[4 * 20 :]
    assert (upscaler.upscale(fine, (192, 160)).color[ground] == GROUND).all()
    assert (upscaler.upscale(coarse, (192, 160)).color[ground] != GROUND).any()


def drawn_on(lr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a network might make of it, before and after."""
    height, width = lr.shape[:2]
    image = np.random.default_rng(1).uniform(-1, 1, (4 * height, 4 * width, 3)).astype(np.float32)
    result = image.copy()
    flatten_(result, None, lr, Box(0, 0, width, height))
    return image, result


def test_what_differs_by_one_level_is_drawn() -> None:
    lr = np.full((30, 30, 3), 7, np.uint8)
    lr[15, 15, 2] = 8
    image, result = drawn_on(lr)
    near = NEAR - RAMP
    drawn = np.s_[4 * (15 - near) : 4 * (16 + near), 4 * (15 - near) : 4 * (16 + near)]
    assert np.array_equal(result[drawn], image[drawn]) and not np.array_equal(result, image)


def test_a_picture_that_is_flat_nowhere_is_let_through() -> None:
    image, result = drawn_on(np.random.default_rng(2).integers(0, 256, (20, 20, 3), np.uint8))
    assert np.array_equal(image, result)


@pytest.mark.parametrize("halo", [0, 3, 8])
def test_tiles_see_beyond_their_windows(halo: int) -> None:
    lr = page().color
    _, whole = drawn_on(lr)
    image, _ = drawn_on(lr)
    tiling = Tiling((48, 40), 1, halo)
    for core in tiling.cores(16):
        window = tiling.window(core)
        rows, columns = slice(4 * window.top, 4 * window.bottom), slice(4 * window.left, 4 * window.right)
        tile = image[rows, columns].copy()
        flatten_(tile, None, lr, window)
        assert np.array_equal(tile, whole[rows, columns])


def test_flatness() -> None:
    generator = np.random.default_rng(3)
    lr = np.full((50, 60, 3), 9, np.uint8)
    lr[tuple(generator.integers(0, 50, (2, 8)))] = 8
    lr[40:, 30:] = 77
    share = flatness(lr)
    assert 0 < share.mean() < 1

    def is_one_colour(y: int, x: int, reach: int) -> bool:
        around = lr[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        return bool((around == lr[y, x]).all())

    for y, x in product(range(50), range(60)):
        assert share[y, x] == 1 or not is_one_colour(y, x, NEAR + RAMP + 1)
        assert share[y, x] < 1 or is_one_colour(y, x, NEAR + RAMP)
        assert share[y, x] == 0 or is_one_colour(y, x, NEAR - RAMP)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2)])
def test_small_pictures(size: tuple[int, int]) -> None:
    assert (flatness(np.full((*size, 3), 5, np.uint8)) == 1).all()
