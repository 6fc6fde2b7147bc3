"""One stage: LR pixels -> HR pixels, tile by tile, of one picture or of several.

The canvases stay on the host, tiles go to the device.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from upscale.diffusion import samplers
from upscale.diffusion.noise import INITIAL, Field, NoiseField
from upscale.engine.beside import THREADS, Beside
from upscale.engine.canvas import Blended, Canvas, Float32, SideBySide
from upscale.engine.device import free_memory
from upscale.engine.flat import flatten_
from upscale.engine.spread import mean_and_spread
from upscale.engine.tiles import Box, Tiling
from upscale.engine.transfer import cut, rgb, to_device, to_host
from upscale.errors import DeviceError
from upscale.images import scratch
from upscale.images.picture import Pixels
from upscale.models.failure import first_line, is_of_device, is_out_of_memory
from upscale.models.restorer import Restorer
from upscale.options import MIN_TILE_PX

AHEAD = THREADS  # draws of noise that are made before they are needed: all of a tile's would fill the memory
AUGMENTATION_STAGE = 1 << 16  # noise planes for conditioning augmentation: never those of a sampling stage


@dataclass(frozen=True)
class Sampling:
    """How a stage samples.

    Attributes:
        sampler: Name of the sampler.
        steps: Network evaluations.
        seed: Of the noise field; further samples take the numbers after it.
        samples: How many are made of each tile; the result is their mean.
        start: Noise level that a run begins at, see `Restorer.samples`.
        sigma_aug: Conditioning augmentation that is added, std in [-1, 1] units.
    """

    sampler: str
    steps: int
    seed: int
    samples: int = 1
    start: float = 1.0
    sigma_aug: float = 0.0


OnTile = Callable[[int, int, int, str | None], None]
"""(tiles done, tiles planned, pixels evaluated since the last call, message)"""


@dataclass
class Room:
    """How much goes through the network at once. It shrinks when memory runs out, for all that comes after.

    Attributes:
        tile_px: Side of a tile in pixels of the stage's input, halo not counted.
        together_px: Most pixels, halos counted, of several tiles at once.
    """

    tile_px: int
    together_px: int


@dataclass(frozen=True)
class Task:
    """A picture to enlarge.

    Attributes:
        lr: The input, [H, W, 1 or 3]; grey is given to the model as three equal channels.
        hr: The canvas to fill, [H', W', 1 or 3], at most `scale` times as large; what sticks out is cut off.
        noise: Std in [-1, 1] units of the noise that the input has already, and that shall be taken out.
        fidelity: How near the result is to its first estimate, see `Restorer.samples`.
        keep_flat: Whether what is flat was so in the photo, and stays so.
        spread: Canvas of the same size for where the samples disagree, [H', W', 1]: their standard deviation,
            full scale is `spread.FULL_SPREAD`. None where nobody asks.
    """

    lr: Pixels
    hr: Pixels
    noise: float
    fidelity: float
    keep_flat: bool
    spread: Pixels | None


class _Tile(NamedTuple):
    """What is done next: a core of one of the pictures."""

    task: int
    core: Box


@dataclass(frozen=True)
class _Noise:
    """The noise of one step of a run, in a window: makes it when called."""

    field: Field
    step: int
    window: Box

    def __call__(self) -> Float32:
        window = self.window
        return self.field.window(self.step, window.top, window.left, window.height, window.width)


@dataclass
class Stage:
    """A stage about to run for pictures of one size: a queue of tiles, and what to do when some fail.

    Small tiles of equal size go through the network together: alone they would leave the processor waiting
    for memory and for kernels to start. Running out of memory halves their number, at last the tile, and goes
    on. Tiles that come out with values that are no numbers are done again in float32.

    Attributes:
        restorer: The model.
        tasks: The pictures, of one size and to one size; for all or none it is asked where samples disagree.
        reduced_by: How many times narrower and lower the result is made next, see `spread.mean_and_spread`.
        index: Of the stage, from 0; decides its noise.
        sampling: How to sample.
        room: How much at once.
        on_tile: Told after every network evaluation.
    """

    restorer: Restorer
    tasks: Sequence[Task]
    reduced_by: tuple[float, float]
    index: int
    sampling: Sampling
    room: Room
    on_tile: OnTile

    def __post_init__(self) -> None:
        (height, width), large = (pixels.shape[:2] for pixels in (self.tasks[0].lr, self.tasks[0].hr))
        for task in self.tasks:
            assert task.lr.shape[:2] == (height, width), "one size goes through together"
            assert task.hr.shape[:2] == large
        self.tiling = Tiling((width, height), self.restorer.multiple_of, self.restorer.config.halo_px)
        cores = self.tiling.cores(self.room.tile_px)  # the same place of all pictures: they share its noise
        self._plan(_Tile(task, core) for core in cores for task in range(len(self.tasks)))
        kind = SideBySide if self.restorer.local else Blended
        self.canvases: list[Canvas] = [kind(task.hr) for task in self.tasks]
        spreads = [task.spread for task in self.tasks if task.spread is not None]
        assert len(spreads) in (0, len(self.tasks))
        self.spread_canvases: list[Canvas] = [kind(spread) for spread in spreads]
        self.done = 0
        self.settled = 0  # rows of the canvases

    def run(self) -> None:
        """Fill the canvases.

        Raises:
            DeviceError: Memory runs out even with the smallest tiles, or float32 overflows too.
        """
        with Beside(threaded=self.restorer.device.type != "cpu") as beside:
            while self.queue:
                self._do([self._take_first() for _ in self._together()], beside)
            beside.wait()
        for canvas in self.canvases + self.spread_canvases:
            canvas.finish()

    def _do(self, tiles: list[_Tile], beside: Beside) -> None:
        """Restore some tiles and place them, or put them back into the queue."""
        problem: str | None = None
        evaluated = 0
        # Padding is not counted as work.
        inside = sum(tile.core.within(*self.tiling.size).area for tile in tiles)

        def on_step(_: int) -> None:
            nonlocal evaluated
            evaluated += inside
            self._tell(inside)

        try:
            images, spreads = self._restored(tiles, on_step, beside)
        except (RuntimeError, MemoryError) as error:
            problem = self._less_at_once(tiles, error)
        else:
            if not np.isfinite(images).all():
                problem = self._more_precision()
        if problem is not None:
            free_memory(self.restorer.device)  # only here: the exception held the tiles' tensors
            beside.forget()
            self._plan([*tiles, *self.queue])
            self._tell(-evaluated, problem)
            return
        beside.do(partial(self._place, tiles, images, spreads, self._settled()))
        self.done += len(tiles)
        self._tell(0)

    def _place(
        self, tiles: Sequence[_Tile], images: Float32, spreads: Float32 | list[None], settled: int
    ) -> None:
        """Put tiles into the canvases, whose rows above `settled` are done then."""
        scale = self.restorer.config.scale
        for (task, core), image, spread in zip(tiles, images, spreads, strict=True):
            window = self.tiling.window(core)
            places = window.times(scale), core.times(scale)
            if self.tasks[task].keep_flat:
                flatten_(image, spread, self.tasks[task].lr, window)
            self.canvases[task].place(image, *places)
            if spread is not None:
                self.spread_canvases[task].place(spread, *places)
        if settled > self.settled:
            self._settle(settled)

    def _plan(self, tiles: Iterable[_Tile]) -> None:
        """Let these tiles be the queue, cut to what there is room for."""
        self.queue = deque(
            _Tile(task, part) for task, core in tiles for part in self.tiling.split(core, self.room.tile_px)
        )
        # How many windows of the queue's tiles begin at each row.
        self.tops = Counter(self.tiling.window(tile.core).top for tile in self.queue)

    def _take_first(self) -> _Tile:
        tile = self.queue.popleft()
        self.tops.subtract([self.tiling.window(tile.core).top])
        self.tops += Counter()  # forgets rows without tiles
        return tile

    def _together(self) -> list[_Tile]:
        """Return the first tiles of the queue as far as they are of one size and go through together."""
        if not self.queue:
            return []
        width, height = self.tiling.window(self.queue[0].core).size
        most = max(1, self.room.together_px // (width * height))
        first = itertools.islice(self.queue, most)
        return list(
            itertools.takewhile(lambda tile: self.tiling.window(tile.core).size == (width, height), first)
        )

    def _restored(
        self, tiles: Sequence[_Tile], on_step: Callable[[int], None], beside: Beside
    ) -> tuple[Float32, Float32 | list[None]]:
        """Return what the windows of some tiles become, and how much its samples differ.

        Both are [N, s h, s w, 3], nominally in [-1, 1]; the second is None for each where nobody asks.
        """
        restorer, sampling = self.restorer, self.sampling
        windows = [self.tiling.window(tile.core) for tile in tiles]
        tasks = [self.tasks[tile.task] for tile in tiles]
        x_lr = to_device(
            [rgb(cut(task.lr, window)) for task, window in zip(tasks, windows, strict=True)], restorer.device
        )

        if sampling.sigma_aug:
            grain = NoiseField(sampling.seed, AUGMENTATION_STAGE + self.index)
            x_lr = x_lr + sampling.sigma_aug * self._noise(windows, beside, grain, INITIAL)
        images = restorer.samples(
            x_lr,
            self._runs(self._noise_windows(tiles), beside),
            sampler=sampling.sampler,
            steps=sampling.steps,
            start=sampling.start,
            fidelity=[task.fidelity for task in tasks],
            sigma_aug=[math.hypot(task.noise, sampling.sigma_aug) for task in tasks],
            on_step=on_step,
        )  # [N, 3, s h, s w] each
        mean, spread = mean_and_spread(
            images, with_spread=bool(self.spread_canvases), reduced_by=self.reduced_by
        )
        return to_host(mean), [None] * len(tiles) if spread is None else to_host(spread)

    def _runs(self, windows: Sequence[Box], beside: Beside) -> list[Callable[[int], Tensor]]:
        """Return each sample's noise in some windows; what will be asked for next is made meanwhile."""
        sampling = self.sampling
        fields = [self.restorer.noise_field(sampling.seed + i, self.index) for i in range(sampling.samples)]
        places = set(windows), set(self._noise_windows(self._together()))  # these tiles', and the next ones'
        coming = itertools.product(places, fields, self._noise_steps)

        def begin(count: int) -> None:
            for where, field, step in itertools.islice(coming, count):
                beside.make_ahead(_Noise(field, step, window) for window in where)

        def noise(field: Field, step: int) -> Tensor:
            begin(1)
            return self._noise(windows, beside, field, step)

        begin(AHEAD)
        return [partial(noise, field) for field in fields]

    @cached_property
    def _noise_steps(self) -> list[int]:
        """The steps whose noise a run asks for, in order, as its rehearsal with a single number tells."""
        asked, number = [INITIAL], torch.zeros(())

        def noise(step: int) -> Tensor:
            asked.append(step)
            return number

        sigmas = self.restorer.config.sigmas(self.sampling.steps, self.sampling.start)
        samplers.sample(self.sampling.sampler, lambda *_: number, number, sigmas, noise)
        return asked

    def _noise(self, windows: Sequence[Box], beside: Beside, field: Field, step: int) -> Tensor:
        """Return the noise of some windows; that of one place is made once for all pictures."""
        made = {window: beside.take(_Noise(field, step, window)) for window in set(windows)}
        return to_device([made[window] for window in windows], self.restorer.device)

    def _noise_windows(self, tiles: Sequence[_Tile]) -> list[Box]:
        """Return the windows of some tiles on the grid of the noise."""
        fineness = self.restorer.noise_fineness
        return [self.tiling.window(tile.core).times(fineness) for tile in tiles]

    def _settled(self) -> int:
        """Return how many rows of the canvases no tile of the queue shows."""
        return min(self.tops, default=0) * self.restorer.config.scale

    def _settle(self, rows: int) -> None:
        """Tell the canvases that the rows above are done."""
        self.settled = rows
        for canvas in self.canvases + self.spread_canvases:
            canvas.settle(rows)
        scratch.release(*(task.lr for task in self.tasks))

    def _tell(self, pixels: int, message: str | None = None) -> None:
        self.on_tile(self.done, max(1, self.done + len(self.queue)), pixels, message)

    def _more_precision(self) -> str:
        if self.restorer.dtype == torch.float32:
            raise DeviceError(
                "The model's result is not a number, even in fp32.", hint="Try another --model or --device."
            )
        self.restorer = self.restorer.in_float32()
        return "half precision overflowed; going on in fp32"

    def _less_at_once(self, tiles: Sequence[_Tile], error: Exception) -> str:
        if not is_out_of_memory(error):
            if is_of_device(error):
                raise DeviceError(
                    f"{self.restorer.device} failed ({first_line(error)}).",
                    hint="Run again for what is missing; if it happens again, try another --device.",
                ) from error
            raise error
        core = tiles[0].core
        if len(tiles) > 1:
            fewer = len(tiles) // 2
            self.room.together_px = fewer * self.tiling.window(core).area
            return f"out of memory; going on with {fewer} of {len(tiles)} tiles at once"
        smaller = max(core.width, core.height) // 2
        if smaller < max(MIN_TILE_PX, self.tiling.multiple_of):
            raise DeviceError(
                f"{self.restorer.device} ran out of memory even with tiles of {2 * smaller} pixels.",
                hint="Close other programs, or use --device cpu.",
            ) from error
        self.room.tile_px = smaller
        self.room.together_px = min(self.room.together_px, self.tiling.full_px(smaller))
        return f"out of memory; going on with tiles of {smaller} pixels"
