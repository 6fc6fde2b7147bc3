"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment, IEEE TIP 13(4), 2004)."""

from __future__ import annotations

import numpy as np

from upscale.errors import InputError
from upscale.metrics.luma import luma
from upscale.metrics.pair import Float64, Pixels, float_pair

_SIZE = 11  # window side in pixels; with sigma 1.5 as in the paper, section III-C
_SIGMA = 1.5
_PEAK = 255.0
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2


def ssim_y(a: Pixels, b: Pixels, *, border: int = 0) -> float:
    """Return the mean SSIM of the BT.601 luma (16 to 235, peak 255), -1 to 1; 1 for equal pictures.

    Only windows that lie wholly inside the picture count, and variances are the Gaussian-weighted ones
    without small-sample correction: the authors' own program and the papers after it do so.

    Args:
        a: [H, W, 3] RGB or grey, values 0 to 255, at least 11 pixels on both sides inside the border.
        b: Like `a`; the order does not matter.
        border: Pixels to leave out on each side (papers on scale s take s).

    Raises:
        InputError: The shapes differ, or the picture is smaller than the window.
    """
    one, other = float_pair(a, b, border)
    if min(one.shape[:2]) < _SIZE:
        raise InputError(
            f"SSIM needs {_SIZE} pixels on both sides, the picture has {one.shape[1]}x{one.shape[0]}.",
            hint="Take a larger picture or a smaller border.",
        )
    x, y = luma(one), luma(other)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mean_x**2
    var_y = _window_mean(y * y) - mean_y**2
    cov = _window_mean(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * cov + _C2)  # equation (13), numerator
    return float(np.mean(likeness / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))))


def _window_mean(x: Float64) -> Float64:
    """Return the Gaussian-weighted mean of each full window, [H - 10, W - 10]."""
    offsets = np.arange(_SIZE) - _SIZE // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = x.shape[0] - _SIZE + 1, x.shape[1] - _SIZE + 1
    rows = np.zeros((height, x.shape[1]))
    for k, weight in enumerate(weights):
        rows += weight * x[k : k + height]
    mean = np.zeros((height, width))
    for k, weight in enumerate(weights):
        mean += weight * rows[:, k : k + width]
    return mean
