"""Pictures in, larger pictures out: the Python API, and what the command line runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from upscale.diffusion import samplers
from upscale.engine import device as devices
from upscale.engine.color import FIXES
from upscale.engine.consistency import make_consistent
from upscale.engine.plan import CascadePlan, StagePlan, plan_cascade
from upscale.engine.progress import Progress, ProgressCallback
from upscale.engine.stage import Room, Sampling, Stage
from upscale.engine.tiles import Tiling
from upscale.errors import DeviceError, UsageError
from upscale.images import scratch
from upscale.images.alpha import bleed
from upscale.images.picture import Picture, Pixels
from upscale.images.pil import from_pil, to_pil
from upscale.images.resize import resize
from upscale.models import catalog
from upscale.models.access import Access
from upscale.models.config import color_fix_of, fidelity_of, joined, steps_of
from upscale.models.restorer import Restorer
from upscale.options import DEFAULT_MODEL, EngineOptions, TargetSize

TILES_MAY_SHOW = (
    "This model looks at the whole picture at once; its tiles are blended and may show all the same. "
    "A larger --tile helps."
)
MOST_TOGETHER = 64  # pictures: a killed run loses those it was working on


@dataclass(frozen=True)
class Settings:
    """What an `Upscaler` settled on; `auto` and None resolved.

    Where the models of a cascade differ in their defaults, these are the first one's.

    Attributes:
        model: Name of the model; of a cascade all names, with commas between them.
        device: Device, as torch writes it.
        dtype: `fp32`, `bf16` or `fp16`.
        sampler: Name of the sampler.
        steps: Network evaluations per stage and sample.
        fidelity: Share of the first step's estimate in the result.
        samples: Samples that the result is the mean of.
        seed: Of the noise.
        consistency: Whether the result's reduction is made to be the input.
        color_fix: How colours are put right, a name in `color.FIXES`.
        tile_px: Side of a tile in input pixels, halo not counted.
    """

    model: str
    device: str
    dtype: str
    sampler: str
    steps: int
    fidelity: float
    samples: int
    seed: int
    consistency: bool
    color_fix: str
    tile_px: int


class _Model:
    """A model of a cascade, and how it is used.

    Attributes:
        restorer: The model.
        settings: What was settled on for it alone.
        room: How much of a picture it takes at once: small tiles together need no more than a large one.
    """

    def __init__(self, restorer: Restorer, settings: Settings) -> None:
        self.restorer = restorer
        self.settings = settings
        tiling = Tiling((1, 1), restorer.multiple_of, restorer.config.halo_px)
        self.room = Room(settings.tile_px, tiling.full_px(settings.tile_px))


class Upscaler:
    """A model, or several for the stages of a cascade, ready to upscale pictures of any size.

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
        consistency: bool = False,
        color_fix: str = "auto",
        tile_px: int | None = None,
        fidelity: float | None = None,
        samples: int = 1,
        map_uncertainty: bool = False,
        offline: bool = False,
        accept_licence: bool = False,
    ) -> None:
        """Load a model. Arguments are those of `upscale.options.EngineOptions`.

        Raises:
            UsageError: An argument is out of range, or names something unknown.
            WeightsError: The model cannot be found, verified or loaded.
            DeviceError: The device is not there.
        """
        options = EngineOptions(
            model=model,
            steps=steps,
            sampler=sampler,
            seed=seed,
            consistency=consistency,
            color_fix=color_fix,
            device=device,
            dtype=dtype,
            tile_px=tile_px,
            fidelity=fidelity,
            samples=samples,
            map_uncertainty=map_uncertainty,
            offline=offline,
            accept_licence=accept_licence,
        )
        torch_device = devices.resolve_device(options.device)
        torch_dtype = devices.resolve_dtype(options.dtype, torch_device)
        if options.sampler is not None:
            samplers.get(options.sampler)
        access = Access(options.offline, options.accept_licence)
        try:
            names = catalog.stages(options.model)
            loaded = {
                name: Restorer.load(name, torch_dtype, torch_device, access) for name in dict.fromkeys(names)
            }
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
            raise DeviceError(
                f"{torch_device} has not enough memory for the model {options.model}.",
                hint="Close other programs, or use --device cpu.",
            ) from error
        models = {name: _Model(restorer, _settle(restorer, options)) for name, restorer in loaded.items()}
        self._models = [models[name] for name in names]
        self._uncertainty = options.map_uncertainty
        configs = [model.restorer.config for model in self._models]
        self.settings = replace(
            self._models[0].settings,
            model=joined(config.name for config in configs),
            color_fix=color_fix_of(configs, options.color_fix),
        )

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

        Raises:
            UsageError: `size` is smaller than the picture.
            DeviceError: Memory ran out for good.
        """
        return self.upscale_many([picture], size, progress)[0]

    def together(self, size: tuple[int, int], target: tuple[int, int]) -> int:
        """Return how many pictures of one (width, height) `upscale_many` does best at once.

        Their inputs, and their results for the model's scale, have no more pixels than one full tile: more
        would take memory and be no faster.
        """
        number = MOST_TOGETHER
        for model in self._models:
            config = model.restorer.config
            tiling = Tiling(size, model.restorer.multiple_of, config.halo_px)
            if max(tiling.padded) > model.room.tile_px:
                return 1
            pixels = max(math.prod(tiling.padded), math.prod(target) // config.scale**2)
            number = min(number, model.room.together_px // pixels)
        return max(1, number)

    def upscale_many(
        self,
        pictures: Sequence[Picture],
        size: tuple[int, int],
        progress: ProgressCallback | None = None,
    ) -> list[Picture]:
        """Return pictures of one size at exactly `size`, each as `upscale` alone makes it, beyond 1/255.

        Small ones are much faster so; `together` says how many.

        Colour under fully transparent pixels is filled from its neighbours first, so that no dark fringe
        appears. Alpha goes through the model as well, in one step, which gives sharp edges and adds no
        texture; a model that predicts the noise knows nothing after one step, there alpha is interpolated.

        Raises:
            UsageError: `size` is smaller than the pictures.
            DeviceError: Memory ran out for good.
        """
        plan = plan_cascade(pictures[0].size, size, [m.restorer.config.scale for m in self._models])
        models = [self._model(stage) for stage in plan.stages]
        sees_alpha = all(model.restorer.config.prediction != "epsilon" for model in models)
        shaped = [
            i for i, p in enumerate(pictures) if p.alpha is not None and sees_alpha and _varies(p.alpha)
        ]
        work = _Work(
            progress,
            len(plan.stages) * (2 if shaped else 1),
            sum(
                math.prod(stage.input_size)
                * (len(pictures) * model.settings.samples * model.settings.steps + len(shaped))
                for stage, model in zip(plan.stages, models, strict=True)
            ),
        )
        if any(
            not model.restorer.local and max(stage.input_size) > model.settings.tile_px
            for stage, model in zip(plan.stages, models, strict=True)
        ):
            work.notes.append(TILES_MAY_SHOW)
        alphas = [None if p.alpha is None else _interpolated(p.alpha, size) for p in pictures]
        if shaped:
            planes = [alpha[:, :, None] for i in shaped if (alpha := pictures[i].alpha) is not None]
            for i, plane in zip(shaped, self._run(planes, plan, work, edges=True)[0], strict=True):
                smooth = alphas[i]
                assert smooth is not None
                alphas[i] = _keep_extremes(plane[:, :, 0], smooth)
        colors = [p.color if p.alpha is None else bleed(p.color, p.alpha) for p in pictures]
        results, spreads = self._run(colors, plan, work, with_spread=self._uncertainty)
        fix = FIXES[self.settings.color_fix]
        for i, color in enumerate(colors):
            results[i] = fix(results[i], color)
            if self.settings.consistency:
                make_consistent(results[i], color)
        return [
            replace(
                picture,
                color=color,
                alpha=alpha,
                uncertainty=None if spread is None else spread[:, :, 0],
                notes=(*picture.notes, *work.notes),
            )
            for picture, color, alpha, spread in zip(pictures, results, alphas, spreads, strict=True)
        ]

    def _model(self, stage: StagePlan) -> _Model:
        """Return the model that makes a stage."""
        return self._models[min(stage.index, len(self._models) - 1)]

    def _run(
        self,
        pictures: Sequence[Pixels],
        plan: CascadePlan,
        work: _Work,
        *,
        edges: bool = False,
        with_spread: bool = False,
    ) -> tuple[list[Pixels], Sequence[Pixels | None]]:
        """Return pixels [H, W, C] after all stages, and where samples differ; the input's depth at the end.

        Between stages there are 16 bits. Each stage after the first is given the mean of the one before; what
        that was not sure of adds to what this one is not sure of, as independent errors do. `edges` is for
        alpha: one step, no texture.
        """
        dtypes = [pixels.dtype for pixels in pictures]
        spreads: list[Pixels] = []
        for stage in plan.stages:
            model = self._model(stage)
            restorer, settings = model.restorer, model.settings
            if edges:
                settings = replace(settings, steps=1, samples=1)
            if stage.resize_from is not None:
                box = (0.0, 0.0, *stage.resize_from)
                pictures = [_resized(pixels, stage.input_size, box=box) for pixels in pictures]
            pictures = [pixels[: stage.input_size[1], : stage.input_size[0]] for pixels in pictures]
            last = stage.index == len(plan.stages) - 1
            width, height = plan.output_size if last and not plan.final_resize else stage.output_size
            hrs = [
                scratch.empty((height, width, pixels.shape[2]), dtype if last else np.uint16)
                for pixels, dtype in zip(pictures, dtypes, strict=True)
            ]
            unsure = [scratch.empty((height, width, 1), np.uint8) for _ in pictures] if with_spread else None
            sampling = Sampling(
                sampler=settings.sampler,
                steps=settings.steps,
                seed=settings.seed,
                samples=settings.samples,
                fidelity=settings.fidelity,
                sigma_aug=restorer.config.stage_noise if stage.index else 0.0,
            )
            # A model that is not local shows where its tiles end: there each picture begins anew.
            room = model.room if restorer.local else replace(model.room)
            Stage(restorer, pictures, hrs, unsure, stage.index, sampling, room, work.next_stage()).run()
            if unsure is not None:
                spreads = [_added(new, old) for new, old in zip(unsure, spreads or unsure, strict=True)]
            pictures = hrs
            del hrs  # so that they go from the disk as soon as the next stage has been given its input
        if plan.final_resize:
            pictures = [_resized(pixels, plan.output_size) for pixels in pictures]
            spreads = [_resized(spread, plan.output_size) for spread in spreads]
        return list(pictures), spreads or [None] * len(pictures)


def _settle(restorer: Restorer, options: EngineOptions) -> Settings:
    """Return what is settled on for one model.

    Raises:
        UsageError: It cannot do what is asked.
    """
    config = restorer.config
    if options.fidelity and config.prediction == "epsilon":
        raise UsageError(
            f"The model {config.name} has no --fidelity: it predicts noise, and knows nothing in its "
            "first step.",
            hint="The mean of several --samples is closer to the photo.",
        )
    settings = Settings(
        model=config.name,
        device=str(restorer.device),
        dtype=devices.DTYPE_NAMES[restorer.dtype],
        sampler=options.sampler or config.sampler,
        steps=steps_of(config, options),
        fidelity=fidelity_of(config, options),
        samples=options.samples,
        seed=options.seed,
        consistency=options.consistency,
        color_fix=color_fix_of([config], options.color_fix),
        tile_px=options.tile_px or devices.default_tile_px(restorer.device, restorer.fineness),
    )
    restorer.sigmas(settings.steps)  # a grid that cannot have so many steps says so now
    return settings


def _added(spread: Pixels, before: Pixels) -> Pixels:
    """Return a stage's standard deviation with that of the stage before, which is as wide at its own size."""
    if before is spread:
        return spread
    before = _resized(before, (spread.shape[1], spread.shape[0]), resample="bilinear")
    for rows in scratch.row_blocks(spread):
        both = np.hypot(spread[rows], before[rows], dtype=np.float32)
        spread[rows] = np.minimum(both + 0.5, np.iinfo(spread.dtype).max)
        scratch.release(spread, before)
    return spread


def _resized(
    pixels: Pixels,
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
    resample: str = "lanczos",
) -> Pixels:
    """Return pixels resampled as by `resize`, on disk if they are many."""
    result = scratch.empty((size[1], size[0], pixels.shape[2]), pixels.dtype)
    return resize(pixels, size, box=box, resample=resample, out=result)


def _varies(alpha: Pixels) -> bool:
    return bool(alpha.min() != alpha.max())


def _interpolated(alpha: Pixels, size: tuple[int, int]) -> Pixels:
    return _resized(alpha[:, :, None], size, resample="bicubic")[:, :, 0]


def _keep_extremes(alpha: Pixels, smooth: Pixels) -> Pixels:
    """Return alpha, made fully transparent or opaque wherever plain interpolation says so."""
    full = np.iinfo(alpha.dtype).max
    for rows in scratch.row_blocks(alpha):
        sure = (smooth[rows] == 0) | (smooth[rows] == full)
        np.copyto(alpha[rows], smooth[rows], where=sure)
        scratch.release(alpha, smooth)
    return alpha


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
