"""Pictures between and behind the stages: resampled, on disk if they are large."""

from __future__ import annotations

import numpy as np

from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.images.resize import resize


def resized(
    pixels: Pixels,
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
    resample: str = "lanczos",
) -> Pixels:
    """Return pixels resampled as by `resize`, on disk if they are many."""
    result = scratch.empty((size[1], size[0], pixels.shape[2]), pixels.dtype)
    return resize(pixels, size, box=box, resample=resample, out=result)


def add_spread(spread: Pixels, before: Pixels) -> Pixels:
    """Return a stage's standard deviation with that of the stage before, which is as wide at its own size."""
    if before is spread:
        return spread
    before = resized(before, (spread.shape[1], spread.shape[0]), resample="bilinear")
    for rows in scratch.row_blocks(spread):
        both = np.hypot(spread[rows], before[rows], dtype=np.float32)
        spread[rows] = np.minimum(both + 0.5, np.iinfo(spread.dtype).max)
        scratch.release(spread, before)
    return spread
