"""Relay Diffusion's objective (Teng et al., arXiv 2309.03350): undo blur and block noise together.

The process is `diffusion.relay`'s on the residual. The network is preconditioned as EDM's (Karras et al.,
arXiv 2206.00364) with data of standard deviation 1, which is v-prediction: x0 = gamma x - sigma sqrt(gamma)
v. So weights of the SR3 process are a start for it: where nothing is blurred the two ask for the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.relay import Relay
from upscale.diffusion.schedule import sigma_to_time
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.residual_v import charbonnier, examples, predict
from upscale.training.recipe import Recipe


def process(recipe: Recipe) -> Relay:
    """Return the process that a recipe trains."""
    relay = recipe.relay
    return Relay(side=recipe.scale, block=relay.block, blur_max=relay.blur_max, length=relay.length)


def make_batch(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Batch:
    """Degrade and noise hr [B, 3, H, W] in [-1, 1]; everything random comes from `generator`."""
    drawn = examples(hr, recipe, generator, spared)
    relay = process(recipe)
    sigmas = [relay.sigma_at(p) for p in drawn.u.tolist()]
    level = torch.tensor([sigma_to_time(sigma) for sigma in sigmas], device=hr.device)
    white = torch.randn(hr.shape, generator=generator)
    beyond = relay.side - 1
    shared = torch.randn(*hr.shape[:2], *(side + beyond for side in hr.shape[2:]), generator=generator)
    noise = F.pixel_unshuffle(relay.noise(white, shared), recipe.scale).to(hr.device)
    return Batch(drawn.lr, drawn.aug_level, drawn.residual, level, noise)


def loss_of(network: Any, batch: Batch, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return the loss of each example [B]: Charbonnier on v, EDM's weight on the squared error of x0."""
    angle = (math.pi / 2 * batch.level)[:, None, None, None]
    signal, sigma = angle.cos(), angle.sin()  # sqrt(gamma), sqrt(1 - gamma)
    blurred = process(recipe).blur(batch.target, np.tan(math.pi / 2 * batch.level.double().cpu().numpy()))
    x = signal * blurred + sigma * batch.noise
    v = (signal * x - batch.target) / sigma
    return charbonnier(predict(network, batch, x, dtype) - v).mean((1, 2, 3))


def config(recipe: Recipe) -> dict[str, Any]:
    """Return what a model's config says of it; the relay starts where noise hides what is below."""
    relay = process(recipe)
    return {
        "process": "relay",
        "relay": {"block": relay.block, "blur_max": relay.blur_max, "length": relay.length},
        "grid": {
            "name": "trigonometric",
            "power": 1.0,
            "sigma_max": round(min(relay.sigma_max, relay.sigma_above(recipe.relay.sigma_low)), 4),
            "sigma_last": 0.1,
        },
    }
