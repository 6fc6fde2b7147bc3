"""How noisy a picture is, without knowing the clean one.

A second difference in both directions takes smooth shading and straight edges away and leaves noise; the
median of its magnitude is a robust scale (MAD; Donoho & Johnstone, Biometrika 81, 1994; the mask: Immerkaer,
CVIU 64, 1996). Between neighbours it sees white noise; between every second pixel also noise that is alike
in neighbours, as the grain of scanned film is and what cameras have smoothed. Small pictures are full of
texture that such a mask takes for noise. But texture is much the same in all colours and the noise of a
sensor is not, so in colour pictures the mask looks at differences of colours; and noise is everywhere, also
in the smoother parts, so no more is believed than those show. Pictures without colour, grey or toned, have
only their smoothest blocks to judge by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from upscale.metrics.pair import Pixels
from upscale.metrics.windows import windows

NORMAL_MEDIAN = 0.6745  # of |x| for a unit normal x
NORMAL_MEAN = 0.7979  # likewise
BLOCK_PX = 8


class Mask(NamedTuple):
    """A second difference.

    Attributes:
        apart: How many pixels lie between those that are compared.
        texture: What clean photographs reach, 95 of 100, as a share of full scale; taken off in squares.
        gray_texture: Likewise grey ones.
        gray_most: More than that is not believed of grey ones: gravel and grass all over are no grain.
    """

    apart: int
    texture: float
    gray_texture: float
    gray_most: float = 1.0


class Smooth(NamedTuple):
    """The smoother blocks of a picture.

    Attributes:
        percent: How many of all blocks are smoother than the one that is looked at.
        reached: What that block shows of white noise, by chance less than there is.
    """

    percent: float
    reached: float


FINE = Mask(1, 1.5 / 255, 2 / 255)
COARSE = Mask(2, 3 / 255, 3 / 255, 8 / 255)
UNSEEN = 1.6  # variance of grain, made by a blur of 0.7 pixels, for each unit that the coarse mask sees
SMOOTH = Smooth(5.0, 0.8)
GRAY_SMOOTH = Smooth(2.0, 0.75)
LEVELS = 32  # of brightness, at which colours are compared
COLORED = 2.5 / 255  # root of the mean square by which colours differ there, in pictures that have any
WINDOW_PX = 128
MOST_WINDOWS = 64
CLIPPED = 0.04  # share of full scale near black and near white where noise is cut off

Float32 = npt.NDArray[np.float32]
Known = npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def noise_std(pixels: Pixels, known: Known | None = None) -> float:
    """Return the standard deviation of the noise in a picture, as a share of full scale; 0 for a clean one.

    Noise of each channel by itself is meant; what JPEG has smoothed is hardly seen. Photographs without noise
    give 0, and 2, 5 and 10 levels of 255 of white noise give about 1.5, 4.8 and 9.9: rather too little than
    too much. So do grain of 4 and 8 levels, blurred by 0.7 pixels: 2.5 and 7.6. Of coarser one less is seen.

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
    if gray:
        parts = [(part[:, :, :1], counts) for part, counts in parts]
    fine, coarse = (_seen_by(mask, parts, gray) ** 2 for mask in (FINE, COARSE))
    return float(np.sqrt(fine + UNSEEN * max(0.0, coarse - fine)))


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


def _seen_by(mask: Mask, parts: list[tuple[Float32, Known | None]], gray: bool) -> float:
    """Return the noise by one mask; parts are [h, w, 1 or 3], with what counts of them."""
    details = [_detail(part, mask.apart, known) for part, known in parts]
    if gray:
        found, texture, most = _of_blocks(details, GRAY_SMOOTH), mask.gray_texture, mask.gray_most
    else:
        found, texture, most = min(_of_colors(details), _of_blocks(details, SMOOTH)), mask.texture, 1.0
    return float(min(most, np.sqrt(max(0.0, found**2 - texture**2))))


def _of_colors(parts: list[Float32]) -> float:
    """Return the noise by what differs between colours: the mean of red against green and blue against."""
    red, green, blue = np.concatenate([part.reshape(3, -1) for part in parts], axis=1)
    scales = []
    for other in (red, blue):
        apart = np.abs(other - green)
        apart = apart[np.isfinite(apart)]
        if apart.size:
            scales.append(np.median(apart) / NORMAL_MEDIAN / np.sqrt(2.0))
    return float(np.mean(scales)) if scales else 0.0


def _of_blocks(parts: list[Float32], smooth: Smooth) -> float:
    """Return the noise by the smoother blocks of all channels."""
    scales = []
    for part in parts:
        height, width = (side // BLOCK_PX * BLOCK_PX for side in part.shape[1:])
        blocks = np.abs(part[:, :height, :width])
        blocks = blocks.reshape(len(part), height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).mean(
            (2, 4)
        )
        scales.append(blocks.ravel() / NORMAL_MEAN)
    values = np.concatenate(scales)
    values = values[np.isfinite(values)]
    return float(np.percentile(values, smooth.percent)) / smooth.reached if values.size else 0.0


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
