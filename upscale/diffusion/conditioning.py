"""What the denoiser is told besides the noisy image: the upsampled LR image and its augmentation.

Conditioning augmentation (CDM, arXiv 2106.15282): Gaussian noise of a known level on the LR image, in training of
random level, at use between the stages of a cascade and on noisy input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def upsample_bicubic(lr: Tensor, scale: int) -> Tensor:
    """Return [B, 3, scale H, scale W] for lr [B, 3, H, W]: Keys bicubic with a = -0.5, as Pillow's."""
    return F.interpolate(lr.float(), scale_factor=scale, mode="bicubic", antialias=True)


def level_of(sigma: float | Tensor) -> float | Tensor:
    """Return 2/pi atan(sigma), the noise level in [0, 1) of the trigonometric schedule (1 is pure noise)."""
    if isinstance(sigma, Tensor):
        return torch.atan(sigma) * (2 / math.pi)
    return 2 / math.pi * math.atan(sigma)


def augmentation_level(sigma_aug: float | Tensor) -> float | Tensor:
    """Return the level in [0, 1) that tells of conditioning noise with std `sigma_aug` ([-1, 1] units).

    Useful levels are small (0.01 to 0.2), so they are spread by a factor of 10 before the arc tangent.
    """
    return level_of(10 * sigma_aug)
