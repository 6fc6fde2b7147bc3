"""How much smaller a picture could be without losing anything: what is softer than its pixels can.

Photographs that were enlarged before, scanned finer than they are sharp, or are out of focus hold no more
than a smaller copy of theirs. So a picture is made smaller and as large again, and the parts that have
something to show are compared with what they were: where the sharpest of them come back, all do.

Noise is lost in any case, however soft a picture is. How much of it, and of what kind, the smoothest parts
show: they lose little else.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from upscale.engine.plan import smaller
from upscale.images.depth import to_8_bits
from upscale.images.resize import resize
from upscale.metrics.luma import full_swing_luma
from upscale.metrics.noise import noise_std
from upscale.metrics.pair import Pixels
from upscale.metrics.windows import BLOCK_PX, blocks, windows

FACTORS = 1.5, 2.0, 3.0, 4.0
LOST = 0.12  # most that the sharpest parts may lose, of their contrast
SHARPEST = 98  # percentile of the parts: an eye in focus is a small part of a portrait
NEARBY = 1.5  # times as much of it may be lost in one window: a bird is a small part of its sky
SHOWN = 4.0  # contrast, in levels of 255, of parts that have something to show,
FLOOR = 2.0  # and what is added to it: what is hardly seen may be lost
ENOUGH = 40  # of such parts
FRAME = 12  # levels by which the pixels of a row or column of a frame differ at most: JPEG leaves marks
WINDOW_PX = 240  # a whole number of pixels after each of the factors
MOST_WINDOWS = 64
SMOOTHEST = 10  # percentile of the parts, of those that are not flat
CLIPPED = 16.0  # and are so many levels from black and from white, which cut noise off,
REACHED = 1.35  # and how much more noise there is than they show, which by chance have little
UNTOLD = 4.0  # variance of noise, in levels, that may be texture and is not told of
ABOVE_NOISE = 3.0  # contrast of parts that have something to show, in that of the noise
ROUNDING = 1 / 12  # variance of 8-bit levels,
MARKS = 0.09  # and of what JPEG has changed, for each level of its mean luma step


def spare_factor(rgb: Pixels, luma_step: float = 0.0) -> float:
    """Return one of `FACTORS` by which a picture can be made smaller and lose nothing; 1 if by none.

    Noise and the marks of JPEG do not count: they are lost in any case.

    Args:
        rgb: [H, W, 1 or 3]; uint8 or uint16, full range.
        luma_step: How coarsely JPEG has rounded it, as `Picture.luma_step`.
    """
    rgb = _unframed(rgb)
    parts = [to_8_bits(rgb[window]) for window in windows(rgb.shape, WINDOW_PX, MOST_WINDOWS)]
    of_windows = [_inner_blocks(full_swing_luma(part)) for part in parts]
    window = np.repeat(np.arange(len(parts)), [len(found) for found in of_windows])
    bright = np.concatenate(of_windows)
    variance, level = bright.var((1, 2)), bright.mean((1, 2))
    if (variance >= SHOWN**2).sum() < ENOUGH:
        return 1.0
    sound = (variance > ROUNDING) & (np.minimum(level, 255 - level) > CLIPPED)
    most = (255 * noise_std(rgb, None)) ** 2 + UNTOLD  # if all colours share it
    marks = ROUNDING + MARKS * luma_step
    spare = 1.0
    for factor in FACTORS:
        lost = np.concatenate([_inner_blocks(_lost(part, factor)).var((1, 2)) for part in parts])
        share = 1 - 1 / factor**2  # of the variance of white noise that goes with the pixels
        smooth = np.percentile(lost[sound], SMOOTHEST) if sound.any() else 0.0
        noise = np.clip(REACHED * smooth / share - marks, 0, most)
        showing = variance >= max(SHOWN**2, ABOVE_NOISE**2 * (noise + marks))
        if showing.sum() < ENOUGH:
            break
        contrast = np.sqrt(variance[showing] - noise - marks)
        by_chance = noise * np.sqrt(2 / (BLOCK_PX**2 * share))  # deviation of a part's noise from the mean
        lost = np.sqrt(np.maximum(0, lost[showing] - share * (noise + by_chance + marks)))
        lost /= contrast + FLOOR
        if np.percentile(lost, SHARPEST) > LOST or _anywhere(lost, window[showing]) > NEARBY * LOST:
            break
        spare = factor
    return spare


def _unframed(rgb: Pixels) -> Pixels:
    """Return a picture without bars and borders, whose edges are sharp however soft the photo is."""
    for _ in range(4):  # sides
        frame = itertools.takewhile(lambda row: np.ptp(to_8_bits(row), axis=0).max() <= FRAME, rgb)
        rgb = np.rot90(rgb[min(sum(1 for _ in frame), len(rgb) - 1) :])
    return rgb


def _anywhere(lost: npt.NDArray[np.float64], window: npt.NDArray[np.intp]) -> float:
    """Return what the sharpest parts lose where most is lost, of windows with enough of them."""
    each = (lost[window == index] for index in np.flatnonzero(np.bincount(window) >= ENOUGH))
    return float(max((np.percentile(found, SHARPEST) for found in each), default=0.0))


def _lost(part: npt.NDArray[np.uint8], factor: float) -> npt.NDArray[np.float64]:
    """Return what the brightness of a part loses when it is made smaller and as large again."""
    size = part.shape[1], part.shape[0]
    again = resize(resize(part, smaller(size, factor), resample="bicubic"), size, resample="bicubic")
    return full_swing_luma(part) - full_swing_luma(again)


def _inner_blocks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the blocks [N, 8, 8] of a part but for those at its borders, where less is known."""
    return blocks(x[BLOCK_PX:-BLOCK_PX, BLOCK_PX:-BLOCK_PX])
