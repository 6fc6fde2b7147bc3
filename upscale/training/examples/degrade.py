"""HR crops -> the LR images that a network is trained to restore.

A share of the examples is plain antialiased bicubic, so that clean input is not softened; the rest passes
through blur, another reduction, sensor noise, sharpening and JPEG, as real photos do. Everything is drawn
from the generator given.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.training.examples.jpeg import jpeg
from upscale.training.examples.pillow import webp
from upscale.training.examples.reductions import REDUCTIONS, reduced
from upscale.training.examples.resample import in_blocks, resample
from upscale.training.recipe import Degradation


def quantize(x: Tensor) -> Tensor:
    """Return x clipped to [-1, 1] and rounded to the 256 levels of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round_() / 127.5 - 1


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


def unsharp(x: Tensor, sigma: Tensor, amount: Tensor) -> Tensor:
    """Return x [B, C, H, W] and `amount` [B] times what a blur of std `sigma` [B] pixels takes away."""
    soft = blur(x, sigma, sigma, torch.zeros_like(sigma))
    return x + amount[:, None, None, None] * (x - soft)


def qualities(u: Tensor, share: float, lowest: int = 30) -> list[int]:
    """Return JPEG qualities from `lowest` to 95 for a share of the examples, 0 for the rest.

    Which and what is in u [B, 2], uniform.
    """
    return [round(lowest + (95 - lowest) * q) if p <= share else 0 for p, q in u.tolist()]


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


def add_noise(lr: Tensor, sigma: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return lr [B, C, H, W] with noise of std `sigma` [B]: conditioning augmentation.

    A share of it is alike in neighbouring pixels, blurred by 0.4-1.2 of them and half of that grey, as grain
    is: a photo that the network is told of at use has not always white noise. Pictures without colour get
    noise without.
    """
    noise = torch.randn(lr.shape, generator=generator).to(lr.device)
    if share:
        u = torch.rand(len(lr), 3, generator=generator)
        chosen, u = u[:, 0] < share, u.to(lr.device)
        if chosen.any():
            noise[chosen] = as_grain(noise[chosen], 0.4 + 0.8 * u[chosen, 1], u[chosen, 2] < 0.5)
    noise = torch.where(colorless(lr)[:, None, None, None], noise[:, :1], noise)
    return lr + sigma[:, None, None, None] * noise


def colorless(x: Tensor) -> Tensor:
    """Return which of the pictures x [B, C, H, W] are grey, [B] bool."""
    return (x == x[:, :1]).flatten(1).all(1)


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


def degrade(hr: Tensor, scale: int, how: Degradation, generator: torch.Generator, spared: int = 0) -> Tensor:
    """Return LR images [B, 3, H/scale, W/scale], 8-bit levels in [-1, 1], for hr [B, 3, H, W] in [-1, 1].

    `how.share` of the examples is spoilt, in this order: JPEG (a share of them), blur (half; std 0.3-2.8 HR
    pixels, anisotropic), one of `REDUCTIONS`, noise (half; up to 8 levels, grey or coloured) or, for a share
    of all, grain (1-12 levels, of 0.4-1.2 pixels, half of it grey), unsharp masking (a share), JPEG or, for a
    share of them, WebP (two thirds). Pictures without colour get noise without. `how.soft` of all examples,
    spoilt or not, are made soft behind the reduction. Of those not spoilt `how.resampled` are reduced by one
    of `OTHER_REDUCTIONS`. Shares of 0 draw nothing, so that other draws stay what they are. The last `spared`
    are pages, neither spoilt nor soft, `how.pages_jpeg` of them JPEG; see `reduced`.
    """
    lr = reduced(hr, scale, how.resampled, generator, spared)
    u = torch.rand(len(hr), 10, generator=generator)
    spoilt = (u[: len(hr) - spared, 0] < how.share).nonzero()[:, 0]
    softness = torch.ones(len(hr), 5)
    if how.soft:
        softness[: len(hr) - spared] = torch.rand(len(hr) - spared, 5, generator=generator)
    lr = quantize(_softened(lr, softness, how.soft))
    if spared and how.pages_jpeg:
        drawn = torch.rand(spared, 2, generator=generator)
        lr[-spared:] = quantize(jpeg(lr[-spared:], qualities(drawn, how.pages_jpeg, how.pages_quality)))
    if not len(spoilt):
        return lr
    u = u[spoilt]
    x = hr[spoilt]
    if how.jpeg_before:
        x = jpeg(x, qualities(torch.rand(len(x), 2, generator=generator), how.jpeg_before))
    soft = u[:, 1] < 0.5
    if soft.any():
        w = u[soft].to(x.device)
        sigma = 0.3 + 2.5 * w[:, 2] ** 2
        x[soft] = blur(x[soft], sigma, sigma * (0.6 + 0.4 * w[:, 3]), w[:, 4] * torch.pi)
    kinds = (u[:, 5] * len(REDUCTIONS)).long()
    y = torch.stack(
        [REDUCTIONS[kind](image[None], scale)[0] for kind, image in zip(kinds.tolist(), x, strict=True)]
    )
    y = _softened(y, softness[spoilt], how.soft)
    noisy = (u[:, 6] < 0.5).float()
    level = (noisy * 8 * u[:, 7] ** 2).to(x.device)
    plain = colorless(y)
    gray = (u[:, 6] < 0.15).to(x.device) | plain
    if how.grain:
        v = torch.rand(len(x), 4, generator=generator)
        grainy, v = v[:, 0] < how.grain, v.to(x.device)
        level[grainy] = 0
        if grainy.any():
            strength, size = 1 + 11 * v[grainy, 1] ** 2, 0.4 + 0.8 * v[grainy, 2]
            y[grainy] = grain(y[grainy], strength, size, ((v[:, 3] < 0.5) | plain)[grainy], generator)
    shot = level
    if how.poisson:
        counted = (torch.rand(len(x), generator=generator) < how.poisson).to(x.device) & (level > 0)
        shot = level.where(~counted, 0)
        y = torch.where(counted[:, None, None, None], photon_noise(y, level, gray, generator), y)
    y = sensor_noise(y, level, shot, gray, generator)
    if how.sharpen:
        v = torch.rand(len(x), 3, generator=generator)
        amount = torch.where(v[:, 0] < how.sharpen, 0.2 + v[:, 1], 0).to(x.device)
        y = unsharp(y, (0.5 + v[:, 2]).to(x.device), amount)
    last = torch.tensor(qualities(u[:, 8:], 0.667))
    y = quantize(y)
    if how.webp:
        web = torch.rand(len(x), generator=generator) < how.webp
        y = webp(y, last.where(web, 0).tolist())
        last = last.where(~web, 0)
    lr[spoilt] = quantize(jpeg(y, last.tolist()))
    return lr


def _softened(x: Tensor, u: Tensor, share: float) -> Tensor:
    """Return x with those soft whose first of u [B, 5] is below `share`."""
    chosen = u[:, 0] < share
    if not chosen.any():
        return x
    out = x.clone()
    out[chosen] = make_soft(x[chosen], u[chosen, 1:])
    return out
