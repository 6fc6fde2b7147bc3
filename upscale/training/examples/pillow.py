"""What is left of pictures that Pillow has written as lossy files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def through_files(x: Tensor, kind: str, options: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return each of x [B, 3, H, W] in [-1, 1] as its file of Pillow's format `kind` decodes, on x's device.

    Args:
        x: The pictures, rounded to the 256 levels of an 8-bit file.
        kind: `JPEG`, `WEBP`, …
        options: Of Pillow's encoder, for each picture.
    """
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round_().byte()
    out = []
    for picture, option in zip(levels.permute(0, 2, 3, 1).cpu().numpy(), options, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind, **option)
        with Image.open(file) as image:
            out.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    return torch.stack(out).to(x.device).float() / 127.5 - 1


def webp(x: Tensor, qualities: Sequence[int]) -> Tensor:
    """Return each of x [B, 3, H, W] in [-1, 1] as a WebP of its quality decodes (0: left alone)."""
    out = x.clone()
    chosen = [i for i, quality in enumerate(qualities) if quality]
    if chosen:
        out[chosen] = through_files(x[chosen], "WEBP", [{"quality": qualities[i]} for i in chosen])
    return out
