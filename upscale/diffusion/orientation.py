"""Ways up: a picture as it is, mirrored, turned by quarters.

What a network makes of a picture turned, turned back, is another estimate as good, and the mean of them all a
better one (self-ensemble; Timofte et al., CVPR 2016, arXiv 1511.02228). Only for networks that have learnt
from pictures turned so.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turned(x: Tensor, way: int) -> Tensor:
    """Return pictures [B, C, H, W] turned by `way` // 2 quarters, mirrored first if `way` is odd; 0 to 7."""
    mirrored = x.flip(3) if way % 2 else x
    return torch.rot90(mirrored, way // 2, (2, 3)).contiguous() if way else x


def turned_back(x: Tensor, way: int) -> Tensor:
    """Return pictures as they were before `turned`."""
    upright = torch.rot90(x, -(way // 2), (2, 3))
    return (upright.flip(3) if way % 2 else upright).contiguous() if way else x
