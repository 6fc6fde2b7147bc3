"""Where samples of a picture disagree: their mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

FULL_SPREAD = 32 / 127.5  # 32 levels of 8 bits: more is as uncertain as can be


def mean_and_spread(
    images: Iterable[Tensor], *, with_spread: bool, reduced_by: tuple[float, float] = (1.0, 1.0)
) -> tuple[Tensor, Tensor | None]:
    """Return the mean of some samples, and their standard deviation from -1 (none) to 1 (`FULL_SPREAD`).

    Welford's algorithm: no more than two samples are in memory.

    Args:
        images: [N, C, H, W] each.
        with_spread: Whether the standard deviation is of interest.
        reduced_by: How many times narrower and lower the picture is made next. Fine grain that differs goes
            with that: the standard deviation is that of the smaller picture, at the larger one's pixels.
    """
    mean, squares, count = torch.zeros(()), torch.zeros(()), 0
    for count, image in enumerate(images, start=1):
        if count == 1:
            mean, squares = image, torch.zeros_like(image) if with_spread else squares
            continue
        off = image - mean
        mean = mean + off / count
        if with_spread:
            off = _seen_smaller(off, reduced_by)
            squares = squares.addcmul_(off, off, value=1 - 1 / count)
    if not with_spread:
        return mean, None
    return mean, squares.div_(max(1, count - 1)).sqrt_().mul_(2 / FULL_SPREAD).sub_(1)


def _seen_smaller(x: Tensor, by: tuple[float, float]) -> Tensor:
    """Return x [N, C, H, W] without what Lanczos's reduction takes out of it; edges are repeated."""
    for axis, factor in enumerate(by):
        if factor <= 1:
            continue
        reach = math.ceil(3 * factor) - 1
        place = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) / factor
        taps = torch.sinc(place) * torch.sinc(place / 3)
        kernel = (taps / taps.sum()).expand(x.shape[1], 1, 1, -1)
        margins = (reach, reach, 0, 0)
        if axis == 1:
            kernel, margins = kernel.mT, (0, 0, reach, reach)
        x = F.conv2d(F.pad(x, margins, mode="replicate"), kernel, groups=x.shape[1])
    return x
