"""Back-projection: the reduction of the result is the input, and nothing else changes more than it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.engine import consistency
from upscale.engine.consistency import TOLERANCE, make_consistent
from upscale.engine.upscaler import Upscaler
from upscale.images import resize as resizing
from upscale.images import scratch
from upscale.images.picture import Picture
from upscale.images.resize import resize

Load = Callable[..., Upscaler]
SCALES = [2, 2.5, 3, 4, 5.7, 8, 16]


def pair(
    size: tuple[int, int], scale: float, dtype: Any = np.uint8, channels: int = 3, noise: float = 0.04
) -> tuple[np.ndarray, np.ndarray]:
    """Return mid-tone pixels [h, w, C], and their enlargement with noise that is not of them."""
    rng = np.random.default_rng(1)
    full = np.iinfo(dtype).max
    lr = rng.uniform(0.3, 0.7, (size[1], size[0], channels)) * full
    target = (round(size[0] * scale), round(size[1] * scale))
    hr = resize(lr.astype(np.float32), target, resample="bicubic")
    hr = np.clip(hr + rng.normal(0, noise * full, hr.shape), 0, full)
    return lr.astype(dtype), hr.astype(dtype)


def reduced(hr: np.ndarray, lr: np.ndarray) -> np.ndarray:
    return resize(hr.astype(np.float32), (lr.shape[1], lr.shape[0]), resample="bicubic")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_reduction_is_the_input(scale: float, dtype: Any, channels: int) -> None:
    lr, hr = pair((23, 17), scale, dtype, channels)
    assert np.abs(reduced(hr, lr) - lr).max() > 2 * TOLERANCE
    left = make_consistent(hr, lr)
    found = float(np.abs(reduced(hr, lr) - lr).max())
    assert hr.dtype == dtype and found <= TOLERANCE
    assert left == pytest.approx(found, abs=0.01)


@given(st.integers(1, 12), st.integers(1, 12), st.floats(3, 9))
@settings(max_examples=25, deadline=None)
def test_any_size(width: int, height: int, scale: float) -> None:
    lr, hr = pair((width, height), scale)
    assert make_consistent(hr, lr) <= TOLERANCE


def test_at_the_same_size_it_is_the_input() -> None:
    lr, hr = pair((23, 17), 1)
    make_consistent(hr, lr)
    np.testing.assert_array_equal(hr, lr)


@pytest.mark.parametrize("scale", [1.005, 1.01, 1.03, 1.05, 1.1, 1.2])
@pytest.mark.parametrize("both", [True, False], ids=["both axes", "one axis"])
def test_hardly_enlarged_it_draws_no_moire(scale: float, both: bool) -> None:
    """What is missing of the finest detail is not made up for by more than there is of it."""
    lr, _ = pair((200, 80), 1)
    large = (round(200 * scale), round(80 * scale) if both else 160)
    hr = resize(resize(lr, (800, 320), resample="lanczos"), large, resample="lanczos")
    before, missing = hr.astype(float), reduced(hr, lr) - lr
    make_consistent(hr, lr)
    assert np.std(hr - before) < 1.7 * missing.std()
    assert (reduced(hr, lr) - lr).std() < 0.6 * missing.std()


def test_a_consistent_picture_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    lr = resize(hr, (15, 10), resample="bicubic")
    before = hr.copy()
    # Pillow's way with 8 bits rounds between its two passes: that alone may be a little above the tolerance.
    assert make_consistent(hr, lr) <= 0.75
    assert np.abs(hr.astype(int) - before).max() <= 3


def test_what_the_reduction_does_not_see_stays() -> None:
    lr, smooth = pair((24, 24), 4, noise=0)
    make_consistent(smooth, lr)
    checkers = np.indices(smooth.shape[:2]).sum(0)[:, :, None] % 2 * 20
    hr = smooth + checkers.astype(np.uint8)
    make_consistent(hr, lr)
    texture = hr.astype(int) - smooth  # the checkers' mean of 10 goes, they themselves stay
    np.testing.assert_allclose(texture[8:-8, 8:-8].reshape(-1, 3).std(), 10, atol=0.5)
    assert abs(texture[8:-8, 8:-8].mean()) < 0.3


def test_black_and_white_do_their_best() -> None:
    lr = np.zeros((12, 12, 1), np.uint8)
    lr[:, 6:] = 255
    hr = np.clip(resize(lr, (48, 48), resample="bicubic").astype(int) + 9, 0, 255).astype(np.uint8)
    before = float(np.abs(reduced(hr, lr) - lr).mean())
    make_consistent(hr, lr)
    assert np.abs(reduced(hr, lr) - lr).mean() < 0.6 * before


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_and_disk_make_the_same_picture(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lr, hr = pair((61, 47), 4, dtype)
    whole = hr.copy()
    make_consistent(whole, lr)
    monkeypatch.setattr(resizing, "STRIP_PX", 1000)
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1)
    parts = scratch.empty(hr.shape, dtype)
    parts[:] = hr
    make_consistent(parts, lr)
    assert scratch.is_mapped(parts)
    np.testing.assert_allclose(parts.astype(int), whole, atol=1)


def test_one_array_of_floats_of_the_inputs_size_is_all_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []
    real = scratch.empty
    monkeypatch.setattr(
        consistency.scratch, "empty", lambda shape, dtype: (made.append(shape), real(shape, dtype))[1]
    )
    lr, hr = pair((23, 17), 4)
    make_consistent(hr, lr)
    assert made == [lr.shape]


@pytest.mark.parametrize("scale", [4, 8])
def test_through_the_engine(scale: int, tiny: str, load: Load, draw: Callable[..., Picture]) -> None:
    picture = draw(20, 14)
    picture = Picture((picture.color // 2 + 60).astype(np.uint8))
    size = (20 * scale, 14 * scale)
    plain = load(tiny).upscale(picture, size).color
    result = load(tiny, consistency=True).upscale(picture, size).color
    assert np.abs(reduced(plain, picture.color) - picture.color).max() > TOLERANCE
    assert np.abs(reduced(result, picture.color) - picture.color).max() <= TOLERANCE
