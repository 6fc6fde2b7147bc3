"""Peak signal-to-noise ratio on luma."""

from __future__ import annotations

import math

import numpy as np

from upscale.metrics.luma import luma
from upscale.metrics.pair import Pixels, float_pair

_PEAK = 255.0


def psnr_y(a: Pixels, b: Pixels, *, border: int = 0) -> float:
    """Return 10 log10(255^2 / MSE) in dB of the BT.601 luma, the figure that super-resolution papers print.

    Luma is studio swing (16 to 235, as MATLAB's rgb2ycbcr), not rounded, and the peak is 255 all the same:
    that is the papers' convention, and gives 1.3 dB more than full-swing luma would. Infinity for equal
    pictures.

    Args:
        a: [H, W, 3] RGB or grey, values 0 to 255.
        b: Like `a`; the order does not matter.
        border: Pixels to leave out on each side (papers on scale s take s).

    Raises:
        InputError: The shapes differ, or nothing is left inside the border.
    """
    one, other = float_pair(a, b, border)
    mse = float(np.mean(np.square(luma(one) - luma(other))))
    return math.inf if mse == 0 else 10 * math.log10(_PEAK**2 / mse)
