"""What the denoiser is told besides the noisy image: the upsampled LR image and its augmentation.

Conditioning augmentation (CDM, arXiv 2106.15282): Gaussian noise of a known level on the LR image, in
training of random level, at use between the stages of a cascade and on noisy input.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.denoiser import trigonometric_level


def upsample_bicubic(lr: Tensor, scale: int) -> Tensor:
    """Return [B, 3, scale H, scale W] for lr [B, 3, H, W]: Keys bicubic with a = -0.5, as Pillow's."""
    lr = lr.float()
    try:
        return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True)
    except NotImplementedError:  # on Apple GPUs, by torch 2.6
        return F.interpolate(lr.cpu(), scale_factor=scale, mode="bicubic", antialias=True).to(lr.device)


def augmentation_level(sigma_aug: float) -> float:
    """Return the level in [0, 1) that tells of conditioning noise, std `sigma_aug` in [-1, 1] units.

    Useful levels are small (0.01 to 0.2), so they are spread by a factor of 10 on the way to the schedule's
    time.
    """
    return trigonometric_level(10 * sigma_aug)
