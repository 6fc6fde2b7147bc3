"""Integer pixels <-> the network's floats: the one place where this conversion is written.

Full range in, [-1, 1] inside. Decoding rounds to nearest: truncation would darken an untouched picture by
half a level. Knows nothing of files, channels or alpha.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from upscale.images.picture import Pixels


def to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return `pixels` (uint8 or uint16, any shape) as float32; 0 becomes -1, full scale becomes 1."""
    x = np.divide(pixels, _half_scale(pixels.dtype), dtype=np.float32)
    x -= 1.0
    return x


def from_float(x: npt.NDArray[np.floating], dtype: npt.DTypeLike) -> Pixels:
    """Return finite floats in [-1, 1] (any shape) as uint8 or uint16, rounded to nearest and clipped.

    For uint8 that is floor(x * 127.5 + 128), the inverse of `to_float` for each of the 256 levels.
    """
    half = _half_scale(np.dtype(dtype))
    scaled = np.multiply(x, half, dtype=np.float32)
    scaled += half + 0.5
    np.clip(scaled, 0.0, 2.0 * half, out=scaled)
    result: Pixels = scaled.astype(dtype)  # truncation is floor: nothing is negative
    return result


def _half_scale(dtype: np.dtype[Any]) -> np.float32:
    assert dtype in (np.uint8, np.uint16), dtype
    return np.float32(np.iinfo(dtype).max / 2)
