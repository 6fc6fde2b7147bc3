"""Where samples of a picture disagree: their mean and standard deviation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

FULL_SPREAD = 32 / 127.5  # 32 levels of 8 bits: more is as uncertain as can be


def mean_and_spread(images: Iterable[Tensor], *, with_spread: bool) -> tuple[Tensor, Tensor | None]:
    """Return the mean of some samples, and their standard deviation from -1 (none) to 1 (`FULL_SPREAD`).

    Welford's algorithm: no more than two samples are in memory.
    """
    mean, squares, count = torch.zeros(()), torch.zeros(()), 0
    for count, image in enumerate(images, start=1):
        if count == 1:
            mean, squares = image, torch.zeros_like(image) if with_spread else squares
            continue
        off = image - mean
        mean = mean + off / count
        if with_spread:
            squares = squares.addcmul_(off, image - mean)
    if not with_spread:
        return mean, None
    return mean, squares.div_(max(1, count - 1)).sqrt_().mul_(2 / FULL_SPREAD).sub_(1)
