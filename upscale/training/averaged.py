"""A run's averaged weights as a model: with the config that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upscale import networks
from upscale.diffusion import samplers
from upscale.errors import UsageError, WeightsError
from upscale.models import checkpoint
from upscale.models.config import ModelConfig
from upscale.models.restorer import Restorer
from upscale.training import objectives
from upscale.training import recipe as recipes
from upscale.training.loop import state
from upscale.training.recipe import Recipe


def weights_at(run: Path) -> Mapping[str, Any]:
    """Return the averaged weights that lie in a run's folder.

    Raises:
        InputError: There is no run in that folder, or a damaged one.
    """
    weights: Mapping[str, Any] = state.read(run / "state.pt")["ema"]
    return weights


def built(recipe: Recipe) -> nn.Module:
    """Return the recipe's network with new weights.

    Raises:
        UsageError: No model can be so, or its network does not fold so many pixels.
        WeightsError: The architecture does not know such a network.
    """
    checkpoint.build(config_of(recipe, "of this recipe"), "The recipe")  # says what is wrong before it costs
    if recipe.network.get("scale", recipe.scale) != recipe.scale:
        raise UsageError(f"The recipe's network has another scale than {recipe.scale}.")
    return networks.get(recipe.arch).build(recipe.network)


def network_of(recipe: Recipe, weights: Mapping[str, Any], where: str) -> nn.Module:
    """Return the recipe's network with some weights, which are copied, in evaluation mode.

    `where` is for messages.

    Raises:
        UsageError: They are another network's, or the recipe has none.
        WeightsError: Likewise.
    """
    network = built(recipe)
    try:
        state.load_weights(network, weights)
    except ValueError as error:
        raise UsageError(f"{where} does not fit the recipe: {error}.") from None
    return network.eval()


def config_of(recipe: Recipe, name: str, **entries: Any) -> ModelConfig:
    """Return the config of a recipe's model; `entries` are further fields of it.

    Raises:
        UsageError: No model can be so.
    """
    learnt = {
        "residual_std": recipe.residual_std,
        "ways_up": 8 if recipe.data.turn else 2,  # half of all crops are mirrored in any case
        **objectives.of(recipe).config(recipe),
        **entries,
    }
    return usable(ModelConfig(name, recipe.arch, recipe.network, recipe.scale, **learnt))


def usable(config: ModelConfig) -> ModelConfig:
    """Return a config as it will be read from its file.

    Raises:
        UsageError: It would be refused there.
    """
    samplers.get(config.sampler)
    try:
        return config.checked("its config")
    except WeightsError as error:
        raise UsageError(
            f"The model {config.name} would not load: {error.message}", hint="Change what was given for it."
        ) from None


def restorer_of(
    recipe: Recipe, weights: Mapping[str, Any], name: str, dtype: torch.dtype, device: str = "cpu"
) -> Restorer:
    """Return a restorer with weights of a recipe's network, as they are now.

    Raises:
        UsageError: They are another network's.
    """
    return Restorer(config_of(recipe, name), network_of(recipe, weights, name), dtype, torch.device(device))


def restorer_at(run: Path, dtype: torch.dtype) -> Restorer:
    """Return a restorer with the averaged weights that lie in a run's folder.

    Raises:
        InputError: There is no run in that folder, or a damaged one.
        UsageError: Its state and its recipe do not belong together.
    """
    return restorer_of(recipes.of_run(run), weights_at(run), run.name, dtype)
