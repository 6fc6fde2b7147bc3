"""Resampling as two matrix products.

On pictures as small as training's that is four to ten times faster on a CPU than `interpolate`, whose kernels
it has: antialiased, bicubic with a = -0.5, as Pillow's. Results differ from it by float32's rounding.
Lanczos, which it lacks, is Pillow's own.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


@functools.lru_cache(maxsize=1024)
def matrix(source: int, target: int, mode: str, device: torch.device) -> Tensor:
    """Return the weights [target, source] that resample a line; `mode` is `interpolate`'s, or `lanczos`."""
    if mode == "lanczos":
        lines = Image.fromarray(np.eye(source, dtype=np.float32))
        weights = np.array(lines.resize((source, target), Image.Resampling.LANCZOS))
        return torch.from_numpy(weights).to(device)
    unit = torch.eye(source)[None, None]  # one picture whose columns are lines with a single 1
    return F.interpolate(unit, size=(target, source), mode=mode, antialias=True)[0, 0].to(device)


def resample(x: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    """Return x [..., H, W] float32 as [..., height, width]; `mode` is `bicubic`, `bilinear` or `lanczos`."""
    down = matrix(x.shape[-2], height, mode, x.device)
    across = matrix(x.shape[-1], width, mode, x.device)
    return down @ x @ across.T


def in_blocks(x: Tensor, side: int, top: int, left: int) -> Tensor:
    """Return x [C, H, W] reduced by `side` and enlarged again by repeating pixels.

    The blocks at the upper and left edge lack `top` rows and `left` columns.
    """
    height, width = x.shape[-2:]
    padding = (left, -(left + width) % side, top, -(top + height) % side)
    padded = F.pad(x[None], padding, mode="replicate")[0]
    small = resample(padded, padded.shape[-2] // side, padded.shape[-1] // side)
    blocks = small.repeat_interleave(side, -2).repeat_interleave(side, -1)
    return blocks[..., top : top + height, left : left + width]
