"""How noisy a photo is: what the network is told, as `--denoise` counts, 0 to 1, and how much is hidden."""

from __future__ import annotations

import math
from dataclasses import replace

from upscale.images.picture import Picture, Pixels
from upscale.metrics.jpeg import luma_step
from upscale.metrics.noise import noise_std
from upscale.options import DENOISE_STD

# Of what JPEG leaves behind, as a share of full scale, for the square root of its mean luma step above that
# of the best quality. By measurement (docs/sampling.md): 0.2 of `DENOISE_STD` at quality 60.
JPEG_STD = 0.003
FINE_STEP = 2.0
SMOOTHED = 0.015  # of the noise that is left, what JPEG has taken away, for each level of its step above that
TOLD = 0.5  # of what as much noise would hide: the network knows of it, and draws well what it hides


def marked(picture: Picture) -> Picture:
    """Return a picture whose luma step is that of its pixels, where they show a coarser one than its file.

    A copy may hide more than its file says.
    """
    return replace(picture, luma_step=max(picture.luma_step, luma_step(picture.color)))


def noise_in(picture: Picture, color: Pixels) -> float:
    """Return how much noise a picture has, 0 (clean) to 1 (a std of `DENOISE_STD` or more), in hundredths.

    Behind JPEG that is what it had before: told of what is left, the network takes out less.

    Args:
        picture: With its marks, see `marked`; what is fully transparent does not count.
        color: Its colours, filled in where it is transparent.
    """
    known = picture.alpha if picture.alpha is not None and picture.alpha.any() else None
    left = noise_std(color, known)
    had = left * (1 + SMOOTHED * _step_above_finest(picture)) if left else 0.0
    return round(min(1.0, had / DENOISE_STD), 2)


def hidden_in(picture: Picture, denoise: float) -> float:
    """Return how much of a picture is hidden by what a lossy file lacks and by noise, 0 to 1.

    It counts as the noise would that hides as much as a lossy file does. The network is not told of the marks
    of JPEG and WebP: it knows them by themselves, and does better by LPIPS. Noise that it is told of hides
    less (`TOLD`).

    Args:
        picture: With its marks, see `marked`.
        denoise: How much noise is taken out of it.
    """
    marks = JPEG_STD * math.sqrt(_step_above_finest(picture))
    return min(1.0, math.hypot(TOLD * denoise, marks / DENOISE_STD))


def _step_above_finest(picture: Picture) -> float:
    """Return the mean luma step of a picture's lossy files above that of the best quality, in levels."""
    return max(0.0, picture.luma_step - FINE_STEP)


def sigma_of(denoise: float) -> float:
    """Return the std, in [-1, 1] units, that the network is told for 0 to 1."""
    return 2 * DENOISE_STD * denoise
