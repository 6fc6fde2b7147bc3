"""The first step of a run alone, by the squared error: what minimises it is the mean, as PSNR asks for.

The absolute error, by which all steps learn together, teaches faster and leads to the median. Everything else
keeps its weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from upscale.training.objective import Batch, encode, first_error
from upscale.training.recipe import Recipe

PREFIX = "first."  # of the weights that are trained


def loss_of(network: Any, batch: Batch, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return the mean squared error of each example [B], of residuals of about unit variance."""
    with torch.no_grad():
        features = encode(network, batch.lr, batch.aug_level, dtype)
    return first_error(network, batch, recipe, features, dtype).square().mean((1, 2, 3))
