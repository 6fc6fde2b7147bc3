"""Where tiles come together: side by side for local networks, blended over their halos for the others.

A local network gives the same pixels whichever tile they are in, so cores are put side by side. A network
that looks at the whole tile (group normalisation, attention) gives slightly other pixels in every tile;
there a tile's weight falls linearly over the halo it shares with its neighbour. Weights are above 0
everywhere and the sum is divided by theirs, so however tiles lie, every pixel is a mean of their pixels.

Tiles come row by row; what they have settled needs no memory, so a picture on disk takes none but the tiles'.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from upscale.engine.tiles import Box
from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.images.pixels import from_float

Float32 = npt.NDArray[np.float32]
BAND_ROWS = 256  # converted at a time, so that the end of a stage takes little memory


class Canvas(Protocol):
    """An HR picture in the making."""

    def place(self, tile: Float32, window: Box, core: Box) -> None:
        """Take a tile.

        Args:
            tile: [h, w, 3], nominally in [-1, 1], as large as its window.
            window: The pixels of the HR picture that it shows; it may stick out at the right and the bottom.
            core: Those it answers for, within the window.
        """
        ...

    def settle(self, rows: int) -> None:
        """Do what can be done with the rows above `rows`: no further tile shows them."""
        ...

    def finish(self) -> None:
        """Fill what is not filled yet; all tiles are there."""
        ...


class SideBySide:
    """Keeps the cores and forgets the halos."""

    def __init__(self, hr: Pixels) -> None:
        """Fill `hr` [H, W, 1 or 3]."""
        self._hr = hr

    def place(self, tile: Float32, window: Box, core: Box) -> None:
        """Convert the core."""
        height, width = self._hr.shape[:2]
        inside = core.within(width, height)
        if inside.width > 0 and inside.height > 0:
            part = _part(tile, window, inside)
            self._hr[inside.top : inside.bottom, inside.left : inside.right] = from_float(
                _channels(part, self._hr), self._hr.dtype
            )

    def settle(self, rows: int) -> None:
        """Let go of their memory, where the picture is on disk."""
        scratch.release(self._hr)

    def finish(self) -> None:
        """Nothing else is left to do."""
        scratch.release(self._hr)


class Blended:
    """Weighs tiles over their halos. Holds 16 bytes per pixel of RGB for the rows that are not settled."""

    def __init__(self, hr: Pixels) -> None:
        """Fill `hr` [H, W, 1 or 3]."""
        self._hr = hr
        self._top = 0  # rows above are in the picture
        self._sum = np.zeros((0, *hr.shape[1:]), np.float32)  # of the rows from `_top` on, as far as needed
        self._weight = np.zeros((0, hr.shape[1], 1), np.float32)

    def place(self, tile: Float32, window: Box, core: Box) -> None:
        """Add the whole window, weighted."""
        height, width = self._hr.shape[:2]
        inside = window.within(width, height)
        if inside.width <= 0 or inside.height <= 0:
            return
        assert inside.top >= self._top, "its rows are settled"
        self._reach(inside.bottom)
        rows = ramps(window.top, core.top, core.bottom, window.bottom)
        columns = ramps(window.left, core.left, core.right, window.right)
        weight = (rows[:, None] * columns)[: inside.height, : inside.width, None]
        part = _channels(_part(tile, window, inside), self._hr)
        place = np.s_[inside.top - self._top : inside.bottom - self._top, inside.left : inside.right]
        self._sum[place] += part * weight
        self._weight[place] += weight

    def settle(self, rows: int) -> None:
        """Divide by the weights and convert."""
        count = min(rows, len(self._hr)) - self._top
        if count <= 0:
            return
        for top in range(0, count, BAND_ROWS):
            band = slice(top, min(top + BAND_ROWS, count))
            weight = self._weight[band]
            assert (weight > 0).all(), "tiles leave no pixel out"
            self._hr[self._top + band.start : self._top + band.stop] = from_float(
                self._sum[band] / weight, self._hr.dtype
            )
        self._sum, self._weight = self._sum[count:].copy(), self._weight[count:].copy()
        self._top += count
        scratch.release(self._hr)

    def finish(self) -> None:
        """Settle all rows."""
        self.settle(len(self._hr))

    def _reach(self, bottom: int) -> None:
        """Make room for the rows above `bottom`."""
        missing = bottom - self._top - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate([self._sum, np.zeros((missing, *self._sum.shape[1:]), np.float32)])
            self._weight = np.concatenate(
                [self._weight, np.zeros((missing, *self._weight.shape[1:]), np.float32)]
            )


def ramps(start: int, core_start: int, core_stop: int, stop: int) -> Float32:
    """Return the weights of a tile along one axis, [stop - start], in (0, 1].

    They rise from the window's edge over twice the halo, which is where a neighbour of the same halo falls,
    so that the two sum to 1. Where the window ends with the core, at the picture's border, they stay 1.
    """
    weights = np.ones(stop - start, np.float32)
    for halo, side in ((core_start - start, slice(None)), (stop - core_stop, slice(None, None, -1))):
        length = min(2 * halo, len(weights))
        if length:
            rising = (np.arange(length, dtype=np.float32) + 0.5) / (2 * halo)
            weights[side][:length] *= rising
    return weights


def _part(tile: Float32, window: Box, inside: Box) -> Float32:
    top, left = inside.top - window.top, inside.left - window.left
    return tile[top : top + inside.height, left : left + inside.width]


def _channels(tile: Float32, hr: Pixels) -> Float32:
    return tile.mean(axis=2, keepdims=True) if hr.shape[2] == 1 else tile
