"""How faithful a result is to its input (SR3, arXiv 2104.07636, table 1: "Consistency")."""

from __future__ import annotations

import numpy as np
from PIL import Image

from upscale.metrics.pair import Float64, Pixels, float_pair


def consistency(lr: Pixels, sr: Pixels) -> float:
    """Return the MSE between the input and the result brought down to its size, both on a scale of 0 to 1.

    Down-sampling is Pillow's bicubic with antialiasing, in float and not rounded. SR3 prints this number
    times 1e5 (2.68 for SR3, 2.71 for its regression baseline, faces 16 to 128) without its value range; 0 to
    1 is our reading.

    Args:
        lr: The input, [h, w] or [h, w, C], values 0 to 255.
        sr: The result, [H, W] or [H, W, C] with H >= h and W >= w, values 0 to 255.

    Raises:
        InputError: The numbers of channels differ.
    """
    one, other = float_pair(lr, _down(sr, lr.shape[1], lr.shape[0]))
    return float(np.mean(np.square((one - other) / 255.0)))


def _down(pixels: Pixels, width: int, height: int) -> Float64:
    channels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    resized = [
        Image.fromarray(np.ascontiguousarray(channels[:, :, c], dtype=np.float32)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        for c in range(channels.shape[2])
    ]
    out = np.stack([np.asarray(channel, dtype=np.float64) for channel in resized], axis=2)
    return out[:, :, 0] if pixels.ndim == 2 else out
