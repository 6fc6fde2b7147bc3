"""Cores cover the picture once; windows give each its halo, and the picture's own border."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.engine.tiles import Box, Tiling

tilings = st.builds(
    Tiling,
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    multiple_of=st.sampled_from([1, 2, 3, 8, 16]),
    halo_px=st.integers(0, 40),
)


def covered(tiling: Tiling, cores: list[Box]) -> np.ndarray:
    width, height = tiling.padded
    count = np.zeros((height, width), np.int32)
    for core in cores:
        count[core.top : core.bottom, core.left : core.right] += 1
    return count


@settings(deadline=None, max_examples=60)
@given(tiling=tilings, tile_px=st.integers(8, 200), smaller=st.integers(4, 100))
def test_cores_partition_the_padded_picture(tiling: Tiling, tile_px: int, smaller: int) -> None:
    cores = tiling.cores(tile_px)
    assert (covered(tiling, cores) == 1).all()
    most = max(tile_px, tiling.multiple_of)
    for core in cores:
        assert 0 < core.width <= most and 0 < core.height <= most
        assert all(edge % tiling.multiple_of == 0 for edge in (core.left, core.top, core.right, core.bottom))
        assert core.within(*tiling.size).area > 0  # no tile is all padding
    assert sum(core.within(*tiling.size).area for core in cores) == tiling.size[0] * tiling.size[1]
    split = [part for core in cores for part in tiling.split(core, smaller)]
    assert (covered(tiling, split) == 1).all()


@settings(deadline=None, max_examples=60)
@given(tiling=tilings, tile_px=st.integers(4, 200))
def test_windows_hold_the_halo_or_end_at_the_border(tiling: Tiling, tile_px: int) -> None:
    width, height = tiling.padded
    assert width - tiling.size[0] < tiling.multiple_of and height - tiling.size[1] < tiling.multiple_of
    for core in tiling.cores(tile_px):
        window = tiling.window(core)
        assert window.left == 0 or core.left - window.left >= tiling.halo_px
        assert window.top == 0 or core.top - window.top >= tiling.halo_px
        assert window.right == width or window.right - core.right >= tiling.halo_px
        assert window.bottom == height or window.bottom - core.bottom >= tiling.halo_px
        assert window.left >= 0 and window.top >= 0 and window.right <= width and window.bottom <= height
        assert window.width % tiling.multiple_of == 0 and window.height % tiling.multiple_of == 0


def test_sizes_are_evened_out() -> None:
    """Not 256 and 44: small leftovers waste the halo around them."""
    assert [core.width for core in Tiling((300, 1), 1, 0).cores(256)] == [150, 150]


def test_a_box_on_a_finer_grid() -> None:
    box = Box(1, 2, 4, 8).times(4)
    assert (box.left, box.top, box.width, box.height, box.area) == (4, 8, 12, 24, 288)
    assert box.within(10, 100) == Box(4, 8, 10, 32)
