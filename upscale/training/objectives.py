"""What a recipe may train: how examples are noised, how wrong a network is, and what its config says then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from upscale.errors import UsageError
from upscale.training import objective, published, relay
from upscale.training.objective import Batch
from upscale.training.recipe import Recipe


@dataclass(frozen=True)
class Objective:
    """A row of `OBJECTIVES`.

    Attributes:
        make_batch: (hr [B, 3, H, W] in [-1, 1], recipe, generator) -> what a step trains on.
        loss_of: (network, batch, recipe, dtype) -> [B].
        config: recipe -> entries of a model's config.
    """

    make_batch: Callable[[Tensor, Recipe, torch.Generator], Batch]
    loss_of: Callable[[Any, Batch, Recipe, torch.dtype], Tensor]
    config: Callable[[Recipe], dict[str, Any]]


OBJECTIVES: dict[str, Objective] = {
    "residual_v": Objective(
        objective.make_batch,
        lambda network, batch, _, dtype: objective.loss_of(network, batch, dtype),
        lambda recipe: {"grid": {"name": "trigonometric", "power": 2.0, "sigma_max": recipe.noise.sigma_max}},
    ),
    "published": Objective(published.make_batch, published.loss_of, published.config),
    "relay": Objective(relay.make_batch, relay.loss_of, relay.config),
}


def of(recipe: Recipe) -> Objective:
    """Return what a recipe trains.

    Raises:
        UsageError: There is no such objective, or it does not go with the recipe's few-step tuning.
    """
    if recipe.objective not in OBJECTIVES:
        raise UsageError(
            f"There is no objective {recipe.objective!r}.", hint=f"Choose from {', '.join(OBJECTIVES)}."
        )
    if recipe.tuning is not None and recipe.objective != "residual_v":
        raise UsageError(f"Few-step tuning does not go with the objective {recipe.objective}.")
    return OBJECTIVES[recipe.objective]
