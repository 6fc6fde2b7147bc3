"""Noise of sensors and of film, and noise that a network is told of."""

from __future__ import annotations

import torch
from torch import Tensor

from upscale.training.examples.blurs import blur


def sensor_noise(x: Tensor, read: Tensor, shot: Tensor, gray: Tensor, generator: torch.Generator) -> Tensor:
    """Return x [B, C, H, W] in [-1, 1] with signal-dependent Gaussian noise.

    Args:
        x: The images.
        read: [B] std of the constant part, in 8-bit levels.
        shot: [B] std of the part that grows with the square root of brightness, in levels at full brightness.
        gray: [B] bool, whether the channels share their noise.
        generator: Source of the noise.
    """
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    noise = torch.where(gray[:, None, None, None], noise[:, :1], noise)
    brightness = (x.clamp(-1, 1) + 1) / 2
    variance = read[:, None, None, None] ** 2 + brightness * shot[:, None, None, None] ** 2
    return x + noise * variance.sqrt() / 127.5


def photon_noise(x: Tensor, shot: Tensor, gray: Tensor, generator: torch.Generator) -> Tensor:
    """Return x [B, C, H, W] in [-1, 1] as counted photons: Poisson noise, what `sensor_noise` approximates.

    Args:
        x: The images.
        shot: [B] std at full brightness, in 8-bit levels; at least 0.1.
        gray: [B] bool, whether only the brightness is counted, so that the channels share their noise.
        generator: Source of the noise.
    """
    peak = (255 / shot.clamp(min=0.1))[:, None, None, None] ** 2  # photons at full brightness
    exposed = (x.clamp(-1, 1) + 1) / 2
    exposed = torch.where(gray[:, None, None, None], exposed.mean(1, keepdim=True), exposed)
    counted = torch.poisson((exposed * peak).cpu(), generator=generator).to(x.device) / peak
    noise = counted - exposed
    noise = torch.where(gray[:, None, None, None], noise[:, :1], noise)
    return x + 2 * noise


def grain(x: Tensor, level: Tensor, size: Tensor, gray: Tensor, generator: torch.Generator) -> Tensor:
    """Return x [B, C, H, W] in [-1, 1] with noise that is alike in neighbouring pixels.

    Film has such noise where it is scanned, and a sensor's where a camera has smoothed or scaled it.

    Args:
        x: The images.
        level: [B] its std, in 8-bit levels.
        size: [B] std in pixels of the blur that white noise has gone through.
        gray: [B] bool, whether the channels share their noise.
        generator: Source of the noise.
    """
    noise = as_grain(torch.randn(x.shape, generator=generator).to(x.device), size, gray)
    return x + level[:, None, None, None] / 127.5 * noise


def as_grain(noise: Tensor, size: Tensor, gray: Tensor) -> Tensor:
    """Return white noise [B, C, H, W] blurred by std `size` [B] pixels, of unit std again; see `grain`."""
    noise = blur(noise, size, size, torch.zeros_like(size), radius=4)
    noise = torch.where(gray[:, None, None, None], noise[:, :1], noise)
    return noise / noise.square().mean((1, 2, 3), keepdim=True).sqrt()


def kind_of_grain(u: Tensor) -> tuple[Tensor, Tensor]:
    """Return sizes [B], 0.4-1.2 pixels, and which are grey [B], half of them; u [B, 2], uniform, decides."""
    return 0.4 + 0.8 * u[:, 0], u[:, 1] < 0.5


def add_noise(lr: Tensor, sigma: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return lr [B, C, H, W] with noise of std `sigma` [B]: conditioning augmentation.

    A share of it is grain, see `kind_of_grain`: a photo that the network is told of at use has not always
    white noise. Pictures without colour get noise without.
    """
    noise = torch.randn(lr.shape, generator=generator).to(lr.device)
    if share:
        u = torch.rand(len(lr), 3, generator=generator)
        chosen, u = u[:, 0] < share, u.to(lr.device)
        if chosen.any():
            noise[chosen] = as_grain(noise[chosen], *kind_of_grain(u[chosen, 1:]))
    noise = torch.where(colorless(lr)[:, None, None, None], noise[:, :1], noise)
    return lr + sigma[:, None, None, None] * noise


def colorless(x: Tensor) -> Tensor:
    """Return which of the pictures x [B, C, H, W] are grey, [B] bool."""
    return (x == x[:, :1]).flatten(1).all(1)
