"""Resizing arrays: Pillow is the oracle where it has the mode; elsewhere all dtypes must agree."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from upscale.images import arrays
from upscale.images.resize import RESAMPLERS, resize

DTYPES = [np.uint8, np.uint16, np.float32]


def random_pixels(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def unit(pixels):
    """Any dtype as float in [0, 1]."""
    return pixels / (1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)


@pytest.mark.parametrize("resample", RESAMPLERS)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_uint8_is_pillow(channels, mode, resample):
    pixels = random_pixels((17, 23, channels), np.uint8)
    expected = Image.fromarray(pixels.squeeze()).resize(
        (31, 9), RESAMPLERS[resample], (1.5, 2.25, 20.0, 16.5)
    )
    result = resize(pixels, (31, 9), box=(1.5, 2.25, 20.0, 16.5), resample=resample)
    assert expected.mode == mode
    assert np.array_equal(result, np.asarray(expected).reshape(9, 31, channels))


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4),
    st.sampled_from(DTYPES),
)  # fmt: skip
@settings(max_examples=60)
def test_shape_and_dtype(width, height, new_width, new_height, channels, dtype):
    result = resize(random_pixels((height, width, channels), dtype), (new_width, new_height))
    assert result.shape == (new_height, new_width, channels)
    assert result.dtype == dtype
    result[0] = 0  # writable


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(DTYPES), st.floats(0, 1))
@settings(max_examples=40)
def test_constant_stays_constant(width, height, dtype, level):
    value = level if dtype == np.float32 else round(level * np.iinfo(dtype).max)
    pixels = np.full((height, width, 3), value, dtype)
    np.testing.assert_allclose(resize(pixels, (17, 5)), pixels[0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("resample", ["bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(7, 5), (61, 47)])
def test_dtypes_agree(resample, size):
    fine = random_pixels((21, 29, 3), np.uint16) // 3 + 20000  # Pillow also clips 8 bits between its passes
    coarse = (fine >> 8).astype(np.uint8)
    reference = np.clip(unit(resize(unit(coarse).astype(np.float32), size, resample=resample)), 0, 1)
    assert np.abs(unit(resize(coarse, size, resample=resample)) - reference).max() < 2 / 255
    reference = np.clip(resize(unit(fine).astype(np.float32), size, resample=resample), 0, 1)
    assert np.abs(unit(resize(fine, size, resample=resample)) - reference).max() < 1 / 65535


def test_same_size_changes_nothing():
    for dtype in DTYPES:
        pixels = random_pixels((11, 13, 3), dtype)
        np.testing.assert_allclose(resize(pixels, (13, 11)), pixels, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_box_beyond_the_edge_repeats_it(dtype, channels):
    pixels = random_pixels((20, 30, channels), dtype)
    padded = np.pad(pixels, ((0, 3), (0, 2), (0, 0)), mode="edge")
    box = (0.0, 0.0, 31.5, 22.25)
    assert np.array_equal(resize(pixels, (19, 14), box=box), resize(padded, (19, 14), box=box))


@pytest.mark.parametrize("margin", [(5.0, 0.0), (0.0, 4.5)])
def test_box_beyond_one_edge(margin):
    pixels = random_pixels((8, 9, 3), np.uint8)
    padded = np.pad(pixels, ((0, ceil(margin[1])), (0, ceil(margin[0])), (0, 0)), mode="edge")
    box = (0.0, 0.0, 9 + margin[0], 8 + margin[1])
    assert np.array_equal(resize(pixels, (4, 4), box=box), resize(padded, (4, 4), box=box))


def test_rounding_noise_in_a_box_is_not_beyond_the_edge():
    pixels = random_pixels((8, 9, 3), np.uint8)
    assert np.array_equal(resize(pixels, (5, 4), box=(0, 0, 9 + 1e-9, 8 + 1e-9)), resize(pixels, (5, 4)))


def test_views_and_blocks(monkeypatch):
    """Arrays that are not contiguous, and pictures of several blocks, come out like any other."""
    pixels = random_pixels((40, 50, 3), np.uint8)
    whole = resize(pixels, (70, 60), box=(0, 0, 52, 41))
    monkeypatch.setattr(arrays, "BLOCK_PX", 130)
    assert np.array_equal(resize(pixels, (70, 60), box=(0, 0, 52, 41)), whole)
    flipped = pixels[::-1, :, ::-1]
    assert np.array_equal(resize(flipped, (70, 60)), resize(flipped.copy(), (70, 60)))


@pytest.mark.parametrize("resample", RESAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(33, 31), (140, 171)], ids=["smaller", "larger"])
def test_strips_make_the_same_picture(resample, dtype, size, monkeypatch):
    pixels = random_pixels((90, 70, 3), dtype)
    if dtype == np.uint8:  # Pillow clips 8 bits between its passes, whose order depends on the sizes
        pixels = pixels // 3 + 80
    box = (0.0, 0.5, 71.25, 92.75)
    whole = resize(pixels, size, box=box, resample=resample)
    monkeypatch.setattr("upscale.images.resize.STRIP_PX", 900)
    out = np.empty_like(whole)
    assert resize(pixels, size, box=box, resample=resample, out=out) is out
    difference = np.abs(unit(out) - unit(whole))
    # Pillow takes boxes as float32: where a strip lies is known a little better than in the whole picture.
    assert difference.max() <= (2.01 / 255 if dtype == np.uint8 else 1e-4)
