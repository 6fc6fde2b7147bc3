"""Block noise: white noise and noise of whole blocks together, for relays from a lower resolution.

Relay Diffusion (Teng et al., arXiv 2309.03350, section 3.1): what is white noise at a lower resolution is, at
`side` times that, noise that its pixels share in blocks. Sums over a window that slides give such noise
without a fixed lattice of blocks. Like `noise.NoiseField` it is a function of the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from upscale.diffusion.noise import NoiseField

Float32 = npt.NDArray[np.float32]

BLOCK_STAGE = 1 << 24  # noise planes for block noise: never those of white noise in any stage


def block_sums(eps: Float32, side: int) -> Float32:
    """Return Block[side](eps)_yx = sum_{i,j < side} eps_{y-i,x-j} / side, [C, H - side + 1, W - side + 1].

    For white eps of variance 1 the covariance of two pixels dy and dx apart is max(0, side - |dy|) max(0,
    side - |dx|) / side^2. Every value is added in the same order, whatever the window.

    Args:
        eps: [C, H, W]; the first `side` - 1 rows and columns serve the others only.
        side: Of a block in pixels.
    """
    height, width = (length - side + 1 for length in eps.shape[1:])
    rows = sum((eps[:, i : i + height] for i in range(1, side)), start=eps[:, :height])
    both = sum((rows[:, :, j : j + width] for j in range(1, side)), start=rows[:, :, :width])
    sums: Float32 = both / np.float32(side)
    return sums


@dataclass(frozen=True)
class BlockNoiseField:
    """(white + weight * block) / sqrt(1 + weight^2) over an unbounded plane, unit variance at every pixel.

    Attributes:
        seed: 0 to 2^64-1.
        stage: Index of the cascade stage, from 0.
        side: Of a block in pixels.
        weight: Of the block noise, `a` in the paper.
        channels: Colour channels.
    """

    seed: int
    stage: int
    side: int
    weight: float
    channels: int = 3

    def window(self, step: int, y: int, x: int, height: int, width: int) -> Float32:
        """Return the noise of a rectangle; arguments and result as `NoiseField.window`."""
        white = NoiseField(self.seed, self.stage, self.channels).window(step, y, x, height, width)
        beyond = self.side - 1
        shared = NoiseField(self.seed, BLOCK_STAGE + self.stage, self.channels)
        eps = shared.window(step, y - beyond, x - beyond, height + beyond, width + beyond)
        mixed: Float32 = white + np.float32(self.weight) * block_sums(eps, self.side)
        return mixed / np.float32((1 + self.weight**2) ** 0.5)
