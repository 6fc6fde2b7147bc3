"""How noisy a picture is, without knowing the clean one.

A second difference in both directions takes smooth shading and straight edges away and leaves noise; the
median of its magnitude is a robust scale (MAD; Donoho & Johnstone, Biometrika 81, 1994; the mask: Immerkaer,
CVIU 64, 1996). Small pictures are full of texture that such a mask takes for noise. But texture is much the
same in all colours and the noise of a sensor is not, so in colour pictures the mask looks at differences of
colours; and noise is everywhere, also in the smoother parts, so no more is believed than those show. Grey
pictures have only their smoothest blocks to judge by.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscale.metrics.pair import Pixels
from upscale.metrics.windows import windows

NORMAL_MEDIAN = 0.6745  # of |x| for a unit normal x
NORMAL_MEAN = 0.7979  # likewise
# What clean photographs reach, 95 of 100, as a share of full scale; taken off in squares.
TEXTURE = 1.5 / 255
GRAY_TEXTURE = 2.5 / 255
BLOCK_PX = 8
SMOOTH = 25.0  # percent of the blocks of a colour picture that count as its smoother parts
SMOOTHEST = 5.0  # percent of the blocks that grey ones are judged by
WINDOW_PX = 128
MOST_WINDOWS = 64
CLIPPED = 0.04  # share of full scale near black and near white where noise is cut off

Float32 = npt.NDArray[np.float32]
Known = npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def noise_std(pixels: Pixels, known: Known | None = None) -> float:
    """Return the standard deviation of the noise in a picture, as a share of full scale; 0 for a clean one.

    White noise of each channel by itself is meant; what JPEG has smoothed is hardly seen. Photographs without
    noise give 0, and 2, 5 and 10 levels of 255 give about 1.4, 4.6 and 9.5: rather too little than too much.

    Args:
        pixels: [H, W, 1 or 3], uint8 or uint16.
        known: [H, W], 0 where pixels do not count, such as alpha; None where all do.
    """
    full = float(np.iinfo(pixels.dtype).max)
    parts = [
        _detail(pixels[window].astype(np.float32) / full, None if known is None else known[window])
        for window in windows(pixels.shape, WINDOW_PX, MOST_WINDOWS)
    ]
    if all(_is_gray(part) for part in parts):
        found, texture = _of_blocks([part[:1] for part in parts], SMOOTHEST), GRAY_TEXTURE
    else:
        found, texture = min(_of_colors(parts), _of_blocks(parts, SMOOTH)), TEXTURE
    return float(np.sqrt(max(0.0, found**2 - texture**2)))


def _is_gray(part: Float32) -> bool:
    return all(np.array_equal(part[0], channel, equal_nan=True) for channel in part[1:])


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


def _of_blocks(parts: list[Float32], percent: float) -> float:
    """Return the noise by the smoother blocks of each channel."""
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
    return float(np.percentile(values, percent)) if values.size else 0.0


def _detail(x: Float32, known: Known | None) -> Float32:
    """Return second differences both ways [1 or 3, h - 2, w - 2], of unit gain on white noise.

    Not a number where the channel is clipped, or the pixel is not known.
    """
    d = x[:-2] - 2 * x[1:-1] + x[2:]
    d = (d[:, :-2] - 2 * d[:, 1:-1] + d[:, 2:]) / 6
    sound = (x > CLIPPED) & (x < 1 - CLIPPED)
    if known is not None:
        sound &= known[:, :, None] > 0
    d[~sound[1:-1, 1:-1]] = np.nan
    detail: Float32 = d.transpose(2, 0, 1)
    return detail
