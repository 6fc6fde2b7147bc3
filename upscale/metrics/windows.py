"""Windows all over a picture, and blocks of 8x8 pixels.

A megapixel says enough about a picture, and large ones may lie on disk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

Window = tuple[slice, slice]
BLOCK_PX = 8


def windows(shape: Sequence[int], px: int, most: int) -> list[Window]:
    """Return windows of an array [H, W, ...], at most `most`, in rows and columns spread evenly over it.

    Each is `px` pixels a side, at the far borders at least 3 where there are so many.
    """
    tops, lefts = (range(0, max(1, side - 2), px) for side in shape[:2])
    thinner = max(1.0, math.sqrt(len(tops) * len(lefts) / most))
    rows = max(1, min(most, round(len(tops) / thinner)))
    columns = min(len(lefts), most // rows)
    rows = min(len(tops), most // columns)
    return [
        (slice(top, top + px), slice(left, left + px))
        for top in _spread(tops, rows)
        for left in _spread(lefts, columns)
    ]


def _spread(places: range, count: int) -> list[int]:
    """Return so many of the places, each in the middle of an equal part of them."""
    return [places[(2 * i + 1) * len(places) // (2 * count)] for i in range(count)]


def blocks(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the whole blocks [N, 8, 8] of an array [H, W]."""
    rows, columns = (side // BLOCK_PX for side in x.shape)
    x = x[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns, BLOCK_PX)
    return x.swapaxes(1, 2).reshape(-1, BLOCK_PX, BLOCK_PX)
