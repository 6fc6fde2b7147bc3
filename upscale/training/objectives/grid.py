"""The grid that folding pixels into channels may leave in a picture, as a loss.

The network computes at LR size, and every place gives `scale` x `scale` pixels at once, a cell. Photographs
know no cells. A network may put its grain at one place of each, or not quite agree with its neighbour at the
borders; smooth and dark parts then show dots or lines of that period.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FAINT = 4 / 255  # of values in [-1, 1]: two levels. What is fainter on the whole is hardly seen


def grid_apart(image: Tensor, truth: Tensor, scale: int, offset: tuple[int, int] = (0, 0)) -> Tensor:
    """Return by how much the pixels of a cell differ in what goes on there, unlike in the truth, [B] float32.

    For steps along each axis, and for what a mean over 3x3 pixels leaves, both with and without its sign: the
    squared differences of `by_place`, summed over the pixels of a cell.

    Args:
        image: [B, C, H, W] in [-1, 1]; may be part of a larger one.
        truth: Likewise.
        scale: Sides of a cell.
        offset: Where that part begins in the larger one, (top, left).
    """
    pairs = zip(_responses(image), _responses(truth), strict=True)
    apart = [by_place(ours, scale, offset) - by_place(theirs, scale, offset) for ours, theirs in pairs]
    return torch.stack([difference.square().sum(1) for difference in apart]).sum(0)


def by_place(response: Tensor, scale: int, offset: tuple[int, int]) -> Tensor:
    """Return the mean of a response at each place of a cell, [B, scale^2], in units of its mean size.

    The mean over all places is taken off.
    """
    top, left = (-side % scale for side in offset)
    whole = response[:, :, top:, left:]
    height, width = (side // scale * scale for side in whole.shape[2:])
    cells = F.pixel_unshuffle(whole[:, :, :height, :width].mean(1, keepdim=True), scale)
    size = response.abs().mean((1, 2, 3)) + FAINT
    means = cells.mean((2, 3)) / size[:, None]
    return means - means.mean(1, keepdim=True)


def _responses(image: Tensor) -> list[Tensor]:
    """Return steps from the column and row before, and what a local mean leaves, each like `image`."""
    padded = F.pad(image.float(), (1, 1, 1, 1), mode="replicate")
    here = padded[:, :, 1:-1, 1:-1]
    fine = here - F.avg_pool2d(padded, 3, stride=1)
    return [(here - padded[:, :, 1:-1, :-2]).abs(), (here - padded[:, :, :-2, 1:-1]).abs(), fine.abs(), fine]
