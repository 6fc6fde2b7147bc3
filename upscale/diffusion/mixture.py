"""The end of a run mixed with its first estimate: what is drawn on top of what is known."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

LOW = 0.5  # std of the Gaussian that parts low frequencies from high ones, in pixels of the small picture
LOW_FROM = 0.1  # the fidelity from which all low frequencies are the estimate's
NEAR = 0.25  # std of the window in which strength is measured, likewise
LEAST = 1e-3  # of a strength
USUAL = 0.12  # std of what the photo has besides the upsampled small picture, in [-1, 1]: 15 of 255 levels


def mix(drawn: Tensor, estimate: Tensor, fidelity: Tensor, scale: int, dtype: torch.dtype) -> Tensor:
    """Return `estimate` and some of what `drawn` has besides.

    What is nearest to the photo, for how much it looks like photos, is on the straight line from the mean of
    all possible photos to what looks like photos and is nearest to that mean (Freirich et al., arXiv
    2107.02555, theorem 3). What is drawn is another end: any of the possible photos, and not quite one of
    them. So two things depart from the line, measured in docs/sampling.md:

    - Frequencies that the small picture has are known, and what is drawn differs there by error alone: they
      are the estimate's, from a fidelity of `LOW_FROM` on; below, in proportion.
    - Of the rest, d, counts 1 / (1 + sqrt(n) f / (1 - f)) for the fidelity f, where n is the root of the
      mean square of d nearby: strong strokes, which are wrong as often as right, less than faint grain.

    At a fidelity of 0 it is `drawn`, at 1 `estimate`.

    Args:
        drawn: The end of a run, [B, C scale^2, h, w] float32: pictures of C channels folded by
            `pixel_unshuffle`, in units of `USUAL`.
        estimate: Its first estimate, likewise.
        fidelity: [B, 1, 1, 1], 0 to 1.
        scale: Pixels on each side of a folded one.
        dtype: What to compute their difference in.
    """
    channels = drawn.shape[1] // scale**2
    smooth, gather = _filters(channels, scale, dtype, drawn.device)
    high = (drawn - estimate).to(dtype, memory_format=torch.channels_last)
    low = F.conv2d(high, smooth, padding=1, groups=channels)
    high = torch.addcmul(high, low, (fidelity / LOW_FROM).clamp(max=1).to(dtype), value=-1)
    root = F.conv2d(high.square(), gather, padding=1).clamp(min=LEAST**2).sqrt().sqrt()
    return estimate + high / (1 + root * (fidelity / (1 - fidelity)).to(dtype))


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)  # training may be the next to use them
def _filters(channels: int, scale: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return convolutions of folded pictures: a blur of each channel, and the mean of all of them nearby."""

    def ready(kernel: Tensor) -> Tensor:
        return kernel.to(device, dtype).contiguous(memory_format=torch.channels_last)

    smooth, near = (_folded_gaussian(std * scale, scale) for std in (LOW, NEAR))
    return ready(smooth.repeat(channels, 1, 1, 1)), ready(near.repeat(channels, channels, 1, 1) / channels)


def _folded_gaussian(std: float, scale: int) -> Tensor:
    """Return a blur of folded pictures [s^2, s^2, 3, 3]: a Gaussian that is cut off at `scale` pixels."""
    place = torch.arange(scale, dtype=torch.float32, device="cpu")
    # from place q of the folded pixel t - 1 away to place p: [p, q, t]
    distance = scale * place.new_tensor([-1.0, 0.0, 1.0]) + place[None, :, None] - place[:, None, None]
    line = torch.exp(-0.5 * (distance / std) ** 2).where(distance.abs() <= scale, 0.0)
    line /= line.sum((1, 2), keepdim=True)
    return torch.einsum("pqt,PQT->pPqQtT", line, line).reshape(scale**2, scale**2, 3, 3)
