"""The first step of a run alone, by the squared error: what minimises it is the mean, as PSNR asks for.

The absolute error, by which all steps learn together, teaches faster and leads to the median. Everything else
keeps its weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from upscale.diffusion.schedule import sigma_to_time
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.residual_v import encode, examples, eyes_of_first, first_error
from upscale.training.recipe import Recipe


def trains(recipe: Recipe, name: str) -> bool:
    """Return whether the weight of that name is trained."""
    return name.startswith("first.")


def make_batch(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Batch:
    """Degrade hr [B, 3, H, W] in [-1, 1]; all random draws come from `generator`.

    A first step is given the mean of the noise, zeros, so there is none: drawing it took a third of the time.
    """
    drawn = examples(hr, recipe, generator, spared)
    level = torch.full((len(hr),), sigma_to_time(recipe.noise.sigma_max), device=hr.device)
    return Batch(drawn.lr, drawn.aug_level, drawn.residual, level, noise=hr.new_zeros(()))


def loss_of(network: Any, batch: Batch, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return the mean squared error of each example [B], of residuals of about unit variance."""
    eyes = eyes_of_first(network)
    with torch.set_grad_enabled(eyes is not network):
        features = encode(eyes, batch.lr, batch.aug_level, dtype)
    return first_error(network, batch, recipe, features, dtype).square().mean((1, 2, 3))
