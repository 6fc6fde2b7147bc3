"""Pillow images <-> numpy arrays, block by block of rows.

Pillow stores RGB in four bytes per pixel and hands arrays over through one long byte string. Going by blocks
keeps that string small, so a conversion costs its result and nothing else; and the arrays are writable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

BLOCK_PX = 1 << 20

_DTYPES = {
    "L": np.uint8,
    "P": np.uint8,
    "LA": np.uint8,
    "RGB": np.uint8,
    "RGBA": np.uint8,
    "I": np.int32,
    "F": np.float32,
}


def row_blocks(width: int, height: int) -> Iterator[slice]:
    """Yield slices over the rows of a picture, each of about a megapixel."""
    rows = max(1, BLOCK_PX // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def to_array(image: Image.Image) -> npt.NDArray[Any]:
    """Return a loaded image of mode L, P, LA, RGB, RGBA, I, F or I;16* as a new array [H, W] or [H, W, C].

    The dtype is uint8, uint16 for I;16*, int32 for I, float32 for F.
    """
    width, height = image.size
    bands = len(image.getbands())
    shape = (height, width) if bands == 1 else (height, width, bands)
    pixels = np.empty(shape, np.uint16 if image.mode.startswith("I;16") else _DTYPES[image.mode])
    for rows in row_blocks(width, height):
        pixels[rows] = np.asarray(image.crop((0, rows.start, width, rows.stop)))
    return pixels


def split_alpha(image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return colour [H, W, 1 or 3] and alpha [H, W] of a loaded LA or RGBA image."""
    width, height = image.size
    color = np.empty((height, width, len(image.getbands()) - 1), np.uint8)
    alpha = np.empty((height, width), np.uint8)
    for rows in row_blocks(width, height):
        block = np.asarray(image.crop((0, rows.start, width, rows.stop)))
        color[rows] = block[..., :-1]
        alpha[rows] = block[..., -1]
    return color, alpha


def to_image(pixels: npt.NDArray[Any]) -> Image.Image:
    """Return pixels as a Pillow image. They may be shared: neither side may be written to afterwards.

    Args:
        pixels: [H, W], [H, W, 1] or [H, W, 3] uint8 (mode L or RGB), [H, W] or [H, W, 1] uint16 (I;16) or
            float32 (F).
    """
    plane = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    plane = np.ascontiguousarray(plane)
    if plane.dtype == np.uint16:  # Image.fromarray makes I;16 or I of it, by Pillow's version
        size = (plane.shape[1], plane.shape[0])
        return Image.frombuffer("I;16", size, plane.astype("<u2", copy=False), "raw", "I;16", 0, 1)
    return Image.fromarray(plane)
