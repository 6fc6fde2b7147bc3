"""The Y channel that super-resolution papers score on."""

from __future__ import annotations

import numpy as np

from upscale.metrics.pair import Float64, Pixels

# ITU-R BT.601, studio swing, as MATLAB's rgb2ycbcr has them for R, G, B from 0 to 255.
_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0
BLACK, WHITE = 16.0, 235.0


def luma(rgb: Pixels) -> Float64:
    """Return Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, which is 16 for black and 235 for white.

    The value is not rounded to integers (MATLAB rounds for uint8 input, the common Python scoring code does
    not).

    Args:
        rgb: [H, W, 3], values 0 to 255; or [H, W] / [H, W, 1] grey, taken as R = G = B.

    Returns:
        [H, W] float64.
    """
    if rgb.ndim == 2:
        rgb = rgb[:, :, None]
    assert rgb.ndim == 3 and rgb.shape[2] in (1, 3), rgb.shape
    pixels = np.broadcast_to(rgb.astype(np.float64), (*rgb.shape[:2], 3))
    return BLACK + pixels @ _WEIGHTS


def full_swing_luma(rgb: Pixels) -> Float64:
    """Return Y as JPEG files have it (JFIF): that of `luma`, but 0 for black and 255 for white."""
    return (luma(rgb) - BLACK) * (255 / (WHITE - BLACK))
