"""The end of a run mixed with its first estimate: what is drawn on top of what is known."""

from __future__ import annotations

import functools
from typing import NamedTuple

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

    The straight line between the mean of all possible photos and one of them would be the best mixture of
    both (Freirich et al., arXiv 2107.02555, theorem 3), if the one were drawn from exactly these photos. It
    is not quite, so two things depart from the line, measured in docs/sampling.md:

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
    low = smooth(high)
    high = torch.addcmul(high, low, (fidelity / LOW_FROM).clamp(max=1).to(dtype), value=-1)
    root = gather(high.square()).clamp(min=LEAST**2).sqrt().sqrt()
    return estimate + high / (1 + root * (fidelity / (1 - fidelity)).to(dtype))


class _Filter(NamedTuple):
    """A convolution of folded pictures [B, C, h, w] whose weights sum to 1, also at the border.

    Attributes:
        kernel: [C, C / groups, 3, 3].
        groups: Of channels that see nothing of each other.
        missing: [2, 2, C, 1, 1], along the height and along the width, at the first folded pixel and at the
            last: the weights that lie beyond. They sum up along one axis times along the other.
    """

    kernel: Tensor
    groups: int
    missing: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return x filtered."""
        out = F.conv2d(x, self.kernel, padding=1, groups=self.groups)
        for dim, (before, after) in zip((2, 3), self.missing, strict=True):
            end = out.shape[dim] - 1
            for place in {0, end}:
                inside = 1 - before * (place == 0) - after * (place == end)
                out.narrow(dim, place, 1).div_(inside)
        return out


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)  # training may be the next to use them
def _filters(channels: int, scale: int, dtype: torch.dtype, device: torch.device) -> tuple[_Filter, _Filter]:
    """Return filters of folded pictures: a blur of each channel, and the mean of all of them nearby."""

    def ready(kernel: Tensor, groups: int, std: float) -> _Filter:
        line = _line(std * scale, scale).sum(1)[:, ::2].T  # [before or after, scale]: what lies in neighbours
        along = line[:, :, None].expand(-1, -1, scale), line[:, None].expand(-1, scale, -1)
        missing = torch.stack([x.reshape(2, -1).repeat(1, channels)[:, :, None, None] for x in along])
        kernel = kernel.to(device, dtype).contiguous(memory_format=torch.channels_last)
        return _Filter(kernel, groups, missing.to(device))

    smooth, near = (_folded_gaussian(std * scale, scale) for std in (LOW, NEAR))
    return (
        ready(smooth.repeat(channels, 1, 1, 1), channels, LOW),
        ready(near.repeat(channels, channels, 1, 1) / channels, 1, NEAR),
    )


def _folded_gaussian(std: float, scale: int) -> Tensor:
    """Return a blur of folded pictures [s^2, s^2, 3, 3]: a Gaussian that is cut off at `scale` pixels."""
    line = _line(std, scale)
    return torch.einsum("pqt,PQT->pPqQtT", line, line).reshape(scale**2, scale**2, 3, 3)


def _line(std: float, scale: int) -> Tensor:
    """Return the same along one axis, [s, s, 3]: from place q of the folded pixel t - 1 away to place p."""
    place = torch.arange(scale)
    distance = scale * (torch.arange(3) - 1) + place[None, :, None] - place[:, None, None]
    line = torch.exp(-0.5 * (distance / std) ** 2).where(distance.abs() <= scale, 0.0)
    return line / line.sum((1, 2), keepdim=True)
