"""Filling under transparent pixels."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.images.alpha import bleed
from upscale.images.resize import resize


@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans())
@settings(max_examples=80)
def test_visible_pixels_stay_and_hidden_ones_lie_between_them(width, height, seed, density, wide):
    dtype = np.uint16 if wide else np.uint8
    rng = np.random.default_rng(seed)
    color = rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)
    alpha = rng.integers(1, np.iinfo(dtype).max, (height, width), dtype, endpoint=True)
    alpha[rng.random((height, width)) > density] = 0
    before = color.copy()
    filled = bleed(color, alpha)
    assert np.array_equal(color, before)
    assert filled.dtype == dtype
    assert np.array_equal(filled[alpha > 0], color[alpha > 0])
    if (alpha > 0).any():
        visible = color[alpha > 0].astype(int)
        assert (filled >= visible.min(axis=0)).all()
        assert (filled <= visible.max(axis=0)).all()


@pytest.mark.parametrize("level", [0, 255])
def test_nothing_to_do(level):
    color = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert bleed(color, np.full((3, 3), level, np.uint8)) is color


def test_one_colour_fills_everything():
    color = np.zeros((37, 53, 3), np.uint8)
    alpha = np.zeros((37, 53), np.uint8)
    color[20, 11], alpha[20, 11] = (200, 100, 7), 1
    assert (bleed(color, alpha) == (200, 100, 7)).all()


def test_fill_is_local():
    """Beside a red and a blue object, the fill is red and blue."""
    color = np.zeros((64, 64, 3), np.uint8)
    alpha = np.zeros((64, 64), np.uint8)
    color[:, :16], color[:, 48:] = (255, 0, 0), (0, 0, 255)
    alpha[:, :16] = alpha[:, 48:] = 255
    filled = bleed(color, alpha).astype(int)
    assert (filled[:, 16, 0] > 200).all() and (filled[:, 16, 2] < 55).all()
    assert (filled[:, 47, 2] > 200).all() and (filled[:, 47, 0] < 55).all()


def test_no_dark_fringe_after_resizing():
    """A white disc on transparent black, enlarged: wherever it shows at all, it is white."""
    y, x = np.mgrid[:64, :64]
    alpha = np.where((y - 31.5) ** 2 + (x - 31.5) ** 2 < 24**2, 255, 0).astype(np.uint8)
    color = np.repeat(alpha[..., None], 3, axis=2)
    size = (200, 200)
    seen = resize(alpha[..., None], size)[..., 0] > 0
    assert resize(color, size)[seen].min() < 128  # what happens without
    assert resize(bleed(color, alpha), size)[seen].min() == 255


def test_fast():
    color = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8)
    alpha = np.zeros((1000, 1000), np.uint8)
    alpha[300:600, 300:600] = 255
    start = time.process_time()
    bleed(color, alpha)
    assert time.process_time() - start < 2  # 0.15 s; anything per pixel in Python takes far longer


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(700, 90), (333, 200)], ids=str)
def test_strips_make_the_same_picture(dtype, size, monkeypatch):
    """Holes larger than a strip and its surroundings, and single pixels."""
    width, height = size[1], size[0]
    rng = np.random.default_rng(0)
    color = rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)
    alpha = rng.integers(0, 2, (height, width)).astype(dtype)
    alpha[40 : height - 30] = 0
    alpha[height // 2, 3] = 9
    whole = bleed(color, alpha)
    monkeypatch.setattr("upscale.images.alpha.STRIP_PX", 1)
    assert np.abs(bleed(color, alpha).astype(int) - whole).max() <= 1
