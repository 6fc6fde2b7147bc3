"""The state that a run begins with: fresh, with the weights of another, or where it was stopped."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from upscale.errors import UsageError
from upscale.models import catalog, checkpoint
from upscale.training import objectives
from upscale.training.averaged import built, network_of
from upscale.training.loop import optimizers
from upscale.training.loop.state import State, load_weights, read
from upscale.training.objectives.critic import Critic
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.teachers import Teachers
from upscale.training.recipe import Recipe


def start(recipe: Recipe, device: str, vgg: VGGFeatures | None = None) -> State:
    """Return the state before the first step; a critic, if the recipe has one, is of the features `vgg`.

    Raises:
        UsageError: The network lacks what the objective needs, or no model can be so; or what is frozen does
            not exist, or is all that is trained.
        WeightsError: There is no such network.
    """
    objective = objectives.of(recipe)
    lacking = [entry for entry in objective.needs(recipe) if not recipe.network.get(entry)]
    if lacking:
        raise UsageError(
            f"The objective {recipe.objective!r} needs a step of its own that the recipe's network lacks.",
            hint=f"Write `{lacking[0]} = true` into [network].",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network: Any = built(recipe)
        critic = Critic(vgg.widths, vgg.dtype) if vgg and recipe.last_step.critic else None
    if critic:
        critic = critic.to(device)
    network = network.to(device, memory_format=torch.channels_last)
    parameters = dict(network.named_parameters())
    for frozen in recipe.frozen:
        if not any(name.startswith(frozen) for name in parameters):
            raise UsageError(f"The recipe freezes {frozen!r}, and no weight has a name that begins so.")
    for name, parameter in parameters.items():
        parameter.requires_grad_(objective.trains(recipe, name) and not recipe.freezes(name))
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UsageError("The recipe freezes all weights that its objective trains.")
    averaged = copy.deepcopy(network).requires_grad_(False)
    return State(network, averaged, optimizers.of(recipe, network, critic), critic)


def weights_of(source: str) -> dict[str, torch.Tensor]:
    """Return the averaged weights of a run, by its folder or `.pt` file, or those of a model by name or path.

    Raises:
        InputError: The file is missing or damaged.
        WeightsError: There is no such model, or it is damaged.
        KeyError: The file holds something else.
    """
    of_run = Path(source) / "state.pt"
    path = of_run if of_run.exists() else Path(source)
    if path.suffix == ".pt":
        averaged: dict[str, torch.Tensor] = read(path)["ema"]
        return averaged
    return checkpoint.load(catalog.locate(source))[1].state_dict()


def load_teachers(sources: Sequence[str], recipe: Recipe, device: str) -> Teachers:
    """Return what a recipe's first step learns from, on a device; for `sources` see `weights_of`.

    Raises:
        InputError: A state is missing or damaged.
        WeightsError: There is no such model, or it is damaged.
        UsageError: It is of another network than the recipe's.
    """
    teaching = [network_of(recipe, weights_of(source), source) for source in sources]
    for network in teaching:
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teachers(teaching, recipe.first_step.taught)


def with_own_steps(weights: Mapping[str, torch.Tensor], recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return weights with those of steps of their own that the recipe's network has and they lack.

    They begin as the weights of all other steps, which are a good start for them; so does an encoder.
    """
    steps = {name: w for name, w in weights.items() if not name.startswith(("encoder.", "first.", "last."))}
    encoder = {name: w for name, w in weights.items() if name.startswith("encoder.")}
    whole = dict(weights)
    for option, own, shared in (
        ("first_step", "first.", steps),
        ("last_step", "last.", steps),
        ("first_encoder", "first.", encoder),
    ):
        if recipe.network.get(option) and not any(own + name in weights for name in shared):
            whole |= {own + name: w.clone() for name, w in shared.items()}
    return whole


def begin(
    recipe: Recipe, path: Path, device: str, begin_with: str | None, vgg: VGGFeatures | None = None
) -> State:
    """Return the state stored at `path`; or a new one, with the weights `begin_with` if given.

    Raises:
        UsageError: Either was made with another network, or the state with another optimiser.
        InputError: A state is damaged.
        WeightsError: There is no such model, or it is damaged.
    """
    state = start(recipe, device, vgg)
    if begin_with is not None and not path.exists():
        try:
            weights = with_own_steps(weights_of(begin_with), recipe)
            load_weights(state.network, weights)
            load_weights(state.ema, weights)
        except (KeyError, ValueError) as error:
            raise UsageError(f"{begin_with} does not fit the recipe: {error}.") from None
    if path.exists():
        try:
            state.load(path)
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"The run in {path.parent} does not fit the recipe: {error}.",
                hint="Choose another --run; if only the optimizer differs it may --begin-with that state.pt.",
            ) from None
    if state.good is None:
        state.keep()
    return state
