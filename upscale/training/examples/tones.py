"""Colours that a crop might as well have: exchanged and exposed otherwise, or none.

Shapes are the same in any of them, so that few photographs show more of what there is to learn (permuted
channels: Yoo et al., CutBlur, arXiv 2004.00448, section 2).
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

ORDERS = torch.tensor(list(permutations(range(3))))  # of channels, [6, 3]
DARKER, LIGHTER = 0.75, 0.25  # largest exponents of 2 that brightness is raised to: lighter shows noise
TINT = 0.2  # the same for each channel by itself, either way


def recolored(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return crops x [B, 3, H, W] of 0 to 255, a share of them with channels exchanged, darker or lighter."""
    u = torch.rand(len(x), 6, generator=generator)
    orders = ORDERS[(u[:, 1] * len(ORDERS)).long()].to(x.device)[:, :, None, None].expand_as(x)
    exponent = (DARKER + LIGHTER) * u[:, 2:3] - LIGHTER + TINT * (2 * u[:, 3:] - 1)  # [B, 3]
    power = (2**exponent).to(x.device)[:, :, None, None]
    other = 255 * (x.gather(1, orders).clamp(0, 255) / 255) ** power
    return torch.where((u[:, 0] < share).to(x.device)[:, None, None, None], other, x)


def without_color(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return crops x [B, 3, H, W] of 0 to 255, a share of them without colour: the brightness of BT.601.

    Half of these are toned, as old prints are: red brightened and blue darkened by powers up to 0.8 and 1.25.
    """
    u = torch.rand(len(x), 2, generator=generator).to(x.device)
    brightness = torch.einsum("c,bchw->bhw", x.new_tensor([0.299, 0.587, 0.114]), x)[:, None].clamp(0, 255)
    tone = (2 * u[:, 1] - 1).clamp(min=0)[:, None] * x.new_tensor([-1.0, 0.0, 1.0])
    toned = 255 * (brightness / 255) ** (1.25**tone)[:, :, None, None]
    return torch.where((u[:, 0] < share)[:, None, None, None], toned, x)
