"""HR crops -> the LR images that a network is trained to restore.

A share of the examples is plain antialiased bicubic, so that clean input is not softened; the rest passes
through blur, another reduction, sensor noise and JPEG, as real photos do. Everything is drawn from the
generator given.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from upscale.training.resample import resample


def quantize(x: Tensor) -> Tensor:
    """Return x clipped to [-1, 1] and rounded to the 256 levels of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round_() / 127.5 - 1


def reduce_bicubic(hr: Tensor, scale: int) -> Tensor:
    """Return hr [B, C, H, W] reduced with the antialiased bicubic kernel of Pillow (a = -0.5)."""
    return resample(hr, hr.shape[2] // scale, hr.shape[3] // scale)


def reduce_bilinear(hr: Tensor, scale: int) -> Tensor:
    """Return hr reduced with the antialiased triangle kernel."""
    return resample(hr, hr.shape[2] // scale, hr.shape[3] // scale, "bilinear")


def reduce_area(hr: Tensor, scale: int) -> Tensor:
    """Return hr reduced by averaging `scale` x `scale` pixels."""
    return F.avg_pool2d(hr, scale)


REDUCTIONS: tuple[Callable[[Tensor, int], Tensor], ...] = (reduce_bicubic, reduce_area, reduce_bilinear)


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


def jpeg(x: Tensor, qualities: list[int]) -> Tensor:
    """Return each of x [B, 3, H, W] in [-1, 1] as a JPEG of its quality decodes (0: left alone).

    Quality below 90 subsamples colour (4:2:0), as cameras and web pages do.
    """
    out = x.clone()
    for i, quality in enumerate(qualities):
        if not quality:
            continue
        levels = ((x[i].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=2 if quality < 90 else 0)
        with Image.open(file) as image:
            back = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        out[i] = back.to(x.device).float() / 127.5 - 1
    return out


def degrade(hr: Tensor, scale: int, share: float, generator: torch.Generator) -> Tensor:
    """Return LR images [B, 3, H/scale, W/scale], 8-bit levels in [-1, 1], for hr [B, 3, H, W] in [-1, 1].

    `share` of the examples is spoilt: blur (half of them; std 0.3-2.8 HR pixels, anisotropic), one of
    `REDUCTIONS`, noise (half; up to 8 levels), JPEG (two thirds; quality 30-95).
    """
    lr = quantize(reduce_bicubic(hr, scale))
    u = torch.rand(len(hr), 10, generator=generator)
    spoilt = (u[:, 0] < share).nonzero()[:, 0]
    if not len(spoilt):
        return lr
    u = u[spoilt]
    x = hr[spoilt]
    soft = u[:, 1] < 0.5
    if soft.any():
        w = u[soft].to(x.device)
        sigma = 0.3 + 2.5 * w[:, 2] ** 2
        x[soft] = blur(x[soft], sigma, sigma * (0.6 + 0.4 * w[:, 3]), w[:, 4] * torch.pi)
    kinds = (u[:, 5] * len(REDUCTIONS)).long()
    y = torch.stack(
        [REDUCTIONS[kind](image[None], scale)[0] for kind, image in zip(kinds.tolist(), x, strict=True)]
    )
    noisy = (u[:, 6] < 0.5).float()
    level = noisy * 8 * u[:, 7] ** 2
    y = sensor_noise(y, level.to(x.device), level.to(x.device), (u[:, 6] < 0.15).to(x.device), generator)
    qualities = [
        0 if p > 0.667 else round(30 + 65 * q)
        for p, q in zip(u[:, 8].tolist(), u[:, 9].tolist(), strict=True)
    ]
    lr[spoilt] = quantize(jpeg(quantize(y), qualities))
    return lr
