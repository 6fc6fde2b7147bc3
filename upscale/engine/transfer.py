"""Pixels on the host <-> tensors on a device. Tiles are cut out here, and know nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from upscale.engine.canvas import Float32
from upscale.engine.tiles import Box
from upscale.images.picture import Pixels
from upscale.images.pixels import to_float


def cut(pixels: Pixels, box: Box) -> Pixels:
    """Return a rectangle of a picture; what lies beyond its right or lower border repeats its edge."""
    height, width = pixels.shape[:2]
    part = pixels[box.top : box.bottom, box.left : box.right]
    beyond = ((0, max(0, box.bottom - height)), (0, max(0, box.right - width)), (0, 0))
    if not any(after for _, after in beyond):
        return part
    return cast(Pixels, np.pad(part, beyond, mode="edge"))


def rgb(pixels: Pixels) -> Float32:
    """Return levels [H, W, 1 or 3] as [3, H, W] in [-1, 1]."""
    planes = to_float(pixels).transpose(2, 0, 1)
    return np.broadcast_to(planes, (3, *planes.shape[1:]))


def to_device(arrays: Sequence[Float32], device: torch.device) -> Tensor:
    """Return arrays of one shape as a batch."""
    return torch.from_numpy(np.stack(arrays)).to(device)


def to_host(images: Tensor) -> Float32:
    """Return [N, 3, H, W] as [N, H, W, 3]."""
    result: Float32 = images.permute(0, 2, 3, 1).float().cpu().numpy()
    return result
