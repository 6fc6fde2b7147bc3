"""Few-step tuning: the network practises the runs of a few steps in which it will be used.

In plain diffusion training the network sees noised photographs; in a run of four steps it sees its own,
smoother guesses. Here the steps before the last are taken as at use, without gradients, and the last one is
compared with the photograph, by how it looks as well as by its pixels (the "last-step specialist" of Karlo,
kept in one network).
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion import samplers
from upscale.diffusion.conditioning import upsample_bicubic
from upscale.diffusion.denoiser import NetworkDenoiser, trigonometric_level
from upscale.diffusion.schedule import trigonometric_grid
from upscale.networks.residual_unet import Features, ResidualUNet
from upscale.training.objective import Batch, charbonnier
from upscale.training.perceptual import VGGFeatures
from upscale.training.recipe import Recipe, Tuning

UNSEEN_PX = 32  # of a crop's sides, which the perceptual loss does not see: it is the dearest part of a step


def tuning_loss(
    network: ResidualUNet, batch: Batch, recipe: Recipe, tuning: Tuning, vgg: VGGFeatures, dtype: torch.dtype
) -> Tensor:
    """Return the loss of each example [B] after a run of some number of steps, drawn by the batch's noise."""
    draw = random.Random(int(batch.noise.view(-1)[0].view(torch.int32)))
    sigmas = trigonometric_grid(
        draw.choice(tuning.steps), power=tuning.power, sigma_max=recipe.noise.sigma_max
    )
    features = network.encode(batch.lr.to(dtype, memory_format=torch.channels_last), batch.aug_level)
    frozen = Features(*(f.detach() for f in features))

    def denoiser(given: Features) -> NetworkDenoiser:
        def predict(x: Tensor, level: Tensor) -> Tensor:
            return network(x.to(dtype, memory_format=torch.channels_last), level, given)

        return NetworkDenoiser(predict, prediction="v", level=trigonometric_level)

    @torch.no_grad()
    def practise(x: Tensor, sigma: float) -> Tensor:
        return denoiser(frozen)(x, sigma)

    def step(x: Tensor, sigma: float) -> Tensor:
        return denoiser(features)(x, sigma) if sigma == sigmas[-1] else practise(x, sigma)

    x0 = samplers.sample("ddim", step, batch.noise * sigmas[0], sigmas, lambda _: batch.noise)
    base = upsample_bicubic(batch.lr, recipe.scale)
    # VGG pools by 8, the residual is folded by `scale`: without a random offset between the two grids the
    # network learns patterns of that period, which VGG does not see and people do.
    seen = base.shape[2] - UNSEEN_PX
    top, left = draw.randrange(UNSEEN_PX), draw.randrange(UNSEEN_PX)

    def image(residual: Tensor) -> Tensor:
        whole = base + recipe.residual_std * F.pixel_shuffle(residual, recipe.scale)
        return whole[:, :, top : top + seen, left : left + seen]

    pixels = charbonnier(x0 - batch.target).mean((1, 2, 3))
    return tuning.fidelity * pixels + tuning.perceptual * vgg(image(x0), image(batch.target))
