"""Colour under fully transparent pixels.

What a file stores there is arbitrary (mostly black), and every filter or network mixes it into its
neighbours: the dark fringe around cut-outs. It is replaced by the colour of the nearest visible pixels with
the push-pull pyramid of Gortler et al., The Lumigraph (1996), section 3.4: average what is known down to one
pixel, then fill each level from the coarser one. A constant number of passes per pixel, whatever the shape.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from upscale.images.picture import Pixels
from upscale.images.resize import resize

P = TypeVar("P", npt.NDArray[np.uint8], npt.NDArray[np.uint16], Pixels)
Plane = npt.NDArray[np.float32]


def bleed(color: P, alpha: P) -> P:
    """Return `color` with the pixels of alpha 0 filled from their visible neighbours.

    Args:
        color: [H, W, C] uint8 or uint16, not premultiplied.
        alpha: [H, W] of the same dtype, 0 is transparent.

    Returns:
        [H, W, C] of the same dtype. Pixels with alpha above 0 are untouched; filled ones lie between the
        smallest and the largest visible value of their channel. The very same array where there is nothing to
        fill, or nothing to fill from.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return color
    weights = [np.logical_not(hidden).astype(np.float32)]
    while max(weights[-1].shape) > 1 and not weights[-1].all():
        weights.append(_sum_2x2(weights[-1]))
    filled = color.copy()
    for channel in range(color.shape[2]):  # one by one: floats of one channel at a time
        values = color[..., channel] * weights[0]
        filled[..., channel][hidden] = _fill(values, weights)[hidden] + np.float32(0.5)
    return filled


def _fill(values: Plane, weights: list[Plane]) -> Plane:
    """Return weighted means [H, W] where the weight is above 0, elsewhere what the coarser level says.

    Args:
        values: [H, W] sums of weight times value.
        weights: Weights of this level [H, W] and of the coarser ones.
    """
    weight = weights[0]
    known = weight > 0
    means = np.divide(values, weight, out=np.zeros_like(values), where=known)
    if len(weights) > 1:
        coarse = _fill(_sum_2x2(values), weights[1:])
        height, width = values.shape
        finer = resize(
            coarse[..., None], (width, height), box=(0, 0, width / 2, height / 2), resample="bilinear"
        )
        np.copyto(means, finer[..., 0], where=~known)
    return means


def _sum_2x2(plane: Plane) -> Plane:
    """Return the sums [ceil(H/2), ceil(W/2)] over blocks of 2x2 pixels; outside counts as 0."""
    height, width = plane.shape
    result = np.zeros(((height + 1) // 2, (width + 1) // 2), np.float32)
    for y in range(2):
        for x in range(2):
            part = plane[y::2, x::2]
            result[: part.shape[0], : part.shape[1]] += part
    return result
