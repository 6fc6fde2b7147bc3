"""Pictures in, larger pictures out: the Python API, and what the command line runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath
from typing import Literal

import torch
from PIL import Image

from upscale.engine.cascade import Known, run
from upscale.engine.color import FIXES
from upscale.engine.consistency import make_consistent
from upscale.engine.denoise import hidden_in, marked, noise_in
from upscale.engine.flat import is_kept
from upscale.engine.loaded import Loaded, load_models
from upscale.engine.plan import CascadePlan, model_of, plan_cascade
from upscale.engine.progress import ProgressCallback
from upscale.engine.settings import joined, joint_color_fix
from upscale.engine.shrink import shrink_in, shrunk
from upscale.engine.tiles import Tiling
from upscale.engine.transparency import interpolated, keep_extremes, varies
from upscale.engine.work import Work
from upscale.errors import UsageError
from upscale.images.alpha import bleed
from upscale.images.picture import Picture, Pixels
from upscale.images.pil import from_pil, to_pil
from upscale.options import DEFAULT_MODEL, EngineOptions, TargetSize

TILES_MAY_SHOW = (
    "This model looks at the whole picture at once; its tiles are blended, but seams may still be visible. "
    "A larger --tile helps."
)
Auto = Literal["auto"]
MOST_TOGETHER = 64  # pictures: a killed run loses those it was working on


@dataclass(frozen=True)
class _Pass:
    """Pictures of one size on their way to another.

    Attributes:
        pictures: The pictures.
        plan: The stages.
        models: Their models.
        shaped: Indices of those whose alpha goes through the models as well.
    """

    pictures: Sequence[Picture]
    plan: CascadePlan
    models: Sequence[Loaded]
    shaped: Sequence[int]

    @property
    def stages(self) -> int:
        """How many there are, of alpha too."""
        return len(self.plan.stages) * (2 if self.shaped else 1)

    @property
    def pixels(self) -> int:
        """How many the networks evaluate."""
        return sum(
            math.prod(stage.input_size)
            * (len(self.pictures) * model.settings.samples * model.settings.steps + len(self.shaped))
            for stage, model in zip(self.plan.stages, self.models, strict=True)
        )


class Upscaler:
    """A model, or several for the stages of a cascade, ready to upscale pictures of any size.

    Not for use from several threads at once; a copy, or what comes out of a pickle, loads its model again.
    Same settings, same picture: the result does not depend on tile size, on memory, or on what was upscaled
    before, beyond rounding: one level of 255 in fp32, here and there two or three in bf16. Models that look
    at the whole picture at once, as SR3's own U-Net does, are the exception; the result's notes say so where
    they were tiled.

    Attributes:
        settings: What it settled on.
    """

    def __init__(
        self,
        model: str | PathLike[str] = DEFAULT_MODEL,
        *,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        consistency: bool = False,
        color_fix: str = "auto",
        tile_px: int | Auto | None = None,
        fidelity: float | None = None,
        denoise: float | Auto | None = None,
        shrink: float | Auto | None = None,
        samples: int = 1,
        start: float = 1.0,
        map_uncertainty: bool = False,
        offline: bool = False,
        accept_licence: bool = False,
    ) -> None:
        """Load a model. Arguments are those of `upscale.options.EngineOptions`.

        A folder or file may be a `Path`, a device a `torch.device`, and "auto" is None as on the command
        line.

        Raises:
            UsageError: An argument is of a wrong kind or out of range, or names something unknown.
            WeightsError: The model cannot be found, verified or loaded.
            DeviceError: The device is not there.
        """
        options = EngineOptions(
            model=fspath(model) if isinstance(model, PathLike) else model,
            steps=steps,
            sampler=sampler,
            seed=seed,
            consistency=consistency,
            color_fix=color_fix,
            device=str(device) if isinstance(device, torch.device) else device,
            dtype=dtype,
            tile_px=None if tile_px == "auto" else tile_px,
            fidelity=fidelity,
            denoise=None if denoise == "auto" else denoise,
            shrink=None if shrink == "auto" else shrink,
            samples=samples,
            start=start,
            map_uncertainty=map_uncertainty,
            offline=offline,
            accept_licence=accept_licence,
        )
        self._options = options
        self._models = load_models(options)
        each = [model.settings for model in self._models]
        self.settings = replace(
            each[0], model=joined(own.model for own in each), color_fix=joint_color_fix(each)
        )

    def __reduce__(self) -> tuple[Callable[[], Upscaler], tuple[()]]:
        return partial(type(self), **vars(self._options)), ()  # weights laid out for a CPU cannot be copied

    def __call__(
        self,
        image: Image.Image,
        scale: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Image.Image:
        """Return the picture upscaled: upright, in the same mode, with its metadata.

        With `map_uncertainty` its `info["uncertainty"]` is the map, an image of mode L: white is a standard
        deviation of 32 levels or more.

        Args:
            image: Any Pillow image.
            scale: Factor on both sides, 1 to 64; 4 where neither it nor `size` is given.
            size: Largest (width, height) of the result in pixels, proportions kept.
            progress: Told how far it is; may raise to cancel.

        Raises:
            UsageError: The size is out of range, or no size.
            InputError: The image is no Pillow image, or cannot be decoded.
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
        """Return pictures of one size at exactly `size`, each as `upscale` alone makes it but for rounding.

        Small ones are much faster so; `together` says how many. Those that are softer than their pixels are
        made smaller first, see `shrink`.

        Colour under fully transparent pixels is filled from its neighbours first, so that no dark fringe
        appears. Alpha goes through the model as well, in one step, which gives sharp edges and adds no
        texture; a model that predicts the noise knows nothing after one step, there alpha is interpolated.

        Raises:
            UsageError: `size` is smaller than the pictures, or they are of several sizes.
            DeviceError: Memory ran out for good.
        """
        if len({picture.size for picture in pictures}) > 1:
            raise UsageError(
                "Pictures of several sizes cannot go through together.", hint="Upscale those of each alone."
            )
        parts: dict[float, list[int]] = {}
        seen = [marked(picture) for picture in pictures]
        for i, picture in enumerate(seen):
            asked = self.settings.shrink
            parts.setdefault(shrink_in(picture) if asked is None else asked, []).append(i)
        passes = [
            self._planned([seen[i] for i in members], size, factor) for factor, members in parts.items()
        ]
        work = Work(progress, sum(each.stages for each in passes), sum(each.pixels for each in passes))
        results: dict[int, Picture] = {}
        for (factor, members), each in zip(parts.items(), passes, strict=True):
            for i, made in zip(members, self._carried_out(each, work), strict=True):
                notes = (*pictures[i].notes, *work.notes)
                results[i] = replace(made, luma_step=pictures[i].luma_step, shrunk=factor, notes=notes)
        return [results[i] for i in range(len(pictures))]

    def _planned(self, pictures: Sequence[Picture], size: tuple[int, int], shrink: float) -> _Pass:
        """Return what leads from pictures of one size, made so many times smaller first, to another size."""
        scales = [model.restorer.config.scale for model in self._models]
        plan = plan_cascade(pictures[0].size, size, scales, shrink)
        pictures = [shrunk(picture, shrink) for picture in pictures]
        models = [model_of(stage.index, self._models) for stage in plan.stages]
        sees_alpha = all(model.restorer.config.prediction != "epsilon" for model in models)
        shaped = [i for i, p in enumerate(pictures) if p.alpha is not None and sees_alpha and varies(p.alpha)]
        return _Pass(pictures, plan, models, shaped)

    def _carried_out(self, each: _Pass, work: Work) -> list[Picture]:
        """Return the results of a pass."""
        pictures, plan, shaped = each.pictures, each.plan, each.shaped
        size = plan.output_size
        if any(
            not model.restorer.local and max(stage.input_size) > model.room.tile_px
            for stage, model in zip(plan.stages, each.models, strict=True)
        ):
            work.note(TILES_MAY_SHOW)
        alphas = [None if p.alpha is None else interpolated(p.alpha, size) for p in pictures]
        if shaped:
            planes = [alpha[:, :, None] for i in shaped if (alpha := pictures[i].alpha) is not None]
            for i, plane in zip(shaped, run(planes, plan, self._models, work, edges=True)[0], strict=True):
                smooth = alphas[i]
                assert smooth is not None
                alphas[i] = keep_extremes(plane[:, :, 0], smooth)
        colors = [p.color if p.alpha is None else bleed(p.color, p.alpha) for p in pictures]
        known = [self._known(picture, color) for picture, color in zip(pictures, colors, strict=True)]
        results, spreads = run(
            colors,
            plan,
            self._models,
            work,
            known=known,
            with_spread=self._options.map_uncertainty,
        )
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
                denoised=noted.denoise,
                fidelity=self.settings.fidelity_for(noted.hidden, followed=len(plan.stages) > 1),
            )
            for picture, color, alpha, spread, noted in zip(
                pictures, results, alphas, spreads, known, strict=True
            )
        ]

    def _known(self, picture: Picture, color: Pixels) -> Known:
        """Return what is known of a picture with its marks, whose colours are filled in where it is clear."""
        asked = self.settings.denoise
        denoise = noise_in(picture, color) if asked is None else asked
        return Known(denoise, hidden_in(picture, denoise), is_kept(picture))
