"""The last step of a run learns to draw: weights of its own, trained on runs as they will be used.

The steps before estimate means, and a run of a few of them ends too smooth. Here they are taken as they are,
told less noise as at use, and the last step is trained to make of what they leave, and of the noise in it, a
photograph: by the energy score of two runs with different noise, over patches of pixels and over the features
of VGG-16; and, where a recipe has one, by a critic. Where a recipe says so, the steps between the first and
the last learn to leave it what it needs. Everything else keeps its weights, so the first estimate and with it
the faithful end of the dial stay what they were.

A share of the examples may be as the second stage of a cascade finds them: see `staged`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import upsample_bicubic
from upscale.diffusion.schedule import sigma_to_time
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.critic import Critic, View
from upscale.training.objectives.energy import energy_scores
from upscale.training.objectives.grid import grid_apart
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.residual_v import examples
from upscale.training.objectives.runs import draw_levels, look, run
from upscale.training.objectives.staged import Staged, draw, first_stage, restored_from
from upscale.training.recipe import Recipe

UNSEEN_PX = 32  # of a crop's sides, which the loss does not see: VGG is the dearest part of a step


@dataclass(frozen=True, kw_only=True)
class Practice(Batch):
    """A batch whose `noise` and `level` [2 B, ...] are those of two runs of each picture.

    Attributes:
        sigmas: The noise levels of the runs.
        offset: Where the part that the loss sees begins, (top, left) in pixels. Features are pooled by 8, the
            residual is folded by `scale`: at a fixed offset the network learns patterns of that period, which
            VGG does not see and people do.
        staged: What a first stage is given whose results take the place of the first examples' `lr`; None
            for no such examples.
    """

    sigmas: tuple[float, ...]
    offset: tuple[int, int]
    staged: Staged | None


def needs(recipe: Recipe) -> tuple[str, ...]:
    """Return the entries of a recipe's `[network]` that must be true.

    Without a first step of its own a run would begin with the weights of the steps between, and there would
    be nothing faithful to mix into what second stages are given.
    """
    both = recipe.last_step.between or recipe.last_step.staged
    return ("first_step", "last_step") if both else ("last_step",)


def trains(recipe: Recipe, name: str) -> bool:
    """Return whether the weight of that name is trained."""
    firsts = ("first.",) if recipe.network.get("first_encoder") else ("first.", "encoder.")
    return name.startswith("last.") or recipe.last_step.between and not name.startswith(firsts)


def make_batch(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Practice:
    """Degrade hr [B, 3, H, W] in [-1, 1] and draw a run for it; everything random comes from `generator`."""
    drawn = examples(hr, recipe, generator, spared)
    shape = (2 * len(hr), *drawn.residual.shape[1:])
    noise = torch.randn(shape, generator=generator).to(hr.device)
    top, left = torch.rand(2, generator=generator).tolist()
    sigmas = draw_levels(recipe, generator)
    return Practice(
        lr=drawn.lr,
        aug_level=drawn.aug_level,
        target=drawn.residual,
        level=torch.full((len(noise),), sigma_to_time(sigmas[-1]), device=hr.device),
        noise=noise,
        sigmas=sigmas,
        offset=(int(top * UNSEEN_PX), int(left * UNSEEN_PX)),
        staged=draw(hr, recipe, generator),
    )


def loss_of(
    network: Any,
    batch: Practice,
    recipe: Recipe,
    dtype: torch.dtype,
    vgg: VGGFeatures,
    critic: Critic | None = None,
) -> Tensor:
    """Return the energy score of each run [2 B]: of VGG's features, and of patches of `scale` pixels.

    What a critic says of them, and what it learns from them itself, is in the gradient alone.
    """
    if batch.staged:
        batch = restored_from(first_stage(network, batch.staged, recipe, dtype), batch, recipe)
    seen = look(network, batch.lr, batch.aug_level, recipe, dtype).each(_twice)
    x0 = run(network, seen, batch.noise, batch.sigmas, recipe, dtype)
    top, left = batch.offset
    base = upsample_bicubic(batch.lr, recipe.scale)
    side = base.shape[2] - UNSEEN_PX

    def part(image: Tensor) -> Tensor:
        return image[:, :, top : top + side, left : left + side]

    made, true = (part(F.pixel_shuffle(x, recipe.scale)) for x in (x0, batch.target))
    spread = recipe.last_step.spread
    loss = energy_scores(F.pixel_unshuffle(made, recipe.scale), F.pixel_unshuffle(true, recipe.scale), spread)
    loss = loss * (recipe.last_step.pixels / batch.target.shape[1] ** 0.5)
    base, std = part(base), recipe.residual_std
    with torch.no_grad():
        expected = vgg(base + std * true)
    ours = _twice(base) + std * made
    found = vgg(ours)
    for features, theirs in zip(found, expected, strict=True):
        loss = loss + energy_scores(features, theirs, spread)
    if recipe.last_step.grid:
        photos = _twice(base + std * true)
        loss = loss + recipe.last_step.grid * grid_apart(ours, photos, recipe.scale, batch.offset)
    if critic is None:
        return loss
    view = View(made, _twice(base), found)
    lesson = critic.lesson(view, View(true, base, expected))
    beside = recipe.last_step.critic * critic.reproach(view) + lesson
    return loss + (beside - beside.detach())


def config(recipe: Recipe) -> dict[str, Any]:
    """Return what a model's config says of it: the runs that it was trained on."""
    grid = {"name": "trigonometric", "power": recipe.last_step.power, "sigma_max": recipe.noise.sigma_max}
    return {"grid": grid, "told": recipe.last_step.told, "sampler": recipe.last_step.sampler}


def _twice(x: Tensor) -> Tensor:
    return torch.cat([x, x])
