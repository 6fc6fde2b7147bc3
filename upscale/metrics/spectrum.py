"""How much fine texture a picture has beside other photographs: a look that needs no original.

The power of photographs falls with the spatial frequency as f^-alpha, alpha near 2 (Field, "Relations between
the statistics of natural images and the response properties of cortical cells", JOSA A 4(12), 1987). So what
an enlargement has below the small picture's limit, 1/(2 scale) cycles per pixel, foretells how much there
should be above. It does not say whether it is the right texture, nor whether it is in the right place.
"""

from __future__ import annotations

import numpy as np

from upscale.errors import InputError
from upscale.metrics.luma import luma
from upscale.metrics.pair import Float64, Pixels

OCTAVES_BELOW = 3.0  # of the small picture's frequencies that the law is fitted to
LEAST_PX = 4  # below, the window is nothing but border
NOTHING = 1e-9  # of power: what rounding leaves of a picture of one colour
HIGHEST = 0.45  # cycles per pixel; beyond, the corners of files and of interpolation are
PER_OCTAVE = 4


def texture_surplus_db(pixels: Pixels, scale: float) -> float:
    """Return how much power lies above the small picture's limit, beside what photographs would have there.

    Means over octaves in dB: 0 is as in a photograph with the same large structures, below that it is too
    smooth, above too grainy. Single photographs are within some 3 dB of 0; compare means over several.

    Args:
        pixels: The result, [H, W, 3] RGB or grey, values 0 to 255.
        scale: How many times it was enlarged, above 1.

    Raises:
        InputError: It is too small for that scale, or has no structures at all.
    """
    height, width = pixels.shape[:2]
    refusal = InputError(f"{width}x{height} pixels, {scale:g} times enlarged, say nothing of a spectrum.")
    if min(height, width) < LEAST_PX:
        raise refusal
    limit = 0.5 / scale
    frequency, power = radial_power(luma(pixels))
    known = (frequency >= limit / 2**OCTAVES_BELOW) & (frequency < limit)
    new = (frequency >= limit) & (frequency < HIGHEST)
    if known.sum() < 3 or not new.any() or power[known].min() < NOTHING:
        raise refusal
    levels = 10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny))
    falling = np.polyfit(np.log2(frequency[known]), levels[known], 1)
    return float(np.mean(levels[new] - np.polyval(falling, np.log2(frequency[new]))))


def radial_power(plane: Float64) -> tuple[Float64, Float64]:
    """Return (frequency in cycles per pixel, mean power at it), a quarter of an octave apart.

    Args:
        plane: [H, W], at least `LEAST_PX` on both sides. A Hann window keeps its borders, which do not fit
            together, out of it.
    """
    height, width = plane.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    flat = plane - np.average(plane, weights=window)
    power = np.abs(np.fft.rfft2(flat * window)) ** 2
    at = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    inside = at >= 2 / min(height, width)  # below, the window's own shape is all there is
    bins = np.floor(np.log2(at[inside]) * PER_OCTAVE).astype(int)
    first = bins.min()
    counts = np.bincount(bins - first)
    some = counts > 0
    sums = np.bincount(bins - first, weights=power[inside])
    frequency = 2 ** ((np.flatnonzero(some) + first + 0.5) / PER_OCTAVE)
    return frequency, sums[some] / counts[some]
