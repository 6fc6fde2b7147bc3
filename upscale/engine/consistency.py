"""Back-projection: the nearest picture whose reduction is the input (DDNM, arXiv 2212.00490, section 3.2).

With D Pillow's antialiased bicubic reduction to the input's size, U its bicubic enlargement and y the input,

    x <- x + U (D U)^-1 (y - D x)

is what x <- x + U (y - D x) converges to: D x = y. D U acts on rows and columns one after the other, and each
of its pixels depends on the four around it at most, so it is undone exactly by a banded solution along either
axis. Along one that is hardly enlarged D U loses the finest detail: undone, what differs there would grow to
a moire, so there D U is left in. Clipping to the range of the pixels and rounding undo a little, so it is
done a few times. Knows nothing of models. Beside the pictures it holds strips of rows and one array of floats
of the input's size, which is on disk if large.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.images.resize import resize_rows, strips

LEAST_UNDONE = 1.25  # factor along an axis from which D U is undone
TOLERANCE = 0.5  # levels: as near as whole numbers come
PASSES = 6
REACH = 4  # pixels of the input that D U looks to either side: two of each filter

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def make_consistent(hr: Pixels, lr: Pixels) -> float:
    """Change a picture, as little as may be, so that its reduction is the input.

    Args:
        hr: [H, W, C] of uint8 or uint16, changed in place.
        lr: [h, w, C] of the same dtype, h <= H, w <= W.

    Returns:
        The largest difference that is left between the input and the reduction, in levels. It is at most
        `TOLERANCE` unless many pixels are black or white, or the factor is so small (below 3) that rounding
        the result shows in its reduction.
    """
    (height, width), (h, w) = hr.shape[:2], lr.shape[:2]
    assert hr.dtype == lr.dtype and hr.shape[2] == lr.shape[2] and h <= height and w <= width
    down, across = _inverse(h, height), _inverse(w, width)
    missing: Float32 = scratch.empty(lr.shape, np.float32)
    left = _subtract_reduction(hr, lr, missing)
    for _ in range(PASSES):
        if left <= TOLERANCE:
            break
        if down:
            down.solve(missing)
        if across:
            for rows in scratch.row_blocks(missing):
                across.solve(missing[rows].swapaxes(0, 1))
                scratch.release(missing)
        _add_enlarged(hr, missing)
        left = _subtract_reduction(hr, lr, missing)
    return left


def _subtract_reduction(hr: Pixels, lr: Pixels, out: Float32) -> float:
    """Put y - D x into `out` [h, w, C] and return the largest of its absolute values."""
    size = (lr.shape[1], lr.shape[0])
    largest = 0.0
    for rows in strips(size, (hr.shape[1], hr.shape[0])):
        np.subtract(lr[rows], resize_rows(hr, size, rows, resample="bicubic"), out=out[rows])
        largest = max(largest, float(np.abs(out[rows]).max()))
        scratch.release(hr, lr, out)
    return largest


def _add_enlarged(hr: Pixels, lr: Float32) -> None:
    """Add U lr to `hr`, rounded and clipped."""
    size = (hr.shape[1], hr.shape[0])
    full = np.iinfo(hr.dtype).max
    for rows in strips(size, (lr.shape[1], lr.shape[0])):
        values = resize_rows(lr, size, rows, resample="bicubic")
        values += hr[rows]
        hr[rows] = np.clip(np.rint(values, out=values), 0, full, out=values)
        scratch.release(hr, lr)


def _inverse(small: int, large: int) -> _Inverse | None:
    """Return (D U)^-1 along an axis of `small` pixels enlarged to `large`; None where it is left out."""
    return _Inverse(small, large) if large >= LEAST_UNDONE * small else None


class _Inverse:
    """(D U)^-1 along one axis: a banded LU factorisation.

    The eigenvalues of D U are 0.47 to 1 from a factor of 1.25 on: no need of pivots. At 1.1 the least is 0.3,
    at 1.01 0.04.
    """

    def __init__(self, small: int, large: int) -> None:
        """Factorise for `small` pixels that are enlarged to `large`."""
        bands = _bands(small, large)  # row i holds the entries (i, i - REACH) to (i, i + REACH)
        for i in range(small):
            for m in range(min(REACH, i), 0, -1):  # eliminate (i, i - m), the farthest first
                factor = bands[i, REACH - m] / bands[i - m, REACH]
                bands[i, REACH - m + 1 : 2 * REACH - m + 1] -= factor * bands[i - m, REACH + 1 :]
                bands[i, REACH - m] = factor
        self._bands = bands.astype(np.float32)

    def solve(self, values: Float32) -> None:
        """Solve along the first axis, in place."""
        bands, n = self._bands, len(values)
        for i in range(1, n):
            for m in range(1, min(REACH, i) + 1):
                values[i] -= bands[i, REACH - m] * values[i - m]
        for i in range(n - 1, -1, -1):
            for m in range(1, min(REACH, n - 1 - i) + 1):
                values[i] -= bands[i, REACH + m] * values[i + m]
            values[i] /= bands[i, REACH]


def _bands(small: int, large: int) -> Float64:
    """Return the diagonals of D U along one axis, [small, 2 REACH + 1]; 0 beyond the matrix.

    Combs whose teeth are too far apart to meet show all columns at once.
    """
    period = 2 * REACH + 1
    rows = np.arange(small)
    combs = (rows[:, None] % period == np.arange(period)).astype(np.float32)[None]  # [1, small, period]
    images = _line(_line(combs, large), small)[0]  # [small, period]
    columns = rows[:, None] + np.arange(-REACH, REACH + 1)
    bands = np.take_along_axis(images, columns % period, axis=1).astype(np.float64)
    return np.where((columns >= 0) & (columns < small), bands, 0.0)


def _line(values: Float32, width: int) -> Float32:
    """Return a line [1, n, C] resampled to `width` pixels."""
    return resize_rows(values, (width, 1), slice(0, 1), resample="bicubic")
