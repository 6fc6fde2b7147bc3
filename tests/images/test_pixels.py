"""Integers to floats and back: no level may move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale.images.depth import to_8_bits
from upscale.images.pixels import from_float, to_float


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_comes_back(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    x = to_float(levels)
    assert x.dtype == np.float32
    assert (x[0], x[-1]) == (-1.0, 1.0)
    back = from_float(x, dtype)
    assert back.dtype == dtype
    assert np.array_equal(back, levels)


def test_out_of_range_is_clipped():
    assert from_float(np.array([-9.0, -1.01, 1.01, 9.0]), np.uint8).tolist() == [0, 0, 255, 255]
    assert from_float(np.array([-9.0, 9.0]), np.uint16).tolist() == [0, 65535]


@given(st.floats(-1, 1), st.sampled_from([np.uint8, np.uint16]))
def test_rounds_to_nearest(value, dtype):
    full = np.iinfo(dtype).max
    exact = (value + 1) / 2 * full
    assert abs(int(from_float(np.array([value]), dtype)[0]) - exact) <= 0.5 + 0.01  # float32 in 16 bits


def test_8_bit_rule_is_the_documented_one():
    x = np.linspace(-1, 1, 4001)
    assert np.array_equal(
        from_float(x, np.uint8), np.clip(np.floor(x * 127.5 + 128), 0, 255).astype(np.uint8)
    )


def test_input_is_not_changed():
    x = np.array([0.25, -0.5], np.float32)
    from_float(x, np.uint8)
    assert x.tolist() == [0.25, -0.5]


def test_16_bits_to_8_rounds_to_nearest():
    levels = np.arange(65536).astype(np.uint16)
    assert np.array_equal(to_8_bits(levels), np.floor(levels / 257 + 0.5).astype(np.uint8))
    assert np.array_equal(to_8_bits((np.arange(256) * 257).astype(np.uint16)), np.arange(256))
