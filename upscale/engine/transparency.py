"""What the model makes of alpha, held to what interpolation is sure of."""

from __future__ import annotations

import numpy as np

from upscale.engine.resample import resized
from upscale.images import scratch
from upscale.images.picture import Pixels


def varies(alpha: Pixels) -> bool:
    """Return whether alpha is more than one level."""
    return bool(alpha.min() != alpha.max())


def interpolated(alpha: Pixels, size: tuple[int, int]) -> Pixels:
    """Return alpha [H, W] at (width, height), by bicubic interpolation."""
    return resized(alpha[:, :, None], size, resample="bicubic")[:, :, 0]


def keep_extremes(alpha: Pixels, smooth: Pixels) -> Pixels:
    """Return alpha, made fully transparent or opaque wherever plain interpolation says so."""
    full = np.iinfo(alpha.dtype).max
    for rows in scratch.row_blocks(alpha):
        sure = (smooth[rows] == 0) | (smooth[rows] == full)
        np.copyto(alpha[rows], smooth[rows], where=sure)
        scratch.release(alpha, smooth)
    return alpha
