"""What a recipe may train: how examples are noised, how wrong a network is, and what its config says then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from upscale.errors import UsageError, choices
from upscale.training.objectives import first_step, last_step, published, relay, residual_v
from upscale.training.objectives.critic import Critic
from upscale.training.recipe import Recipe

Loss = Callable[[Any, Any, Recipe, torch.dtype, Any, Critic | None], Tensor]
"""(network, batch, recipe, dtype, features of VGG, critic) -> [B] of the batch."""


@dataclass(frozen=True)
class Objective:
    """A row of `OBJECTIVES`.

    Attributes:
        make_batch: (hr [B, 3, H, W] in [-1, 1], recipe, generator, how many of the last are not spoilt)
            -> what a step trains on.
        loss_of: How wrong the network is.
        config: recipe -> entries of a model's config.
        sees: Whether it needs the features of VGG.
        taught: Whether teachers may say what is learnt.
        needs: recipe -> entries of its `[network]` that must be true.
        trains: (recipe, name of a parameter) -> whether it is trained.
    """

    make_batch: Callable[[Tensor, Recipe, torch.Generator, int], Any]
    loss_of: Loss
    config: Callable[[Recipe], dict[str, Any]]
    sees: bool = False
    taught: bool = False
    needs: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    trains: Callable[[Recipe, str], bool] = lambda recipe, name: True


def _blind(loss_of: Callable[[Any, Any, Recipe, torch.dtype], Tensor]) -> Loss:
    """Return a loss to which the features of VGG and a critic are not shown."""
    return lambda network, batch, recipe, dtype, *_: loss_of(network, batch, recipe, dtype)


OBJECTIVES: dict[str, Objective] = {
    "residual_v": Objective(
        residual_v.make_batch,
        _blind(residual_v.loss_of),
        lambda recipe: {"grid": {"name": "trigonometric", "power": 2.0, "sigma_max": recipe.noise.sigma_max}},
    ),
    "published": Objective(published.make_batch, _blind(published.loss_of), published.config),
    "relay": Objective(relay.make_batch, _blind(relay.loss_of), relay.config),
    "first_step": Objective(
        first_step.make_batch,
        _blind(first_step.loss_of),
        last_step.config,
        taught=True,
        needs=lambda recipe: ("first_step",),
        trains=first_step.trains,
    ),
    "last_step": Objective(
        last_step.make_batch,
        last_step.loss_of,
        last_step.config,
        sees=True,
        needs=last_step.needs,
        trains=last_step.trains,
    ),
}


def of(recipe: Recipe) -> Objective:
    """Return what a recipe trains.

    Raises:
        UsageError: There is no such objective.
    """
    if recipe.objective not in OBJECTIVES:
        raise UsageError(
            f"There is no objective {recipe.objective!r}.", hint=choices(recipe.objective, OBJECTIVES)
        )
    return OBJECTIVES[recipe.objective]
