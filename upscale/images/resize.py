"""Resampling of pixel arrays, by Pillow's filters (antialiased when shrinking).

8-bit grey and RGB go through Pillow's native modes; 16-bit and float channels one by one through its float
mode, so no more than one channel is ever held as floats beside the pixels.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscale.images import arrays
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


def resize(
    pixels: P,
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
    resample: str = "lanczos",
) -> P:
    """Return `pixels` resampled to `size`.

    Args:
        pixels: [H, W, C] of uint8, uint16 or float32.
        size: (width, height) in pixels of the result.
        box: (left, top, right, bottom) in pixels of `pixels`, fractional, that is mapped onto the result; it
            may exceed the picture at the right and the bottom, where the edge pixels are repeated. None: all
            of it.
        resample: A name in `RESAMPLERS`.

    Returns:
        [height, width, C] of the same dtype. Integers are rounded to nearest and clipped; floats may
        overshoot.
    """
    height, width, channels = pixels.shape
    assert min(width, height, channels, *size) >= 1, (pixels.shape, size)
    left, top, right, bottom = box if box is not None else (0.0, 0.0, float(width), float(height))
    assert 0 <= left < right and 0 <= top < bottom, box
    margin = (_beyond(right, width), _beyond(bottom, height))
    right, bottom = min(right, width + margin[0]), min(bottom, height + margin[1])

    def resampled(plane: npt.NDArray[Any]) -> Image.Image:
        image = _extended(plane, margin)
        return image.resize(size, RESAMPLERS[resample], (left, top, right, bottom))

    if pixels.dtype == np.uint8 and channels in (1, 3):
        return arrays.to_array(resampled(pixels)).reshape(size[1], size[0], channels)
    result = np.empty((size[1], size[0], channels), pixels.dtype)
    for channel in range(channels):
        plane = pixels[..., channel]
        if pixels.dtype == np.uint8:
            result[..., channel] = arrays.to_array(resampled(plane))
            continue
        values = arrays.to_array(resampled(plane.astype(np.float32, copy=False)))
        if pixels.dtype == np.uint16:
            values += np.float32(0.5)
            np.clip(values, 0, 65535, out=values)
        result[..., channel] = values  # truncates for uint16: that is the floor of value + 0.5
    return result


def _beyond(edge: float, side: int) -> int:
    """Return by how many whole pixels a box edge lies beyond the side; rounding noise does not count."""
    return max(0, math.ceil(edge - side - 1e-6))


def _extended(plane: npt.NDArray[Any], margin: tuple[int, int]) -> Image.Image:
    """Return the plane as an image, `margin` (right, bottom) pixels larger, its last pixels repeated."""
    if margin == (0, 0):
        return arrays.to_image(plane)
    height, width = plane.shape[:2]
    size = (width + margin[0], height + margin[1])
    image = Image.new(arrays.to_image(plane[:1, :1]).mode, size)
    for rows in arrays.row_blocks(width, height):  # not np.pad: that would be one more copy of all pixels
        image.paste(arrays.to_image(plane[rows]), (0, rows.start))
    if margin[0]:
        column = image.crop((width - 1, 0, width, height))
        image.paste(column.resize((margin[0], height), Image.Resampling.NEAREST), (width, 0))
    if margin[1]:
        row = image.crop((0, height - 1, size[0], height))
        image.paste(row.resize((size[0], margin[1]), Image.Resampling.NEAREST), (0, height))
    return image
