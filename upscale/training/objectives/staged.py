"""The second stage of a cascade is given what the first has made of a smaller picture, and no photograph.

That has marks of its own, which a second stage that knows photographs alone takes for the photo's and makes
sharper. CDM (arXiv 2106.15282) hides them by noise, which hides the picture as well; to train on what stages
are given at use would have been too dear. Here both stages are one network, and what it has to make is a
quarter of an example: so some of the examples are given what it makes of a photo that was reduced, and
spoilt, 8 or 16 times, as at use (`engine.plan`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import upsample_bicubic
from upscale.diffusion.schedule import trigonometric_grid
from upscale.training.examples.degrade import degrade
from upscale.training.examples.resample import resample
from upscale.training.objectives.batch import Batch, Staged
from upscale.training.objectives.runs import look, run
from upscale.training.recipe import Recipe

FIDELITY_MAX = 0.6  # what people choose between the stages lies below, and so does every default

AnyBatch = TypeVar("AnyBatch", bound=Batch)


def draw(hr: Tensor, recipe: Recipe, generator: torch.Generator, faithful: float = 0.0) -> Staged | None:
    """Return what a first stage is given of hr [B, 3, H, W] in [-1, 1]; None if the recipe has no share.

    Args:
        hr: The photos; the first of them are taken.
        recipe: What is trained.
        generator: Source of all that is random.
        faithful: How often a run is the first step alone.
    """
    count, scale, how = round(recipe.data.staged * len(hr)), recipe.scale, recipe.last_step
    if not count:
        return None
    kind, length, alone, share = torch.rand(4, generator=generator).tolist()
    whole = kind < 0.5
    lr = degrade(hr[:count], scale * (2 if whole else scale), recipe.degradation, generator)
    if not whole:
        lr = F.pad(lr, _margins(lr.shape[3]) + _margins(lr.shape[2]), mode="reflect")
    steps = how.steps[int(length * len(how.steps))]
    return Staged(
        lr=lr,
        noise=torch.randn((count, 3 * scale**2, *lr.shape[2:]), generator=generator).to(hr.device),
        sigmas=tuple(trigonometric_grid(steps, power=how.power, sigma_max=recipe.noise.sigma_max)),
        fidelity=1.0 if alone < faithful else FIDELITY_MAX * share,
        whole=whole,
    )


@torch.no_grad()
def made(network: Any, staged: Staged, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return what a second stage is given, [K, 3, h, w] in [-1, 1]: what the network makes, in one run."""
    seen = look(network, staged.lr, staged.lr.new_zeros(len(staged.lr)), recipe, dtype)
    x0 = run(network, seen, staged.noise, staged.sigmas, recipe, dtype, staged.fidelity)
    residual = recipe.residual_std * F.pixel_shuffle(x0, recipe.scale)
    hr = (upsample_bicubic(staged.lr, recipe.scale) + residual).clamp(-1, 1)
    if staged.whole:
        return resample(hr, 2 * staged.lr.shape[2], 2 * staged.lr.shape[3])
    height, width = hr.shape[2] // 2, hr.shape[3] // 2
    top, left = (recipe.scale * _margins(side // recipe.scale)[0] for side in (height, width))
    return hr[:, :, top : top + height, left : left + width]


def restored(network: Any, batch: AnyBatch, recipe: Recipe, dtype: torch.dtype) -> AnyBatch:
    """Return a batch whose examples for a second stage, if it has any, are restored from what is made."""
    if batch.staged is None:
        return batch
    lr, scale, std = made(network, batch.staged, recipe, dtype), recipe.scale, recipe.residual_std
    count = len(lr)
    hr = upsample_bicubic(batch.lr[:count], scale) + std * F.pixel_shuffle(batch.target[:count], scale)
    target = F.pixel_unshuffle((hr - upsample_bicubic(lr, scale)) / std, scale)
    return replace(
        batch,
        lr=torch.cat([lr, batch.lr[count:]]),
        aug_level=torch.cat([torch.zeros_like(batch.aug_level[:count]), batch.aug_level[count:]]),
        target=torch.cat([target, batch.target[count:]]),
        staged=None,
    )


def _margins(side: int) -> tuple[int, int]:
    """Return by how much a side grows before and behind when it is doubled."""
    return side // 2, side - side // 2
