"""The stages of a cascade, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from upscale.engine.denoise import sigma_of
from upscale.engine.loaded import Loaded
from upscale.engine.plan import CascadePlan, model_of
from upscale.engine.resample import add_spread, resized
from upscale.engine.stage import Sampling, Stage, Task
from upscale.engine.work import Work
from upscale.images import scratch
from upscale.images.picture import Pixels


@dataclass(frozen=True)
class Known:
    """What is known of a picture before its first stage.

    Attributes:
        denoise: How much noise is to be taken out of it, 0 to 1.
        hidden: How much of it is hidden by noise and marks, 0 to 1.
        keep_flat: Whether what is flat in it was so in the photo.
    """

    denoise: float = 0.0
    hidden: float = 0.0
    keep_flat: bool = True


def run(
    pictures: Sequence[Pixels],
    plan: CascadePlan,
    models: Sequence[Loaded],
    work: Work,
    *,
    known: Sequence[Known] = (),
    edges: bool = False,
    with_spread: bool = False,
) -> tuple[list[Pixels], Sequence[Pixels | None]]:
    """Return pixels [H, W, C] after all stages, and where samples differ; the input's depth at the end.

    Between stages there are 16 bits. Each stage after the first is given the mean of the one before; what
    that was not sure of adds to what this one is not sure of, as independent errors do.

    Args:
        pictures: Pixels [H, W, 1 or 3] of one size.
        plan: The stages.
        models: Their models.
        work: Told how far it is.
        known: What the first stage is to know of each picture. Empty for nothing.
        edges: Whether this is alpha: one step, no texture.
        with_spread: Whether it is of interest where samples differ.
    """
    dtypes = [pixels.dtype for pixels in pictures]
    spreads: list[Pixels] = []
    for stage in plan.stages:
        model = model_of(stage.index, models)
        restorer, settings = model.restorer, model.settings
        if edges:
            settings = replace(settings, steps=1, samples=1, start=1.0)
        if stage.resize_from is not None:
            box = (0.0, 0.0, *stage.resize_from)
            pictures = [resized(pixels, stage.input_size, box=box) for pixels in pictures]
        pictures = [pixels[: stage.input_size[1], : stage.input_size[0]] for pixels in pictures]
        last = stage.index == len(plan.stages) - 1
        width, height = plan.output_size if last and not plan.final_resize else stage.output_size
        hrs = [
            scratch.empty((height, width, pixels.shape[2]), dtype if last else np.uint16)
            for pixels, dtype in zip(pictures, dtypes, strict=True)
        ]
        unsure = [scratch.empty((height, width, 1), np.uint8) if with_spread else None for _ in pictures]
        sampling = Sampling(
            sampler=settings.sampler,
            steps=settings.steps,
            seed=settings.seed,
            samples=settings.samples,
            start=settings.start,
            sigma_aug=restorer.config.stage_noise if stage.index else 0.0,
        )
        # A model that is not local shows where its tiles end: there each picture begins anew.
        room = model.room if restorer.local else replace(model.room)
        knowing = known if stage.index == 0 and known else [Known()] * len(pictures)
        tasks = [
            Task(
                lr=lr,
                hr=hr,
                noise=sigma_of(each.denoise),
                fidelity=settings.fidelity_for(each.hidden, followed=not last),
                keep_flat=each.keep_flat,
                spread=spread,
            )
            for lr, hr, each, spread in zip(pictures, hrs, knowing, unsure, strict=True)
        ]
        reduced_by = plan.reduced_after(stage)
        Stage(restorer, tasks, reduced_by, stage.index, sampling, room, work.next_stage()).run()
        made = [spread for spread in unsure if spread is not None]
        spreads = [add_spread(new, old) for new, old in zip(made, spreads or made, strict=True)]
        pictures = hrs
        del hrs, tasks  # so that they go from the disk as soon as the next stage has been given its input
    if plan.final_resize:
        pictures = [resized(pixels, plan.output_size) for pixels in pictures]
        spreads = [resized(spread, plan.output_size) for spread in spreads]
    return list(pictures), spreads or [None] * len(pictures)
