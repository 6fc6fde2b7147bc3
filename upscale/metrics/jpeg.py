"""How coarsely JPEG has rounded a picture, by its pixels: what no file says of a copy saved otherwise.

What JPEG has rounded to multiples of a step stays near them when the picture is decoded: the cosine transform
of its blocks of 8x8 pixels shows the steps (Fan and de Queiroz, IEEE Transactions on Image Processing 12(2),
2003). A step is believed when coefficients that are not 0 keep to its multiples far better than chance would
have them, and a picture's when those of several frequencies agree on one quality. Blocks are looked for where
JPEG begins them, at the top left: cutting, turning or resizing a picture hides its steps.
"""

from __future__ import annotations

import math

import numpy as np

from upscale.metrics.luma import full_swing_luma
from upscale.metrics.pair import Float64, Pixels
from upscale.metrics.windows import BLOCK_PX, blocks, windows

# Steps of luma in ITU-T T.81, table K.1, [down, across]; quality scales them all, to at most `COARSEST`.
TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
COARSEST = 255
LOOKED_AT = (0, 0, 1, 2, 1, 0, 0, 1, 2, 3), (0, 1, 0, 0, 1, 2, 3, 2, 1, 0)  # frequencies, down and across
NOISE = 0.35  # std of a coefficient whose pixels were rounded to whole levels, in luma and in each colour
KEPT = 0.75  # of the score that this noise leaves
NEXT = 0.85  # steps from so much of the largest on may be it: few multiples of it keep to theirs as well
SURE = 4.0  # standard deviations above what coefficients anywhere would score
AGREEING = 4  # frequencies that have to agree,
APART = 1.6  # to within this factor
WINDOW_PX = 64
MOST_WINDOWS = 64

_N = np.arange(BLOCK_PX)
# Row k is the k-th function of the orthonormal DCT-II.
_COSINES = np.cos((2 * _N + 1) * _N[:, None] * math.pi / (2 * BLOCK_PX)) / 2
_COSINES[0] /= math.sqrt(2)


def luma_step(pixels: Pixels) -> float:
    """Return the mean step of the luma table that JPEG has rounded a picture with, 0 where none is seen.

    As `Picture.luma_step` counts: 46 for quality 60 of libjpeg, 12 for 90. Finer steps are not seen, nor are
    those of a JPEG in which a coarser one has been saved again: then the step is the coarser one.

    Args:
        pixels: [H, W, 1 or 3], uint8 or uint16.
    """
    coefficients = _coefficients(pixels)
    steps = np.array([_step(of_frequency) for of_frequency in coefficients.T])
    scales = (steps / TABLE[LOOKED_AT])[steps > 0]
    if len(scales) < AGREEING:
        return 0.0
    scale = float(np.median(scales))
    agreeing = (scales > scale / APART) & (scales < scale * APART)
    return float(np.minimum(scale * TABLE, COARSEST).mean()) if agreeing.sum() >= AGREEING else 0.0


def _step(coefficients: Float64) -> int:
    """Return the largest step whose multiples coefficients [N] keep to, 0 for none.

    The score of a step is the mean cosine of their phases: 1 for multiples, and for coefficients anywhere
    0 with a variance of 1 / (2 N). Of the largest steps near each other it is the one with the best score.
    """
    size = np.sort(np.abs(coefficients))
    steps = np.arange(2, COARSEST + 1)
    counts = len(size) - np.searchsorted(size, steps / 2, side="right")  # others are rounded to 0
    steps = steps[counts >= SURE**2 / 2]  # the first of them: the coarser, the fewer
    counts = counts[: len(steps)]
    coarse = size > steps[:, None] / 2
    scores = np.cos(2 * math.pi / steps[:, None] * size).sum(1, where=coarse) / counts
    left = np.exp(-2 * (math.pi * NOISE / steps) ** 2)
    kept = (scores > KEPT * left) & (scores * np.sqrt(2 * counts) > SURE)
    near = kept & (steps >= NEXT * steps.max(initial=0, where=kept))
    return int(steps[near][(scores / left)[near].argmax()]) if near.any() else 0


def _coefficients(pixels: Pixels) -> Float64:
    """Return the cosine transform of blocks of JPEG's luma [N, frequencies `LOOKED_AT`].

    Blocks with clipped colours are left out: their luma is another than what was decoded.
    """
    full = np.iinfo(pixels.dtype).max
    found = [np.empty((0, BLOCK_PX, BLOCK_PX))]
    for window in windows(pixels.shape, WINDOW_PX, MOST_WINDOWS):
        part = pixels[window]
        sound = (blocks(part.min(axis=2)) > 0) & (blocks(part.max(axis=2)) < full)
        y = full_swing_luma(part * (255 / full)) - 128
        found.append(blocks(y)[sound.all(axis=(1, 2))])
    whole = _COSINES @ np.concatenate(found) @ _COSINES.T
    return np.asarray(whole[:, *LOOKED_AT])
