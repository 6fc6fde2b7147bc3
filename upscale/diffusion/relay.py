"""Relay Diffusion: a process that blurs as it adds noise, and so can start from a smaller picture.

Teng et al., arXiv 2309.03350. In patches of `side` x `side` pixels, V^T their orthonormal DCT,

    x_sigma = V D_sigma V^T x0 + sigma n,    n = (eps + a Block[side](eps')) / sqrt(1 + a^2),

with D falling with sigma for all but the patch's mean. At the largest sigma little but means is left, which
the upsampled picture below has too: a run starts from that picture with a little noise, where SR3's starts
from pure noise. Here x0 is the residual to the bicubic upsampling in units of its standard deviation, so the
picture below is 0, and patches are the pixels folded into channels at LR size. Unlike the paper's, networks
are given the LR picture as a condition as well.

Torch is used but not imported at module level: configs are checked while planning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from upscale.diffusion.schedule import Float64

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = NormalDist(math.log(2) - 1.2, 1.2)
"""Of log sigma in units of the data's standard deviation: EDM's N(-1.2, 1.2^2) is for data of 0.5."""

LEAST_KEPT = 0.001  # of a coefficient; the released program's, the paper has 0
LEAST_SIGMA = 0.015  # the released program's 7.5e-3 is for data of standard deviation 0.5


@dataclass(frozen=True)
class Relay:
    """How blur and noise go together.

    Attributes:
        side: Of a patch in pixels: the factor between the two resolutions.
        block: Weight `a` of the block noise.
        blur_max: Largest blur, the standard deviation of its Gaussian in pixels.
        length: Share of the levels' distribution that is used: cuts off the largest sigmas.
    """

    side: int = 4
    block: float = 0.15
    blur_max: float = 3.0
    length: float = 0.93

    def __post_init__(self) -> None:
        """Raise `ValueError` on numbers that make no process."""
        if not (2 <= self.side <= 16 and 0 <= self.block <= 10 and 0 <= self.blur_max <= 100):
            raise ValueError("side is from 2 to 16, block from 0 to 10, blur_max from 0 to 100")
        if not 0 < self.length < 1:
            raise ValueError("length is between 0 and 1")

    @property
    def sigma_max(self) -> float:
        """The largest sigma, where the blur is complete."""
        return self.sigma_at(1.0)

    def sigma_at(self, p: float) -> float:
        """Return the sigma at p in [0, 1], which drives blur and noise alike; p uniform is how it trains."""
        return max(LEAST_SIGMA, math.exp(LEVELS.inv_cdf(p * self.length))) if p > 0 else LEAST_SIGMA

    def progress(self, sigma: float) -> float:
        """Return the p in [0, 1] of a sigma."""
        return min(1.0, LEVELS.cdf(math.log(sigma)) / self.length)

    def kept(self, sigma: float) -> Float64:
        """Return D_sigma, [side, side]: what is left of each coefficient, 1 for the mean.

        D_ij = exp(-(w_i^2 + w_j^2) b^2 / 2) with w_k = pi k / side, the heat equation's solution in the DCT
        (Rissanen et al., arXiv 2206.13397), and b = blur_max sin^2(pi p / 2).
        """
        blur = self.blur_max * math.sin(math.pi / 2 * self.progress(sigma)) ** 2
        squares = (math.pi * np.arange(self.side) / self.side) ** 2
        falling = np.exp(-(squares[:, None] + squares) * blur**2 / 2)
        return np.asarray(falling * (1 - LEAST_KEPT) + LEAST_KEPT, dtype=np.float64)

    def matrix(self, sigma: float) -> Float64:
        """Return V D_sigma V^T for patches laid out as vectors, [side^2, side^2]."""
        basis = np.kron(dct(self.side), dct(self.side))  # rows are coefficients, columns are pixels
        return np.asarray(basis.T @ (self.kept(sigma).reshape(-1, 1) * basis), dtype=np.float64)

    def blur(self, x: Tensor, sigma: float | Float64) -> Tensor:
        """Return V D_sigma V^T x.

        Args:
            x: [B, C side^2, h, w], pixels folded into channels as `pixel_unshuffle` does.
            sigma: One level, or [B] of them.
        """
        import torch

        levels = [sigma] if isinstance(sigma, float) else sigma.tolist()
        matrices = np.stack([self.matrix(level) for level in levels])  # [1 or B, side^2, side^2]
        blurring = torch.from_numpy(matrices).to(x.device, x.dtype)
        patches = x.reshape(len(x), -1, self.side**2, *x.shape[2:])  # [B, C, side^2, h, w]
        return torch.einsum("bij,bcjhw->bcihw", blurring.expand(len(x), -1, -1), patches).flatten(1, 2)

    def noise(self, white: Tensor, shared: Tensor) -> Tensor:
        """Return n for training, as `block_noise.BlockNoiseField` gives it for use.

        Args:
            white: [B, C, H, W] unit Gaussian.
            shared: [B, C, H + side - 1, W + side - 1] unit Gaussian.
        """
        from torch.nn import functional as F

        blocks = F.avg_pool2d(shared, self.side, stride=1) * self.side
        return white.add(blocks, alpha=self.block).div_(math.sqrt(1 + self.block**2))

    def sigma_above(self, sigma_low: float) -> float:
        """Return the sigma at this resolution whose noise on large structures is `sigma_low`'s below.

        A mean over a patch of white noise has 1/side of its standard deviation, so white noise is as strong
        as at the lower resolution with `side` times the sigma; block noise is as strong with the same.
        """
        passed = (1 + (self.block * self.side) ** 2) / (1 + self.block**2)  # of power, at frequency 0
        return sigma_low * self.side / math.sqrt(passed)


@lru_cache
def dct(side: int) -> Float64:
    """Return the orthonormal DCT-II, [coefficient, pixel]."""
    k, x = np.arange(side)[:, None], np.arange(side)[None]
    matrix: Float64 = np.cos(math.pi / side * (x + 0.5) * k) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix
