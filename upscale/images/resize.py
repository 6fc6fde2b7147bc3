"""Resampling of pixel arrays, by Pillow's filters (antialiased when shrinking).

8-bit grey and RGB go through Pillow's native modes; 16-bit and float channels one by one through its float
mode. Large pictures are done strip by strip of rows: beside the two arrays no more than a strip is held, and
those on disk take no memory.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscale.images import arrays, scratch
from upscale.images.picture import Pixels

P = TypeVar("P", npt.NDArray[np.uint8], npt.NDArray[np.uint16], Pixels, npt.NDArray[np.float32])

RESAMPLERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


# How many pixels beyond its centre a filter of Pillow looks, on the coarser of the two grids.
_SUPPORT = {"nearest": 1.0, "box": 0.5, "bilinear": 1.0, "hamming": 1.0, "bicubic": 2.0, "lanczos": 3.0}
STRIP_PX = 1 << 22  # of the larger side of the two; a picture of no more is done in one go


def resize(
    pixels: P,
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
    resample: str = "lanczos",
    out: P | None = None,
) -> P:
    """Return `pixels` resampled to `size`.

    Args:
        pixels: [H, W, C] of uint8, uint16 or float32.
        size: (width, height) in pixels of the result.
        box: (left, top, right, bottom) in pixels of `pixels`, fractional, that is mapped onto the result; it
            may exceed the picture at the right and the bottom, where the edge pixels are repeated. None: all
            of it.
        resample: A name in `RESAMPLERS`.
        out: Where the result goes, of its shape and dtype; None makes a new array in memory.

    Returns:
        [height, width, C] of the same dtype. Integers are rounded to nearest and clipped; floats may
        overshoot.
    """
    shape = (size[1], size[0], pixels.shape[2])
    result = np.empty(shape, pixels.dtype) if out is None else out
    assert result.shape == shape and result.dtype == pixels.dtype, (result.shape, shape)
    for rows in strips(size, (pixels.shape[1], pixels.shape[0]), box):
        resize_rows(pixels, size, rows, box=box, resample=resample, out=result[rows])
        scratch.release(pixels, result)
    return result


def resize_rows(
    pixels: npt.NDArray[Any],
    size: tuple[int, int],
    rows: slice,
    *,
    box: tuple[float, float, float, float] | None = None,
    resample: str = "lanczos",
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Return some rows of what `resize` returns, in float32 unless `out` says otherwise.

    Args:
        pixels: As for `resize`.
        size: Likewise, of the whole result.
        rows: Which of its rows.
        box: As for `resize`.
        resample: Likewise.
        out: Where they go, [rows, width, C] of the dtype of `pixels` or float32; None makes a new array.

    Returns:
        [rows, width, C] in the units of `pixels`; floats are neither rounded nor clipped.
    """
    height, width, channels = pixels.shape
    assert min(width, height, channels, *size) >= 1, (pixels.shape, size)
    left, top, right, bottom = box if box is not None else (0.0, 0.0, float(width), float(height))
    assert 0 <= left < right and 0 <= top < bottom, box
    margin = (_beyond(right, width), _beyond(bottom, height))
    right, bottom = min(right, width + margin[0]), min(bottom, height + margin[1])
    pitch = (bottom - top) / size[1]
    reach = _SUPPORT[resample] * max(1.0, pitch) + 1
    start, stop = top + rows.start * pitch, top + rows.stop * pitch
    first = max(0, math.floor(start - reach))
    last = min(height + margin[1], math.ceil(stop + reach))
    strip = _extended(pixels[first : min(last, height)], (margin[0], max(0, last - height)))
    part = (left, start - first, right, min(stop, bottom) - first)
    result = np.empty((rows.stop - rows.start, size[0], channels), np.float32) if out is None else out
    _resample(strip, part, resample, result)
    return result


def strips(
    size: tuple[int, int],
    source: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> list[slice]:
    """Return slices over the rows of a result of `size`, resized from `source` (both (width, height)).

    Each touches about `STRIP_PX` pixels on the larger side.
    """
    pitch = (source[1] if box is None else box[3] - box[1]) / size[1]
    rows = max(1, int(STRIP_PX / max(size[0], source[0] * pitch)))
    return [slice(first, min(first + rows, size[1])) for first in range(0, size[1], rows)]


def _resample(
    pixels: npt.NDArray[Any], box: tuple[float, float, float, float], resample: str, out: npt.NDArray[Any]
) -> None:
    """Fill `out` [h, w, C] with the box of `pixels` [H, W, C]."""
    size = (out.shape[1], out.shape[0])

    def resampled(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return arrays.to_array(arrays.to_image(plane).resize(size, RESAMPLERS[resample], box))

    if out.dtype == pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        out[...] = resampled(pixels).reshape(out.shape)
        return
    for channel in range(pixels.shape[2]):
        plane = pixels[..., channel]
        if out.dtype == pixels.dtype == np.uint8:
            out[..., channel] = resampled(plane)
            continue
        values = resampled(plane.astype(np.float32, copy=False))
        if out.dtype == np.uint16:
            values += np.float32(0.5)
            np.clip(values, 0, 65535, out=values)
        out[..., channel] = values  # truncates for uint16: that is the floor of value + 0.5


def _beyond(edge: float, side: int) -> int:
    """Return by how many whole pixels a box edge lies beyond the side; rounding noise does not count."""
    return max(0, math.ceil(edge - side - 1e-6))


def _extended(pixels: npt.NDArray[Any], margin: tuple[int, int]) -> npt.NDArray[Any]:
    """Return pixels `margin` (right, bottom) larger, the last ones repeated."""
    if margin == (0, 0):
        return pixels
    return np.pad(pixels, ((0, margin[1]), (0, margin[0]), (0, 0)), mode="edge")
