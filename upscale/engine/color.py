"""Colours of a result put right by those of the bicubic enlargement of its input.

`mean` moves each channel's mean over the picture. `wavelet` takes everything coarser than what the model adds
from the enlargement (Wang et al., StableSR, arXiv 2305.07015): with L the low-pass of an a-trous wavelet
decomposition, out = (x - L x) + L u = x + L (u - x). Knows nothing of models, nor of tiles: it looks at the
whole picture, in blocks, so that it needs little memory beside a second picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.images.resize import resize_rows, strips

BLOCK_PX = 1024  # side of a block, its halo not counted

Float32 = npt.NDArray[np.float32]
Fix = Callable[[Pixels, Pixels], Pixels]
"""(hr [H, W, C], lr [h, w, C], of one integer dtype) -> hr with other colours; `hr` may be written over."""


def keep(hr: Pixels, lr: Pixels) -> Pixels:
    """Return `hr` as it is."""
    return hr


def mean(hr: Pixels, lr: Pixels) -> Pixels:
    """Return `hr` with the channel means of the bicubic enlargement of `lr`, up to rounding and clipping."""
    size = (hr.shape[1], hr.shape[0])
    blocks = strips(size, (lr.shape[1], lr.shape[0]))
    off = np.zeros(hr.shape[2])
    for rows in blocks:
        off += (resize_rows(lr, size, rows, resample="bicubic") - hr[rows]).sum((0, 1), dtype=np.float64)
        scratch.release(hr, lr)
    off /= hr.shape[0] * hr.shape[1]
    for rows in blocks:
        hr[rows] = _rounded(hr[rows].astype(np.float32) + off.astype(np.float32), hr.dtype)
        scratch.release(hr)
    return hr


def wavelet(hr: Pixels, lr: Pixels) -> Pixels:
    """Return `hr` with the low frequencies of the bicubic enlargement of `lr`."""
    height, width = hr.shape[:2]
    levels = levels_for(height / lr.shape[0])
    reach = 2**levels - 1  # how far the low-pass looks: 1 + 2 + 4 + ...
    side = max(BLOCK_PX, 4 * reach)  # so that the halo is no more than what it surrounds
    result: Pixels = scratch.empty(hr.shape, hr.dtype)
    for top in range(0, height, side):
        rows = slice(max(0, top - reach), min(height, top + side + reach))
        for left in range(0, width, side):
            columns = slice(max(0, left - reach), min(width, left + side + reach))
            window, core = hr[rows, columns], np.s_[top : top + side, left : left + side]
            off = _enlarged(lr, (width, height), rows, columns)
            off -= window
            low = _low_pass(off, levels)
            inside = np.s_[top - rows.start :, left - columns.start :]
            place = result[core]
            place[...] = _rounded(hr[core] + low[inside][: place.shape[0], : place.shape[1]], hr.dtype)
        scratch.release(hr, lr, result)
    return result


FIXES: Mapping[str, Fix] = {"none": keep, "mean": mean, "wavelet": wavelet}


def levels_for(scale: float) -> int:
    """Return how many levels are left to the enlargement: log2(scale) + 3, as a picture of 4x has 5."""
    return round(math.log2(max(1.0, scale))) + 3


def _enlarged(lr: Pixels, size: tuple[int, int], rows: slice, columns: slice) -> Float32:
    """Return a window of the bicubic enlargement of `lr` to `size` (width, height)."""
    x, y = lr.shape[1] / size[0], lr.shape[0] / size[1]
    box = (columns.start * x, rows.start * y, columns.stop * x, rows.stop * y)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    return resize_rows(lr, shape, slice(0, shape[1]), box=box, resample="bicubic")


def _low_pass(values: Float32, levels: int) -> Float32:
    """Return [H, W, C] smoothed by [1 2 1] / 4 along both axes, its taps 1, 2, 4, ... pixels apart.

    Edges are repeated at each level.
    """
    for level in range(levels):
        for axis in (0, 1):
            values = _smoothed(values, 2**level, axis)
    return values


def _smoothed(values: Float32, distance: int, axis: int) -> Float32:
    """Return values smoothed along an axis by taps 1/4, 1/2, 1/4 that are `distance` pixels apart."""
    margins = [(0, 0)] * values.ndim
    margins[axis] = (distance, distance)
    padded = np.pad(values, margins, mode="edge")
    length = values.shape[axis]
    along = [slice(None)] * axis  # padded[along + [...]] cuts along the axis
    before, after = padded[(*along, slice(length))], padded[(*along, slice(-length, None))]
    smooth: Float32 = before + after
    smooth += 2 * values
    smooth /= 4
    return smooth


def _rounded(values: Float32, dtype: npt.DTypeLike) -> Pixels:
    result: Pixels = np.clip(np.rint(values, out=values), 0, np.iinfo(np.dtype(dtype)).max).astype(dtype)
    return result
