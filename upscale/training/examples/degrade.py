"""HR crops -> the LR images that a network is trained to restore.

A share of the examples is plain antialiased bicubic, so that clean input is not softened; the rest passes
through blur, another reduction, sensor noise, sharpening and JPEG, as real photos do. Everything is drawn
from the generator given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from upscale.training.examples.blurs import blur, make_soft, unsharp
from upscale.training.examples.jpeg import jpeg
from upscale.training.examples.noises import colorless, grain, kind_of_grain, photon_noise, sensor_noise
from upscale.training.examples.pillow import webp
from upscale.training.examples.reductions import REDUCTIONS, reduced
from upscale.training.recipe import Degradation


def quantize(x: Tensor) -> Tensor:
    """Return x clipped to [-1, 1] and rounded to the 256 levels of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round_() / 127.5 - 1


def qualities(u: Tensor, share: float, lowest: int = 30) -> list[int]:
    """Return JPEG qualities from `lowest` to 95 for a share of the examples, 0 for the rest.

    Which and what is in u [B, 2], uniform.
    """
    return [round(lowest + (95 - lowest) * q) if p <= share else 0 for p, q in u.tolist()]


def compressed(x: Tensor, u: Tensor, share: float, lowest: int) -> Tensor:
    """Return x [B, 3, H, W] with a share of it out of JPEGs, and 8-bit again; for u see `qualities`."""
    chosen = qualities(u, share, lowest)
    through = torch.tensor(chosen, device=x.device)[:, None, None, None] > 0
    return torch.where(through, quantize(jpeg(x, chosen)), x)


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
        lr[-spared:] = compressed(lr[-spared:], drawn, how.pages_jpeg, how.pages_quality)
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
            size, shared = kind_of_grain(v[grainy, 2:])
            y[grainy] = grain(y[grainy], 1 + 11 * v[grainy, 1] ** 2, size, shared | plain[grainy], generator)
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
