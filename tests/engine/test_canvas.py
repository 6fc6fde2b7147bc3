"""Tiles come together: cores side by side, or windows blended into one mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.engine.canvas import Blended, SideBySide, ramps
from upscale.engine.tiles import Tiling
from upscale.images.pixels import from_float

tilings = st.builds(
    Tiling,
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    multiple_of=st.sampled_from([1, 2, 8]),
    halo_px=st.integers(0, 20),
)

Kind = type[SideBySide] | type[Blended]


def fill(kind: Kind, tiling: Tiling, tile_px: int, picture: np.ndarray) -> np.ndarray:
    """Cut a picture [H, W, 3] into tiles and put them together again."""
    hr = np.full((*tiling.size[::-1], 3), 99, np.uint8)
    canvas = kind(hr)
    cores = tiling.cores(tile_px)
    for core, following in zip(cores, [*cores[1:], None], strict=True):
        window = tiling.window(core)
        canvas.place(picture[window.top : window.bottom, window.left : window.right], window, core)
        if following is not None:
            canvas.settle(tiling.window(following).top)
    canvas.finish()
    return hr


@pytest.mark.parametrize("kind", [SideBySide, Blended])
@settings(deadline=None, max_examples=40)
@given(tiling=tilings, tile_px=st.integers(4, 100))
def test_tiles_that_agree_give_the_picture(kind: Kind, tiling: Tiling, tile_px: int) -> None:
    width, height = tiling.padded
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = levels.astype(np.float32) / 127.5 - 1
    result = fill(kind, tiling, tile_px, picture)
    assert np.array_equal(result, levels[: tiling.size[1], : tiling.size[0]])


def test_a_single_tile_is_kept_to_the_bit() -> None:
    picture = np.random.default_rng(0).uniform(-1.2, 1.2, (32, 48, 3)).astype(np.float32)
    assert np.array_equal(
        fill(Blended, Tiling((48, 32), 2, 8), 100, picture), from_float(picture, np.dtype(np.uint8))
    )


@pytest.mark.parametrize("kind", [SideBySide, Blended])
def test_tiles_that_disagree(kind: Kind) -> None:
    """Two tiles of -0.5 and 0.5 meet in a step, or in a ramp without one."""
    tiling = Tiling((64, 4), 1, 8)
    hr = np.zeros((4, 64, 3), np.uint16)
    canvas = kind(hr)
    for core, value in zip(tiling.cores(32), (-0.5, 0.5), strict=True):
        window = tiling.window(core)
        canvas.place(np.full((window.height, window.width, 3), value, np.float32), window, core)
    canvas.finish()
    row = hr[1, :, 0] / 65535 * 2 - 1
    assert np.allclose(row[:24], -0.5, atol=1e-4) and np.allclose(row[40:], 0.5, atol=1e-4)
    largest_step = np.diff(row).max()
    if kind is SideBySide:
        assert largest_step == pytest.approx(1, abs=1e-4)
    else:
        assert np.allclose(row[24:40], (np.arange(16) + 0.5) / 16 - 0.5, atol=1e-4)
        assert largest_step == pytest.approx(1 / 16, abs=1e-4)


@given(halo_before=st.integers(0, 30), core=st.integers(1, 40), halo_after=st.integers(0, 30))
def test_weights_are_never_0(halo_before: int, core: int, halo_after: int) -> None:
    weights = ramps(0, halo_before, halo_before + core, halo_before + core + halo_after)
    assert weights.shape == (halo_before + core + halo_after,)
    assert weights.min() > 0 and weights.max() <= 1
    if not halo_before:
        assert weights[0] == 1 or halo_after


def test_weights_of_neighbours_sum_to_one() -> None:
    one, other = ramps(0, 0, 32, 40), ramps(24, 32, 64, 64)
    assert np.allclose(one[24:] + other[:16], 1)


@pytest.mark.parametrize("kind", [SideBySide, Blended])
def test_grey_is_the_mean_of_the_channels(kind: Kind) -> None:
    tiling = Tiling((5, 3), 1, 0)
    (core,) = tiling.cores(8)
    hr = np.zeros((3, 5, 1), np.uint8)
    canvas = kind(hr)
    canvas.place(np.broadcast_to(np.float32([-1, 0, 1]), (3, 5, 3)), core, core)
    canvas.finish()
    assert (hr == 128).all()
