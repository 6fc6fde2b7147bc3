"""JPEG's marks on pictures: through Pillow, or for those on a GPU by the same arithmetic on tensors.

The tensor path follows ITU-T T.81 and what libjpeg makes of it: JFIF's colours, tables of Annex K scaled by
quality, 4:2:0 by averaging, colour enlarged again by a triangle filter. What a file compresses without loss
(Huffman codes) is left out. It rounds where libjpeg does, but computes the cosine transforms in float32: on
photographs 96 of 100 values and more are Pillow's, the others apart by one or two levels; in a few blocks a
coefficient falls on the other side of a rounding.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.training.examples.pillow import through_files

SUBSAMPLED_BELOW = 90  # as cameras and web pages do

# ITU-T T.81, tables K.1 and K.2.
LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62  18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMA = "17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66" + " 99" * 38


def jpeg(x: Tensor, qualities: list[int]) -> Tensor:
    """Return each of x [B, 3, H, W] in [-1, 1] as a JPEG of its quality decodes (0: left alone).

    Quality below 90 subsamples colour (4:2:0).
    """
    out = x.clone()
    for subsampled in (True, False):
        chosen = [i for i, q in enumerate(qualities) if q and (q < SUBSAMPLED_BELOW) == subsampled]
        if chosen:
            through = on_tensors if x.is_cuda else through_pillow
            out[chosen] = through(x[chosen], [qualities[i] for i in chosen], subsampled)
    return out


def through_pillow(x: Tensor, qualities: list[int], subsampled: bool) -> Tensor:
    """Return x [B, 3, H, W] after Pillow has written and read it."""
    subsampling = 2 if subsampled else 0
    return through_files(x, "JPEG", [{"quality": q, "subsampling": subsampling} for q in qualities])


def on_tensors(x: Tensor, qualities: list[int], subsampled: bool) -> Tensor:
    """Return what `through_pillow` does, nearly; all on x's device, and all pictures at once."""
    height, width = x.shape[2:]
    y, cb, cr = _to_ycbcr(_levels(x)).split(1, dim=1)
    luma, chroma = (_tables(text, qualities, x.device) for text in (LUMA, CHROMA))
    y = _through_blocks(y, luma)
    colors = torch.cat([cb, cr], dim=1)
    if subsampled:
        small = _through_blocks(_halve(colors), chroma)[..., : (width + 1) // 2]
        colors = _double(small)[:, :, :height, :width]
    else:
        colors = _through_blocks(colors, chroma)
    return _to_rgb(y, colors).clamp_(0, 255) / 127.5 - 1


def _levels(x: Tensor) -> Tensor:
    return ((x.clamp(-1, 1) + 1) * 127.5).round_()


def _to_ycbcr(rgb: Tensor) -> Tensor:
    """Return rgb [B, 3, H, W] in 0..255 in JFIF's colours, whole levels."""
    r, g, b = rgb.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb = (b - y) * (0.5 / (1 - 0.114)) + 128
    cr = (r - y) * (0.5 / (1 - 0.299)) + 128
    return torch.stack([y, cb, cr], dim=1).round_().clamp_(0, 255)


def _to_rgb(y: Tensor, colors: Tensor) -> Tensor:
    cb, cr = (colors - 128).unbind(1)
    y = y[:, 0]
    green = (-0.344136286 * cb - 0.714136286 * cr).round()
    return torch.stack([y + (1.402 * cr).round(), y + green, y + (1.772 * cb).round()], dim=1)


def _halve(x: Tensor) -> Tensor:
    """Return means of 2x2 pixels, whole blocks wide; libjpeg rounds halves down and up in turn."""
    x = F.pad(x, (0, -x.shape[3] % 16, 0, x.shape[2] % 2), mode="replicate")
    bias = torch.tensor([0.25, 0.5], device=x.device).repeat(x.shape[3] // 4 + 1)[: x.shape[3] // 2]
    return (F.avg_pool2d(x, 2) + bias).floor()


def _double(x: Tensor) -> Tensor:
    """Return x [B, C, h, w] twice as large: 3/4 of the nearest pixel and 1/4 of the next, each way."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    near, before, after = padded[:, :, 1:-1], padded[:, :, :-2], padded[:, :, 2:]
    rows = torch.stack([3 * near + before, 3 * near + after], dim=3).flatten(2, 3)  # [B, C, 2 h, w + 2]
    near, before, after = rows[..., 1:-1], rows[..., :-2], rows[..., 2:]
    even, odd = (3 * near + before + 8) / 16, (3 * near + after + 7) / 16
    return torch.stack([even, odd], dim=4).flatten(3, 4).floor()


def _tables(text: str, qualities: list[int], device: torch.device) -> Tensor:
    """Return the divisors [B, 8, 8] of some qualities, as libjpeg scales them."""
    table = torch.tensor([int(word) for word in text.split()]).reshape(8, 8)
    scales = [5000 // q if q < 50 else 200 - 2 * q for q in qualities]
    return (
        torch.stack([(table * s + 50).div(100, rounding_mode="floor") for s in scales])
        .clamp(1, 255)
        .to(device)
    )


@functools.lru_cache
def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal DCT-II of 8 points as a matrix."""
    k = torch.arange(8.0, dtype=torch.float64)
    matrix = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)


def _through_blocks(x: Tensor, tables: Tensor) -> Tensor:
    """Return x [B, C, H, W] in 0..255 after transform, quantisation by tables [B, 8, 8], and back."""
    height, width = x.shape[2:]
    padded = F.pad(x - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # [B, C, rows, columns, 8, 8]
    cosines, steps = _cosines(x.device), tables[:, None, None, None]
    # libjpeg's integer transforms are sqrt(8) times as large each way; they round after each way, the first
    # time to quarters. Rows come first, and last on the way back.
    rows = _nearest(blocks @ cosines.T * 4 * 8**0.5) / 4
    coefficients = _nearest(cosines @ rows * 8**0.5) / 8
    whole = (coefficients.abs() / steps + 0.5).floor() * coefficients.sign() * steps
    columns = _nearest(cosines.T @ whole * 4 * 8**0.5) / 4
    back = _nearest(columns @ cosines / 8**0.5).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return (back + 128).clamp(0, 255)[:, :, :height, :width]


def _nearest(x: Tensor) -> Tensor:
    """Return whole numbers, halves rounded up; halves are common, and float32 misses them by a little."""
    return (x + 0.501).floor()
