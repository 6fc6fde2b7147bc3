"""Pictures in, larger pictures out: the Python API, and what the command line runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from upscale.diffusion import samplers
from upscale.engine import device as devices
from upscale.engine.plan import CascadePlan, plan_cascade
from upscale.engine.progress import Progress, ProgressCallback
from upscale.engine.stage import Sampling, Stage
from upscale.errors import DeviceError
from upscale.images.alpha import bleed
from upscale.images.picture import Picture, Pixels
from upscale.images.pil import from_pil, to_pil
from upscale.images.resize import resize
from upscale.models.restorer import Restorer
from upscale.options import DEFAULT_MODEL, EngineOptions, TargetSize

TILES_MAY_SHOW = (
    "This model looks at the whole picture at once; its tiles are blended and may show all the same. "
    "A larger --tile helps."
)


@dataclass(frozen=True)
class Settings:
    """What an `Upscaler` settled on; `auto` and None resolved.

    Attributes:
        model: Name of the model.
        device: Device, as torch writes it.
        dtype: `fp32`, `bf16` or `fp16`.
        sampler: Name of the sampler.
        steps: Network evaluations per stage.
        seed: Of the noise.
        tile_px: Side of a tile in input pixels, halo not counted.
    """

    model: str
    device: str
    dtype: str
    sampler: str
    steps: int
    seed: int
    tile_px: int


class Upscaler:
    """A model, ready to upscale pictures of any size.

    Not for use from several threads at once. Same settings, same picture: the result does not depend on tile
    size, on memory, or on what was upscaled before, beyond 1/255. Models that look at the whole picture at
    once, as SR3's own U-Net does, are the exception; the result's notes say so where they were tiled.

    Attributes:
        settings: What it settled on.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        dtype: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        tile_px: int | None = None,
    ) -> None:
        """Load a model. Arguments are those of `upscale.options.EngineOptions`.

        Raises:
            UsageError: An argument is out of range, or names something unknown.
            WeightsError: The model cannot be found, verified or loaded.
            DeviceError: The device is not there.
        """
        options = EngineOptions(
            model=model, steps=steps, sampler=sampler, seed=seed, device=device, dtype=dtype, tile_px=tile_px
        )
        torch_device = devices.resolve_device(options.device)
        torch_dtype = devices.resolve_dtype(options.dtype, torch_device)
        if options.sampler is not None:
            samplers.get(options.sampler)
        try:
            self._restorer = Restorer.load(options.model, torch_dtype, torch_device)
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
            raise DeviceError(
                f"{torch_device} has not enough memory for the model {options.model}.",
                hint="Close other programs, or use --device cpu.",
            ) from error
        config = self._restorer.config
        self.settings = Settings(
            model=config.name,
            device=str(torch_device),
            dtype=devices.DTYPE_NAMES[torch_dtype],
            sampler=options.sampler or config.sampler,
            steps=options.steps or config.steps,
            seed=options.seed,
            tile_px=options.tile_px or devices.default_tile_px(torch_device, self._restorer.fineness),
        )
        self._restorer.sigmas(self.settings.steps)  # a grid that cannot have so many steps says so now

    def __call__(
        self,
        image: Image.Image,
        scale: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Image.Image:
        """Return the picture upscaled: upright, in the same mode, with its metadata.

        Args:
            image: Any Pillow image.
            scale: Factor on both sides, 1 to 64; 4 where neither it nor `size` is given.
            size: Largest (width, height) of the result in pixels, proportions kept.
            progress: Told how far it is; may raise to cancel.

        Raises:
            UsageError: The size is out of range.
            InputError: The image cannot be decoded.
            DeviceError: Memory ran out for good.
        """
        picture = from_pil(image)
        target = TargetSize(scale=scale, box=size).resolve(*picture.size)
        return to_pil(self.upscale(picture, target, progress))

    def upscale(
        self, picture: Picture, size: tuple[int, int], progress: ProgressCallback | None = None
    ) -> Picture:
        """Return the picture at exactly `size` (width, height) in pixels, at least its own on both sides.

        Colour under fully transparent pixels is filled from its neighbours first, so that no dark fringe
        appears. Alpha goes through the model as well, in one step, which gives sharp edges and adds no
        texture; a model that predicts the noise knows nothing after one step, there alpha is interpolated.

        Raises:
            UsageError: `size` is smaller than the picture.
            DeviceError: Memory ran out for good.
        """
        plan = plan_cascade(picture.size, size, self._restorer.config.scale)
        with_alpha = (
            picture.alpha is not None
            and _varies(picture.alpha)
            and self._restorer.config.prediction != "epsilon"
        )
        work = _Work(
            progress, len(plan.stages) * (1 + with_alpha), _cost(plan, self.settings.steps, with_alpha)
        )
        if not self._restorer.local and any(
            max(stage.input_size) > self.settings.tile_px for stage in plan.stages
        ):
            work.notes.append(TILES_MAY_SHOW)
        color, alpha = picture.color, None
        if picture.alpha is not None:
            color = bleed(color, picture.alpha)
            small = picture.alpha[:, :, None]
            alpha = resize(small, size, resample="bicubic")[:, :, 0]
            if with_alpha:
                alpha = _keep_extremes(self._run(small, plan, 1, work)[:, :, 0], alpha)
        color = self._run(color, plan, self.settings.steps, work)
        return replace(picture, color=color, alpha=alpha, notes=(*picture.notes, *work.notes))

    def _run(self, pixels: Pixels, plan: CascadePlan, steps: int, work: _Work) -> Pixels:
        """Return pixels [H, W, C] after all stages; 16 bits between them, the input's depth at the end."""
        dtype = pixels.dtype
        config = self._restorer.config
        for stage in plan.stages:
            if stage.resize_from is not None:
                pixels = resize(pixels, stage.input_size, box=(0.0, 0.0, *stage.resize_from))
            pixels = pixels[: stage.input_size[1], : stage.input_size[0]]
            last = stage.index == len(plan.stages) - 1
            width, height = plan.output_size if last and not plan.final_resize else stage.output_size
            hr = np.empty((height, width, pixels.shape[2]), dtype if last else np.uint16)
            sampling = Sampling(
                sampler=self.settings.sampler,
                steps=steps,
                seed=self.settings.seed,
                sigma_aug=config.stage_noise if stage.index else 0.0,
            )
            tile_px, tell = self.settings.tile_px, work.next_stage()
            Stage(self._restorer, pixels, hr, stage.index, sampling, tile_px, tell).run()
            pixels = hr
        return resize(pixels, plan.output_size) if plan.final_resize else pixels


def _varies(alpha: Pixels) -> bool:
    return bool((alpha != alpha.flat[0]).any())


def _cost(plan: CascadePlan, steps: int, with_alpha: bool) -> int:
    pixels = sum(width * height for width, height in (stage.input_size for stage in plan.stages))
    return pixels * (steps + with_alpha)


def _keep_extremes(alpha: Pixels, smooth: Pixels) -> Pixels:
    """Return alpha, but fully transparent or opaque wherever plain interpolation says so."""
    full = np.iinfo(alpha.dtype).max
    return np.where((smooth == 0) | (smooth == full), smooth, alpha)


class _Work:
    """Adds up what the stages report."""

    def __init__(self, progress: ProgressCallback | None, stages: int, total: int) -> None:
        self._progress = progress
        self._stages = stages
        self._stage = 0
        self._done = 0
        self._shown = 0  # the most that was done: what memory or precision undid is not taken back
        self._total = total
        self.notes: list[str] = []

    def next_stage(self) -> Callable[[int, int, int, str | None], None]:
        self._stage += 1

        def on_tile(tile: int, tiles: int, pixels: int, message: str | None) -> None:
            self._done += pixels
            self._shown = max(self._shown, self._done)
            if message is not None and message not in self.notes:
                self.notes.append(message)
            if self._progress is not None:
                self._progress(
                    Progress(self._stage, self._stages, tile, tiles, self._shown, self._total, message)
                )

        return on_tile
