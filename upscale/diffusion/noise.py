"""Noise that is a function of the place: the same under a pixel whatever tile, batch or device asks for it.

The plane is cut into blocks of 64 pixels. Each block has its own stream of the counter-based generator Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by (seed, stage, step) and
counted from the block's position. NumPy promises the stream of Philox for good, but not what its
`Generator` makes of it: so the Gaussians are made here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

BLOCK_PX = 64
INITIAL = -1  # the step whose noise makes the x that sampling starts from

_WORD = 1 << 64


class Field(Protocol):
    """Noise of unit variance that is a function of the place."""

    def window(self, step: int, y: int, x: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """Return the noise of a rectangle, as `NoiseField.window` does."""
        ...


@dataclass(frozen=True)
class NoiseField:
    """Unit Gaussian white noise over an unbounded plane, one plane per step.

    Attributes:
        seed: 0 to 2^64-1.
        stage: Index of the cascade stage, from 0.
        channels: Colour channels.
    """

    seed: int
    stage: int = 0
    channels: int = 3

    def window(self, step: int, y: int, x: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """Return the noise of a rectangle, [channels, height, width] float32.

        Args:
            step: 0 and up for the draw between sigmas[step] and sigmas[step + 1]; `INITIAL` for the start.
            y: Row of the upper left pixel; may be negative (padding outside the picture).
            x: Column of the upper left pixel; may be negative.
            height: Rows.
            width: Columns.
        """
        columns = range(x // BLOCK_PX, -(-(x + width) // BLOCK_PX))
        left = x - columns.start * BLOCK_PX  # of the window, in the blocks
        out = np.empty((self.channels, height, width), dtype=np.float32)
        for row in range(y // BLOCK_PX, -(-(y + height) // BLOCK_PX)):
            top = row * BLOCK_PX - y  # of the blocks, in the window
            strip = self._strip(step, row, columns)[:, max(-top, 0) : height - top, left : left + width]
            out[:, max(top, 0) : top + BLOCK_PX] = strip
        return out

    def _strip(self, step: int, row: int, columns: range) -> npt.NDArray[np.float32]:
        """Return the blocks of some columns side by side, [channels, BLOCK_PX, n BLOCK_PX]."""
        assert step >= INITIAL and self.stage >= 0
        pairs = self.channels * BLOCK_PX * BLOCK_PX // 2
        key = np.array([self.seed, (self.stage << 32) + step + 1], dtype=np.uint64)
        bits = np.empty((len(columns), pairs), np.uint64)
        for stream, column in zip(bits, columns, strict=True):
            counter = np.array(
                [0, 0, row % _WORD, column % _WORD], dtype=np.uint64
            )  # word 0 counts the draws
            stream[:] = np.random.Philox(key=key, counter=counter).random_raw(pairs)
        uniform = bits.view(np.uint32).reshape(len(columns), 2, pairs)
        # Box and Muller (1958), in float32. A half is added because the log of 0 is not wanted.
        radius = np.log((uniform[:, 0].astype(np.float32) + np.float32(0.5)) * np.float32(2**-32))
        radius = np.sqrt(np.multiply(radius, -2, out=radius), out=radius)
        angle = uniform[:, 1].astype(np.float32) * np.float32(2 * math.pi * 2**-32)
        normals = np.empty((len(columns), 2, pairs), np.float32)
        np.multiply(radius, np.cos(angle), out=normals[:, 0])
        np.multiply(radius, np.sin(angle), out=normals[:, 1])
        blocks = normals.reshape(len(columns), self.channels, BLOCK_PX, BLOCK_PX)
        return blocks.transpose(1, 2, 0, 3).reshape(self.channels, BLOCK_PX, -1)
