"""How HR crops become LR images, in all ways that photographs are made smaller."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.training.examples.resample import resample


def reduce_bicubic(hr: Tensor, scale: int) -> Tensor:
    """Return hr [B, C, H, W] reduced with the antialiased bicubic kernel of Pillow (a = -0.5)."""
    return resample(hr, *_smaller(hr, scale))


def reduce_bilinear(hr: Tensor, scale: int) -> Tensor:
    """Return hr reduced with the antialiased triangle kernel."""
    return resample(hr, *_smaller(hr, scale), "bilinear")


def reduce_area(hr: Tensor, scale: int) -> Tensor:
    """Return hr reduced by averaging `scale` x `scale` pixels."""
    return F.avg_pool2d(hr, scale)


def reduce_lanczos(hr: Tensor, scale: int) -> Tensor:
    """Return hr reduced with the antialiased Lanczos kernel of Pillow, three lobes: sharper than bicubic."""
    return resample(hr, *_smaller(hr, scale), "lanczos")


def skip_bilinear(hr: Tensor, scale: int) -> Tensor:
    """Return hr interpolated where the small picture's pixels lie, all between passed over: aliased."""
    return F.interpolate(hr, size=_smaller(hr, scale), mode="bilinear")


def skip_nearest(hr: Tensor, scale: int) -> Tensor:
    """Return one pixel of `scale` x `scale`, the rest passed over: aliased the most."""
    return F.interpolate(hr, size=_smaller(hr, scale), mode="nearest-exact")


def _smaller(hr: Tensor, scale: int) -> tuple[int, int]:
    return hr.shape[2] // scale, hr.shape[3] // scale


Reduction = Callable[[Tensor, int], Tensor]
REDUCTIONS: tuple[Reduction, ...] = (reduce_bicubic, reduce_area, reduce_bilinear)
# How else a photograph may be reduced that is not spoilt otherwise; the first is how screens draw letters,
# the last how old programs draw.
OTHER_REDUCTIONS: tuple[Reduction, ...] = (reduce_area, reduce_lanczos, skip_bilinear, skip_nearest)
AS_ON_SCREENS = 0.5  # of the pages, and so many more without smooth edges, as old programs draw:
WITH_STEPS = 0.15


def reduced(hr: Tensor, scale: int, share: float, generator: torch.Generator, pages: int = 0) -> Tensor:
    """Return LR images [B, C, H/scale, W/scale]: bicubic, a share by one of `OTHER_REDUCTIONS` instead.

    Args:
        hr: [B, C, H, W] in [-1, 1].
        scale: How many times smaller they become.
        share: Of those that are no pages. With 0 all are bicubic, and nothing is drawn.
        generator: Source of the draws.
        pages: So many of the last are pages, of which `AS_ON_SCREENS` are reduced by `reduce_area`,
            `WITH_STEPS` by `skip_nearest`, the rest by bicubic.
    """
    lr = reduce_bicubic(hr, scale)
    if not share:
        return lr
    u = torch.rand(len(hr), 2, generator=generator)
    page = torch.arange(len(hr)) >= len(hr) - pages
    kinds = (u[:, 1] * len(OTHER_REDUCTIONS)).long()
    kinds[page] = torch.where(u[page, 0] < AS_ON_SCREENS, 0, len(OTHER_REDUCTIONS) - 1)
    chosen = u[:, 0] < torch.where(page, AS_ON_SCREENS + WITH_STEPS, share)
    for index in chosen.nonzero()[:, 0].tolist():
        lr[index] = OTHER_REDUCTIONS[kinds[index]](hr[index : index + 1], scale)[0]
    return lr
