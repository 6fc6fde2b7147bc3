"""What the folding of pixels into channels leaves to be seen: larger steps at the borders of folded pixels.

The network computes at LR size, and every place gives `scale` x `scale` pixels at once. Where two places do
not quite agree, the step between them is larger than those inside, and smooth parts show a grid. Photographs
have none.
"""

from __future__ import annotations

import torch
from torch import Tensor

FAINT = 1 / 255  # of steps in [-1, 1]: half a level. Fainter ones are nobody's concern


def seams(image: Tensor, scale: int, offset: tuple[int, int] = (0, 0)) -> Tensor:
    """Return by how much the steps at the borders of folded pixels are larger than others, [B] float32.

    Their logarithms are compared, so that smooth parts, where a grid shows, count as textures do: at 0
    borders are as all other places, at 0.1 steps are a tenth larger there.

    Args:
        image: [B, C, H, W] in [-1, 1]; may be part of a larger one.
        scale: Sides of a folded pixel.
        offset: Where that part begins in it, (top, left).
    """
    found = torch.zeros(len(image), device=image.device)
    for axis, first in ((2, offset[0]), (3, offset[1])):
        steps = (image.diff(dim=axis).abs().float() + FAINT).log().mean((1, 5 - axis))  # [B, n]
        border = steps[:, -(first + 1) % scale :: scale]
        inside = (steps.sum(1) - border.sum(1)) / (steps.shape[1] - border.shape[1])
        found = found + (border.mean(1) - inside) / 2
    return found
