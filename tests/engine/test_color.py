"""Colours are put right, texture is left alone, blocks do not show, and three stages keep the brightness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from upscale.engine import color
from upscale.engine.color import FIXES, levels_for
from upscale.engine.upscaler import Upscaler
from upscale.images import scratch
from upscale.images.picture import Picture
from upscale.images.resize import resize
from upscale.options import COLOR_FIXES

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]
REAL = tuple(name for name in FIXES if name != "none")


def shifted(
    draw: Draw, dtype: Any = np.uint8, channels: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an input, its enlargement with texture, and the same with a cast that varies slowly."""
    full = np.iinfo(dtype).max
    lr = (draw(40, 30, channels, dtype).color // 2 + full // 4).astype(dtype)
    texture = np.indices((120, 160)).sum(0)[:, :, None] % 2 * 0.04 - 0.02
    good = resize(lr, (160, 120), resample="bicubic") + texture * full
    cast = np.linspace(0.02, 0.06, 160)[:, None] * np.array([1.0, -1.0, 0.5])[:channels] * full
    return lr, good.round().astype(dtype), (good + cast).round().astype(dtype)


def test_the_options_name_them_all() -> None:
    assert tuple(FIXES) == COLOR_FIXES[1:]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_they_undo(dtype: Any, channels: int, draw: Draw) -> None:
    lr, good, bad = shifted(draw, dtype, channels)
    full = np.iinfo(dtype).max
    wrong = np.abs(bad.astype(float) - good).max((0, 1)) / full
    by_mean = FIXES["mean"](bad.copy(), lr)
    assert by_mean.dtype == dtype
    smooth = resize(lr.astype(np.float32), (160, 120), resample="bicubic")
    np.testing.assert_allclose(by_mean.mean((0, 1)), smooth.mean((0, 1)), atol=0.5 * full / 255)
    by_wavelet = FIXES["wavelet"](bad.copy(), lr)
    assert by_wavelet.dtype == dtype
    left = np.abs(by_wavelet.astype(float) - good) / full
    assert (left.max((0, 1)) < 0.3 * wrong).all() and left.mean() < 0.1 * wrong.mean()


@pytest.mark.parametrize("name", FIXES)
def test_good_colours_stay(name: str, draw: Draw) -> None:
    lr, good, _ = shifted(draw)
    np.testing.assert_allclose(FIXES[name](good.copy(), lr).astype(int), good, atol=1)


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (3, 5)])
@pytest.mark.parametrize("name", FIXES)
def test_tiny_pictures(name: str, size: tuple[int, int]) -> None:
    lr = np.full((size[1], size[0], 3), 100, np.uint8)
    hr = np.full((size[1] * 4, size[0] * 4, 3), 110, np.uint8)
    assert (FIXES[name](hr, lr) == (110 if name == "none" else 100)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blocks_and_disk_do_not_show(dtype: Any, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    full = np.iinfo(dtype).max
    lr = rng.integers(0, full, (67, 81, 3)).astype(dtype)
    hr = rng.integers(0, full, (201, 243, 3)).astype(dtype)
    whole = FIXES["wavelet"](hr, lr)
    monkeypatch.setattr(color, "BLOCK_PX", 1)
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1)
    parts = FIXES["wavelet"](hr, lr)
    assert scratch.is_mapped(parts)
    np.testing.assert_allclose(parts.astype(int), whole, atol=1)


def test_levels_follow_the_scale() -> None:
    assert [levels_for(scale) for scale in (1, 2, 4, 8, 64)] == [3, 4, 5, 6, 9]


@pytest.mark.parametrize("name", REAL)
def test_through_the_engine(name: str, load: Load, draw: Draw, make_model: Callable[..., Any]) -> None:
    """A model that says what it needs gets it; `none` is heard."""
    picture = draw(20, 14)
    model = str(make_model(color_fix=name))
    plain = load(model, color_fix="none").upscale(picture, (80, 56)).color
    fixed = load(model).upscale(picture, (80, 56)).color
    assert load(model).settings.color_fix == name
    np.testing.assert_array_equal(fixed, FIXES[name](plain, picture.color))


def test_three_stages_keep_the_brightness(load: Load, draw: Draw) -> None:
    picture = draw(8, 8)
    picture = Picture((picture.color // 2 + 60).astype(np.uint8))  # where nothing is clipped
    smooth = resize(picture.color, (512, 512), resample="bicubic")
    result = load("sr3-photo-4x", steps=2).upscale(picture, (512, 512)).color
    np.testing.assert_allclose(result.mean(), smooth.mean(), atol=0.5)
    np.testing.assert_allclose(result.mean((0, 1)), smooth.mean((0, 1)), atol=1.0)  # of 64 pixels
