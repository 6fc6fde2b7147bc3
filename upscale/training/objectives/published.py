"""SR3's own objective (Saharia et al., arXiv 2104.07636): predict the noise, L1, gamma piecewise uniform.

For networks on the HR image, as in the paper, and on the residual alike; which of them follows from the
architecture. LR images and their degradations are those of `objective`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upscale.diffusion.conditioning import upsample_bicubic
from upscale.diffusion.schedule import betas_to_gammas, draw_gammas, make_betas
from upscale.errors import UsageError
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.residual_v import examples, predict
from upscale.training.recipe import Recipe


def make_batch(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Batch:
    """Degrade and noise hr [B, 3, H, W] in [-1, 1]; everything random comes from `generator`."""
    drawn = examples(hr, recipe, generator, spared)
    chain = recipe.chain
    gammas = betas_to_gammas(make_betas(chain.betas, chain.length, chain.start, chain.end))
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    gamma = draw_gammas(gammas, len(hr), np.random.default_rng(seed))
    # The cosine schedule's time, as `Batch` has it: sqrt(gamma) = cos(pi t / 2).
    level = torch.from_numpy(np.arccos(np.sqrt(gamma)) * 2 / math.pi).float().to(hr.device)
    target = drawn.residual if on_residual(recipe) else hr
    noise = torch.randn(target.shape, generator=generator).to(hr.device)
    return Batch(drawn.lr, drawn.aug_level, target, level, noise)


def loss_of(network: Any, batch: Batch, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return the loss of each example [B]: |f(x, sqrt(gamma) y0 + sqrt(1 - gamma) eps, gamma) - eps|."""
    angle = (math.pi / 2 * batch.level)[:, None, None, None]
    x = angle.cos() * batch.target + angle.sin() * batch.noise
    if on_residual(recipe):
        eps = predict(network, batch, x, dtype)
    else:
        condition = upsample_bicubic(batch.lr, recipe.scale)
        told = (math.pi / 2 * batch.level).cos()  # sqrt(gamma)
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            eps = network(x, told, condition).float()
    return (eps - batch.noise).abs().mean((1, 2, 3))


def config(recipe: Recipe) -> dict[str, Any]:
    """Return what a model's config says of it: the whole chain is its grid."""
    chain = recipe.chain
    grid = {
        "name": "discrete",
        "betas": chain.betas,
        "length": chain.length,
        "start": chain.start,
        "end": chain.end,
    }
    if on_residual(recipe):
        return {"prediction": "epsilon", "grid": grid}
    return {
        "target": "image",
        "prediction": "epsilon",
        "level": "sqrt_gamma",
        "residual_std": 1.0,
        "grid": grid,
    }


def on_residual(recipe: Recipe) -> bool:
    """Whether the recipe's architecture takes the folded residual, or else the image.

    Raises:
        UsageError: It is neither of the two.
    """
    kinds = {"residual_unet": True, "sr3_unet": False}
    if recipe.arch not in kinds:
        raise UsageError(f"The objective published does not know the architecture {recipe.arch}.")
    return kinds[recipe.arch]
