"""One stage: LR pixels -> HR pixels, tile by tile. The canvases stay on the host, tiles go to the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from upscale.diffusion.noise import INITIAL, NoiseField
from upscale.engine.canvas import Blended, Canvas, SideBySide
from upscale.engine.device import free_memory, is_out_of_memory
from upscale.engine.tiles import Box, Tiling
from upscale.errors import DeviceError
from upscale.images.picture import Pixels
from upscale.images.pixels import to_float
from upscale.models.restorer import Restorer
from upscale.options import MIN_TILE_PX

AUGMENTATION_STAGE = 1 << 16  # noise planes for conditioning augmentation: never those of a sampling stage


@dataclass(frozen=True)
class Sampling:
    """How a stage samples.

    Attributes:
        sampler: Name of the sampler.
        steps: Network evaluations.
        seed: Of the noise field.
        sigma_aug: Conditioning augmentation, std in [-1, 1] units.
    """

    sampler: str
    steps: int
    seed: int
    sigma_aug: float = 0.0


OnTile = Callable[[int, int, int, str | None], None]
"""(tiles done, tiles planned, pixels evaluated since the last call, message)"""


@dataclass
class Stage:
    """A stage about to run: a queue of tiles, and what to do when one fails.

    Running out of memory halves the tile and goes on. A tile that comes out with values that are no numbers
    is done again in float32.

    Attributes:
        restorer: The model.
        lr: [H, W, 1 or 3] input; grey is given to the model as three equal channels.
        hr: [H', W', 1 or 3] canvas to fill, at most `scale` times as large as `lr`; what sticks out is cut
            off.
        index: Of the stage, from 0; decides its noise.
        sampling: How to sample.
        tile_px: Side of a tile in pixels of `lr`, halo not counted.
        on_tile: Told after every network evaluation.
    """

    restorer: Restorer
    lr: Pixels
    hr: Pixels
    index: int
    sampling: Sampling
    tile_px: int
    on_tile: OnTile

    def __post_init__(self) -> None:
        size = (self.lr.shape[1], self.lr.shape[0])
        self.tiling = Tiling(size, self.restorer.multiple_of, self.restorer.config.halo_px)
        self.queue = deque(self.tiling.cores(self.tile_px))
        self.canvas: Canvas = SideBySide(self.hr) if self.restorer.local else Blended(self.hr)
        self.done = 0

    def run(self) -> None:
        """Fill the canvas.

        Raises:
            DeviceError: Memory runs out even with the smallest tiles, or float32 overflows too.
        """
        while self.queue:
            core = self.queue.popleft()
            if max(core.width, core.height) > self.tile_px:  # planned before memory ran out
                self.queue.extendleft(reversed(self.tiling.split(core, self.tile_px)))
                continue
            problem: str | None = None
            evaluated = 0
            inside = core.within(*self.tiling.size)  # padding is not counted as work

            def on_step(_: int, pixels: int = inside.area) -> None:
                nonlocal evaluated
                evaluated += pixels
                self._tell(pixels)

            try:
                tile = self._tile(core, on_step)
            except (RuntimeError, MemoryError) as error:
                problem = self._smaller_tiles(core, error)
            else:
                if not np.isfinite(tile).all():
                    problem = self._more_precision()
            if problem is not None:
                free_memory(self.restorer.device)  # only here: the exception held the tile's tensors
                self.queue.appendleft(core)
                self._tell(-evaluated, problem)
                continue
            scale = self.restorer.config.scale
            self.canvas.place(tile, self.tiling.window(core).times(scale), core.times(scale))
            self.done += 1
            self._tell(0)
        self.canvas.finish()

    def _tile(self, core: Box, on_step: Callable[[int], None]) -> np.ndarray:
        """Return the result for the core's window, [s h, s w, 3] float32, nominally in [-1, 1]."""
        restorer, sampling = self.restorer, self.sampling
        window = self.tiling.window(core)
        fine = window.times(restorer.config.scale)
        field = NoiseField(sampling.seed, self.index)

        x_lr = _to_device(to_float(_cut(self.lr, window)).transpose(2, 0, 1), restorer).expand(1, 3, -1, -1)
        if sampling.sigma_aug:
            grain = NoiseField(sampling.seed, AUGMENTATION_STAGE + self.index)
            noise = grain.window(INITIAL, window.top, window.left, window.height, window.width)
            x_lr = x_lr + sampling.sigma_aug * _to_device(noise, restorer)

        def noise_of(step: int) -> Tensor:
            return _to_device(field.window(step, fine.top, fine.left, fine.height, fine.width), restorer)

        image = restorer.restore(
            x_lr,
            noise_of,
            sampler=sampling.sampler,
            steps=sampling.steps,
            sigma_aug=sampling.sigma_aug,
            on_step=on_step,
        )[0]  # [3, s h, s w]
        result: np.ndarray = image.permute(1, 2, 0).float().cpu().numpy()
        return result

    def _tell(self, pixels: int, message: str | None = None) -> None:
        self.on_tile(self.done, max(1, self.done + len(self.queue)), pixels, message)

    def _more_precision(self) -> str:
        if self.restorer.dtype == torch.float32:
            raise DeviceError(
                "The model's result is not a number, even in fp32.", hint="Try another --model or --device."
            )
        self.restorer = self.restorer.in_float32()
        return "half precision overflowed; going on in fp32"

    def _smaller_tiles(self, core: Box, error: Exception) -> str:
        if not is_out_of_memory(error):
            raise error
        self.tile_px = max(core.width, core.height) // 2
        if self.tile_px < MIN_TILE_PX:
            raise DeviceError(
                f"{self.restorer.device} ran out of memory even with tiles of {2 * self.tile_px} pixels.",
                hint="Close other programs, or use --device cpu.",
            ) from error
        return f"out of memory; going on with tiles of {self.tile_px} pixels"


def _to_device(array: np.ndarray, restorer: Restorer) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))[None].to(restorer.device)


def _cut(pixels: Pixels, box: Box) -> Pixels:
    """Return a rectangle of a picture; what lies beyond its right or lower border repeats its edge."""
    height, width = pixels.shape[:2]
    part = pixels[box.top : box.bottom, box.left : box.right]
    beyond = ((0, max(0, box.bottom - height)), (0, max(0, box.right - width)), (0, 0))
    if not any(after for _, after in beyond):
        return part
    return cast(Pixels, np.pad(part, beyond, mode="edge"))
