"""How noisy a picture is, without knowing the clean one.

A second difference in both directions takes smooth shading and straight edges away and leaves noise (the
mask: Immerkaer, CVIU 64, 1996). Between neighbours it sees white noise; between every second pixel also
noise that is alike in neighbours, as the grain of scanned film is and what cameras have smoothed. Small
pictures are full of texture that such masks take for noise. Two things tell noise from texture, and the one
that finds more is believed:

- Texture is much the same in all colours, and the noise of a sensor is not: the median of differences of
  colours is a robust scale (MAD; Donoho & Johnstone, Biometrika 81, 1994).
- Noise is everywhere: the smoothest parts of a picture are alike where nothing is smoother than its noise.
  So brightness is looked at where it is smoothest, and not believed where the smoothest parts differ. This
  sees noise that all colours share: in grey pictures, old prints, behind JPEG and out of phones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from upscale.metrics.luma import full_swing_luma
from upscale.metrics.pair import Pixels
from upscale.metrics.windows import blocks, windows

NORMAL_MEDIAN = 0.6745  # of |x| for a unit normal x
NORMAL_MEAN = 0.7979  # likewise
SMOOTH = 0.05  # share of the blocks that is looked at
SMOOTHER, LESS_SMOOTH = 0.02, 0.2  # shares that are compared:
COUNTS = 50, 100, 1000  # of blocks: the fewer there are, the more alike are those of texture by chance;
ALIKE = 1.0, 1.35, 1.8  # with as many, noise up to this ratio of the variances,
APART = 1.01, 1.65, 2.4  # and nothing but texture from that on
CUT_OFF = 0.25  # share of a block that is clipped or unknown; with less, noise alone may have clipped it
FEWEST = 8  # blocks that tell anything: pictures of up to 27 pixels are all texture
ENOUGH = 0.2  # share of whole blocks beside those that are cut off: of a page only the text is left

FINE, COARSE = 1, 2  # pixels from one to the next that are compared


class Texture(NamedTuple):
    """What the masks see in clean photographs, 95 of 100, as a share of full scale; taken off in squares."""

    fine: float
    coarse: float


class Caution(NamedTuple):
    """When brightness is believed.

    Attributes:
        fewest: Whole blocks that it takes.
        lenience: Factor on the limits for how much they may differ.
    """

    fewest: int
    lenience: float


COLORFUL = Caution(COUNTS[0] + 1, 1.0)
GRAY = Caution(FEWEST, 1.5)  # more such photographs are old, and grainy

IN_COLORS = Texture(1.5 / 255, 3 / 255)
IN_BRIGHTNESS = Texture(1.6 / 255, 2 / 255)
MOST = 8 / 255  # more of the coarse than that is not believed in brightness alone: grass all over is no grain
REACHED_COLORS = 0.8  # what the smoothest of the blocks shows of white noise, by chance less than there is
REACHED_BRIGHTNESS = 0.84  # likewise, their mean
UNSEEN = 1.6  # variance of grain, made by a blur of 0.7 pixels, for each unit that the coarse mask sees
WINDOW_PX = 128
MOST_WINDOWS = 64
LEVELS = 32  # of brightness, at which colours are compared
COLORED = 2.5 / 255  # root of the mean square by which colours differ there, in pictures that have any
CLIPPED = 0.04  # share of full scale near black and near white where noise is cut off

Float32 = npt.NDArray[np.float32]
Known = npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Part = tuple[Float32, Known | None]


def noise_std(pixels: Pixels, known: Known | None = None) -> float:
    """Return the standard deviation of the noise in a picture, as a share of full scale; 0 for a clean one.

    Noise of each channel is meant, whether its own or shared with the others. Photographs without noise give
    0; 3, 5 and 10 levels of 255 of white noise give about 2.6, 4.7 and 9.6; so do 4 and 8 levels of grain,
    blurred by 0.7 pixels: 2.1 and 7.4, of brightness alone 2.8 and 6.8. Of coarser grain less is seen, as of
    what JPEG has smoothed. Pictures of few pixels show noise that their channels share only if it is plain.
    It is not seen where it is so strong, or the picture so dark, that black or white cut it off nearly
    everywhere: in a third of the grey photographs with 50 levels of it.

    Args:
        pixels: [H, W, 1 or 3], uint8 or uint16.
        known: [H, W], 0 where pixels do not count, such as alpha; None where all do.
    """
    full = float(np.iinfo(pixels.dtype).max)
    parts = [
        (pixels[window].astype(np.float32) / full, None if known is None else known[window])
        for window in windows(pixels.shape, WINDOW_PX, MOST_WINDOWS)
    ]
    gray = _is_gray(np.concatenate([part.reshape(-1, part.shape[2]) for part, _ in parts]))
    bright = [(_brightness(part), counts) for part, counts in parts]
    variance = _in_brightness(bright, GRAY if gray else COLORFUL)
    return float(np.sqrt(variance if gray else max(variance, _in_colors(parts))))


def _is_gray(colors: Float32) -> bool:
    """Return whether colours [N, 1 or 3] follow from their brightness: grey, or toned as old prints are."""
    first, others = colors[:, 0], colors[:, 1:] - colors[:, :1]
    level = (first * LEVELS).astype(np.intp)
    count = np.maximum(1, np.bincount(level))
    for other in others.T:
        usual = (np.bincount(level, other) / count)[level]
        if np.sqrt(np.mean((other - usual) ** 2)) > COLORED:
            return False
    return True


def _brightness(part: Float32) -> Float32:
    """Return the brightness [h, w, 1] of a part [h, w, 1 or 3] of a picture, of the same scale."""
    return (full_swing_luma(255 * part)[:, :, None] / 255).astype(np.float32)


def _together(fine: float, coarse: float) -> float:
    """Return the variance of the noise by those that two masks see."""
    return max(0.0, fine) + UNSEEN * max(0.0, coarse - max(0.0, fine))


def _in_brightness(parts: list[Part], caution: Caution) -> float:
    """Return the variance of the noise by the smoothest blocks of brightness."""
    seen, missing = (np.concatenate(each, axis=-1) for each in zip(*map(_variances, parts), strict=True))
    seen = seen[:, missing == 0] / REACHED_BRIGHTNESS**2
    whole, cut_off = seen.shape[1], (missing >= CUT_OFF).sum()
    if whole < max(caution.fewest, ENOUGH * (whole + cut_off)):
        return 0.0
    seen = seen[:, np.argsort(seen.sum(0))]
    smoother, smooth, less_smooth = (
        seen[:, : max(1, round(share * seen.shape[1]))].mean(1) for share in (SMOOTHER, SMOOTH, LESS_SMOOTH)
    )
    fine, coarse = (smooth - np.square(IN_BRIGHTNESS)).tolist()
    ratio = less_smooth.sum() / max(smoother.sum(), 1e-12)
    limits = [caution.lenience * np.interp(whole, COUNTS, limit) for limit in (ALIKE, APART)]
    return _together(fine, min(coarse, MOST**2)) * float(np.interp(ratio, limits, (1.0, 0.0)))


def _variances(part: Part) -> tuple[Float32, Float32]:
    """Return what both masks see [2, blocks] of [h, w, 1], and how much of each block [blocks] is missing."""
    x, known = part
    seen = []
    for apart in (FINE, COARSE):
        d = _detail(x, apart, known)[0]
        start = COARSE - apart
        of_blocks = blocks(d[start : d.shape[0] - start, start : d.shape[1] - start])
        seen.append(np.square(of_blocks).mean((1, 2)))
    return np.stack(seen), np.isnan(of_blocks).mean((1, 2), dtype=np.float32)


def _in_colors(parts: list[Part]) -> float:
    """Return the variance of the noise by what differs between colours.

    That is no more than the smoother blocks show.
    """
    seen = []
    for apart in (FINE, COARSE):
        details = [_detail(part, apart, known) for part, known in parts]
        seen.append(min(_between(details), _of_blocks(details)) ** 2)
    return _together(seen[0] - IN_COLORS.fine**2, seen[1] - IN_COLORS.coarse**2)


def _between(parts: list[Float32]) -> float:
    """Return the noise by the differences of colours: the mean of red and blue, each against green."""
    red, green, blue = np.concatenate([part.reshape(3, -1) for part in parts], axis=1)
    scales = []
    for other in (red, blue):
        apart = np.abs(other - green)
        apart = apart[np.isfinite(apart)]
        if apart.size:
            scales.append(np.median(apart) / NORMAL_MEDIAN / np.sqrt(2.0))
    return float(np.mean(scales)) if scales else 0.0


def _of_blocks(parts: list[Float32]) -> float:
    """Return the noise by the smoother blocks of all channels."""
    values = np.concatenate([blocks(np.abs(channel)).mean((1, 2)) for part in parts for channel in part])
    values = values[np.isfinite(values)] / NORMAL_MEAN
    enough = len(values) >= 3 * FEWEST  # of three channels
    return float(np.percentile(values, 100 * SMOOTH)) / REACHED_COLORS if enough else 0.0


def _detail(x: Float32, apart: int, known: Known | None) -> Float32:
    """Return second differences both ways [1 or 3, h - 2 apart, w - 2 apart], of unit gain on white noise.

    Not a number where the channel is clipped, or the pixel is not known.
    """
    inside = slice(apart, -apart)
    d = x[: -2 * apart] - 2 * x[inside] + x[2 * apart :]
    d = (d[:, : -2 * apart] - 2 * d[:, inside] + d[:, 2 * apart :]) / 6
    sound = (x > CLIPPED) & (x < 1 - CLIPPED)
    if known is not None:
        sound &= known[:, :, None] > 0
    d[~sound[inside, inside]] = np.nan
    detail: Float32 = d.transpose(2, 0, 1)
    return detail
