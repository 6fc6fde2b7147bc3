"""The second stage of a cascade is given what the first has made of a smaller picture, and no photograph.

That has marks of its own, which a second stage that knows photographs alone takes for the photo's and makes
sharper. CDM (arXiv 2106.15282) hides them by noise, which hides the picture as well; to train on what stages
are given at use would have been too dear. Here both stages are one network, and what it has to make is a
quarter of an example: so some of the examples are given what it makes of a photo that was reduced, and
spoilt, 8 or 16 times, as at use (`engine.plan`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import upsample_bicubic
from upscale.training.examples.degrade import degrade
from upscale.training.examples.resample import resample
from upscale.training.objectives.batch import Batch, Movable
from upscale.training.objectives.runs import draw_levels, look, run
from upscale.training.recipe import Recipe

FIDELITY_MAX = 0.6  # what people choose between the stages lies below, and so does every default

AnyBatch = TypeVar("AnyBatch", bound=Batch)


@dataclass(frozen=True)
class Staged(Movable):
    """What a first stage is given, for the first K examples of a batch, and how it runs.

    Attributes:
        lr: [K, 3, h', w'] in [-1, 1].
        noise: [K, 3 scale^2, h', w'] of its run, unit Gaussian.
        sigmas: The noise levels of its run.
        fidelity: [1, 1, 1, 1], how near what it makes is to the first estimate.
        whole: Whether all of what it makes is wanted, with sides of 2 h' and 2 w' (8 times in both stages);
            or the middle of it as it is (16 times), and the rest is only for what lies near to see.
    """

    lr: Tensor
    noise: Tensor
    sigmas: tuple[float, ...]
    fidelity: Tensor
    whole: bool


def draw(hr: Tensor, recipe: Recipe, generator: torch.Generator) -> Staged | None:
    """Return what a first stage is given of hr [B, 3, H, W] in [-1, 1]; None if the recipe has no share."""
    scale = recipe.scale
    count = round(recipe.last_step.staged * len(hr))
    if not count:
        return None
    kind, share = torch.rand(2, generator=generator).tolist()
    whole = kind < 0.5
    lr = degrade(hr[:count], scale * (2 if whole else scale), recipe.degradation, generator)
    if not whole:
        lr = F.pad(lr, _margins(lr.shape[3]) + _margins(lr.shape[2]), mode="reflect")
    return Staged(
        lr=lr,
        noise=torch.randn((count, 3 * scale**2, *lr.shape[2:]), generator=generator).to(hr.device),
        sigmas=draw_levels(recipe, generator),
        fidelity=hr.new_full((1, 1, 1, 1), FIDELITY_MAX * share),
        whole=whole,
    )


@torch.no_grad()
def first_stage(network: Any, staged: Staged, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return what a second stage is given, [K, 3, h, w] in [-1, 1]: what the network makes, in one run."""
    seen = look(network, staged.lr, staged.lr.new_zeros(len(staged.lr)), recipe, dtype)
    x0 = run(network, seen, staged.noise, staged.sigmas, recipe, dtype, staged.fidelity)
    hr = _restored(staged.lr, x0, recipe).clamp(-1, 1)
    if staged.whole:
        return resample(hr, 2 * staged.lr.shape[2], 2 * staged.lr.shape[3])
    height, width = hr.shape[2] // 2, hr.shape[3] // 2
    top, left = (recipe.scale * _margins(side // recipe.scale)[0] for side in (height, width))
    return hr[:, :, top : top + height, left : left + width]


def restored_from(lr: Tensor, batch: AnyBatch, recipe: Recipe) -> AnyBatch:
    """Return a batch whose first examples are restored to the same photos from lr [K, 3, h, w]."""
    count = len(lr)
    hr = _restored(batch.lr[:count], batch.target[:count], recipe)
    residual = (hr - upsample_bicubic(lr, recipe.scale)) / recipe.residual_std
    target = F.pixel_unshuffle(residual, recipe.scale)
    return replace(
        batch,
        lr=torch.cat([lr, batch.lr[count:]]),
        aug_level=torch.cat([torch.zeros_like(batch.aug_level[:count]), batch.aug_level[count:]]),
        target=torch.cat([target, batch.target[count:]]),
    )


def _restored(lr: Tensor, x0: Tensor, recipe: Recipe) -> Tensor:
    """Return lr [K, 3, h, w] enlarged, with the residual x0 [K, 3 scale^2, h, w] added."""
    residual = recipe.residual_std * F.pixel_shuffle(x0, recipe.scale)
    return upsample_bicubic(lr, recipe.scale) + residual


def _margins(side: int) -> tuple[int, int]:
    """Return by how much a side grows before and behind when it is doubled."""
    return side // 2, side - side // 2
