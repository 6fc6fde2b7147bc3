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

from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.images.resize import resize

P = TypeVar("P", npt.NDArray[np.uint8], npt.NDArray[np.uint16], Pixels)
Plane = npt.NDArray[np.float32]


# Large pictures are filled strip by strip of rows, below a coarse level that is made for all of them: pixels
# of it are blocks of this many pixels. What is wrong at a strip's edge reaches less far than one block.
_BLOCK = 64
_LEVELS = 6  # 2^6 is the block
STRIP_PX = 1 << 22


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
    if alpha.min() > 0 or alpha.max() == 0:
        return color
    filled = scratch.empty(color.shape, color.dtype)
    strips = _strips(*alpha.shape)
    for channel in range(color.shape[2]):  # one by one: floats of one channel at a time
        if len(strips) == 1:
            _fill_strip(color, alpha, channel, strips[0], None, filled)
            continue
        reduced = [_reduced(color, alpha, channel, rows) for rows in strips]
        values, weights = (np.concatenate([parts[i] for parts in reduced]) for i in range(2))
        coarse = _fill(values, _pyramid(weights))
        for rows in strips:
            _fill_strip(color, alpha, channel, rows, coarse, filled)
            scratch.release(color, alpha, filled)
    return filled


def _strips(height: int, width: int) -> list[slice]:
    rows = max(1, STRIP_PX // (width * _BLOCK)) * _BLOCK
    if rows >= height:
        return [slice(0, height)]
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def _pyramid(weights: Plane, levels: int | None = None) -> list[Plane]:
    """Return weights [H, W] and their sums over ever larger blocks: to one pixel, or so many levels up."""
    pyramid = [weights]
    while max(pyramid[-1].shape) > 1 and not pyramid[-1].all() if levels is None else len(pyramid) <= levels:
        pyramid.append(_sum_2x2(pyramid[-1]))
    return pyramid


def _reduced(color: Pixels, alpha: Pixels, channel: int, rows: slice) -> tuple[Plane, Plane]:
    """Return the sums of the visible values over blocks, and how many there are in each."""
    weights = (alpha[rows] > 0).astype(np.float32)
    values = color[rows, :, channel] * weights
    for _ in range(_LEVELS):
        values, weights = _sum_2x2(values), _sum_2x2(weights)
    return values, weights


def _fill_strip(
    color: Pixels, alpha: Pixels, channel: int, rows: slice, coarse: Plane | None, filled: Pixels
) -> None:
    """Write one channel of some rows of the result, below the means of all blocks if there are such."""
    around = slice(max(0, rows.start - _BLOCK), min(rows.stop + _BLOCK, len(alpha)))
    visible = alpha[around] > 0
    values = color[around, :, channel]
    pyramid = _pyramid(visible.astype(np.float32), None if coarse is None else _LEVELS)
    known = None if coarse is None else coarse[around.start // _BLOCK : -(-around.stop // _BLOCK)]
    means = _fill(values * pyramid[0], pyramid, known)
    means += np.float32(0.5)
    inner = slice(rows.start - around.start, rows.stop - around.start)
    filled[rows, :, channel] = np.where(visible[inner], values[inner], means[inner].astype(color.dtype))


def _fill(values: Plane, weights: list[Plane], coarsest: Plane | None = None) -> Plane:
    """Return weighted means [H, W] where the weight is above 0, elsewhere what the coarser level says.

    Args:
        values: [H, W] sums of weight times value.
        weights: Weights of this level [H, W] and of the coarser ones.
        coarsest: What the last level says, where that is known already.
    """
    if len(weights) == 1 and coarsest is not None:
        return coarsest
    weight = weights[0]
    known = weight > 0
    means = np.divide(values, weight, out=np.zeros_like(values), where=known)
    if len(weights) > 1:
        coarse = _fill(_sum_2x2(values), weights[1:], coarsest)
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
