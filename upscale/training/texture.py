"""What the surroundings of a place are made of: how much pixels differ at small distances, on average.

Patches and features are compared place by place, where a faint mesh or grain counts for little beside what
cannot be known. As local structure functions (variograms of order 1/2, with which Scheuerer and Hamill,
Monthly Weather Review 143, 2015, score how forecasts hang together) a mesh is seen as what it is: more
difference at half its period than at the whole of it. The root makes faint texture, on dark cloth or in the
sky, count about as much as strong one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 4), (4, 0))  # down and right, in pixels
WINDOW_PX, STRIDE_PX = 8, 4
SMOOTH = 6e-5  # below the root: a level of 8 bits, squared, in [-1, 1] units


def texture(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return how strong the texture of images [B, C, H, W] in [-1, 1] is every fourth pixel, and its shape.

    Returns:
        Mean roots of differences [B, C, h, w], over all lags; and those of each lag by that mean
        [B, 8 C, h, w], which tell a mesh from grain of any strength.
    """
    reach = max(max(abs(down), abs(right)) for down, right in LAGS)
    height, width = image.shape[2] - 2 * reach, image.shape[3] - 2 * reach
    here = image[:, :, reach : reach + height, reach : reach + width]
    maps = []
    for down, right in LAGS:
        top, left = reach + down, reach + right
        apart = here - image[:, :, top : top + height, left : left + width]
        maps.append(F.avg_pool2d((apart.square() + SMOOTH) ** 0.25, WINDOW_PX, STRIDE_PX))
    by_lag = torch.stack(maps, 1)  # [B, 8, C, h, w]
    strength = by_lag.mean(1)
    return strength, (by_lag / strength[:, None]).flatten(1, 2)
