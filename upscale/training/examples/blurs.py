"""Soft pictures: blurred ones, photos that were never reduced or were enlarged before; and sharpened ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.training.examples.resample import in_blocks, resample


def blur(x: Tensor, sigma_x: Tensor, sigma_y: Tensor, angle: Tensor, radius: int = 6) -> Tensor:
    """Return x [B, C, H, W] convolved with one rotated Gaussian for each example.

    Args:
        x: The images.
        sigma_x: [B] std along the first axis in pixels.
        sigma_y: [B] std along the second axis in pixels.
        angle: [B] rotation in radians.
        radius: Half side of the kernel in pixels.
    """
    batch, channels = x.shape[:2]
    grid = torch.arange(-radius, radius + 1, dtype=torch.float32, device=x.device)
    gy, gx = torch.meshgrid(grid, grid, indexing="ij")
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = cos * gx + sin * gy, cos * gy - sin * gx
    kernel = torch.exp(-0.5 * ((u / sigma_x[:, None, None]) ** 2 + (v / sigma_y[:, None, None]) ** 2))
    kernel = kernel / kernel.sum((1, 2), keepdim=True)  # [B, K, K]
    kernel[kernel < 1e-9] = 0.0  # too small to count; the denormal ones make the convolution six times slower
    weight = kernel[:, None].repeat_interleave(channels, 0)
    padded = F.pad(x, (radius,) * 4, mode="replicate").flatten(0, 1)[None]
    return F.conv2d(padded, weight, groups=batch * channels).reshape(x.shape)


def unsharp(x: Tensor, sigma: Tensor, amount: Tensor) -> Tensor:
    """Return x [B, C, H, W] and `amount` [B] times what a blur of std `sigma` [B] pixels takes away."""
    soft = blur(x, sigma, sigma, torch.zeros_like(sigma))
    return x + amount[:, None, None, None] * (x - soft)


def soften(lr: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return lr with a share of the examples blurred over 3x3 pixels: conditioning augmentation.

    Cascaded Diffusion Models (2106.15282, section 4) blur half of them, std 0.4-0.6; none at use.
    """
    u = torch.rand(len(lr), 2, generator=generator)
    chosen = u[:, 0] < share
    if not chosen.any():
        return lr
    sigma = (0.4 + 0.2 * u[chosen, 1]).to(lr.device)
    out = lr.clone()
    out[chosen] = blur(lr[chosen], sigma, sigma, torch.zeros_like(sigma), radius=1)
    return out


def make_soft(x: Tensor, u: Tensor) -> Tensor:
    """Return x [B, C, H, W] as soft as photographs that were never reduced, or were enlarged before.

    Half of them are blurred, std 0.3-1.2 pixels. Of the others one in six is drawn in blocks of 2x2 pixels
    or, a quarter of these, 3x3, as if enlarged by repeating pixels; the rest is reduced by a factor of
    1.2-2.2, bicubic or bilinear, and enlarged again. Which and how much is in u [B, 4], uniform.
    """
    height, width = x.shape[2:]
    blurred = u[:, 0] < 0.5
    sigma = 0.3 + 0.9 * u[:, 1]
    across, angle = sigma * (0.7 + 0.3 * u[:, 2]), torch.pi * u[:, 3]
    out = blur(x, sigma.to(x.device), across.to(x.device), angle.to(x.device))
    for index in (~blurred).nonzero()[:, 0].tolist():
        _, size, kind, place = u[index].tolist()
        if kind < 1 / 6:
            side = 3 if size < 0.25 else 2
            out[index] = in_blocks(x[index], side, int(place * side), int(place * side**2) % side)
            continue
        mode = "bicubic" if kind < 0.75 else "bilinear"
        small = resample(x[index], round(height / (1.2 + size)), round(width / (1.2 + size)), mode)
        out[index] = resample(small, height, width, mode)
    return out
