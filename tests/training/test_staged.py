"""Examples as the second stage of a cascade finds them: what the network makes of a smaller picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from upscale.diffusion.conditioning import upsample_bicubic
from upscale.errors import UsageError
from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.examples.reductions import reduce_bicubic
from upscale.training.loop.begin import start
from upscale.training.loop.state import State
from upscale.training.objectives import staged
from upscale.training.objectives.last_step import loss_of, make_batch
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.staged import Staged
from upscale.training.recipe import Data, Degradation, LastStep, Recipe

COUNT = 2


@pytest.fixture
def recipe(recipe_file: Callable[..., Path]) -> Recipe:
    base = recipes.load(str(recipe_file()))
    network = {**base.network, "first_step": True, "last_step": True, "first_encoder": True}
    drawn = LastStep(steps=(2, 3), told=0.7, between=True, staged=0.67)
    return replace(
        base,
        objective="last_step",
        network=network,
        last_step=drawn,
        degradation=Degradation(share=0.0),
    )


@pytest.fixture
def hr(images: Photos) -> torch.Tensor:
    return images.crops(64, Data(batch=3, shrink=0.0), torch.Generator().manual_seed(0))


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Silent:
    """A network that adds nothing to the bicubic enlargement: v = cos x, so x0 = 0, whatever x."""

    encoder = None

    @property
    def first(self) -> Any:
        return self

    last = first

    def encode(self, lr: torch.Tensor, level: torch.Tensor) -> Any:
        return lr, lr

    def __call__(self, x: torch.Tensor, level: torch.Tensor, features: Any) -> torch.Tensor:
        return (math.pi / 2 * level).cos()[:, None, None, None] * x


def several(hr: torch.Tensor, recipe: Recipe) -> list[Staged]:
    return [drawn for seed in range(9) if (drawn := staged.draw(hr, recipe, draws(seed)))]


def both_kinds(hr: torch.Tensor, recipe: Recipe) -> list[Staged]:
    found = {drawn.whole: drawn for drawn in several(hr, recipe)}
    assert found.keys() == {True, False}
    return [found[True], found[False]]


def without(recipe: Recipe) -> Recipe:
    return replace(recipe, last_step=replace(recipe.last_step, staged=0.0))


def test_what_a_first_stage_is_given(hr: torch.Tensor, recipe: Recipe) -> None:
    """A half of the LR crop's sides; or a quarter of them, with what is mirrored around it."""
    whole, middle = both_kinds(hr, recipe)
    assert whole.lr.shape == middle.lr.shape == (COUNT, 3, 8, 8)
    assert whole.noise.shape == middle.noise.shape == (COUNT, 48, 8, 8)
    levels = 1 / 127.5
    assert torch.allclose(whole.lr, reduce_bicubic(hr[:COUNT], 8), atol=levels)
    assert torch.allclose(middle.lr[:, :, 2:6, 2:6], reduce_bicubic(hr[:COUNT], 16), atol=levels)
    assert torch.equal(middle.lr[:, :, 1], middle.lr[:, :, 3])
    assert 0 <= whole.fidelity <= staged.FIDELITY_MAX
    assert {len(drawn.sigmas) for drawn in several(hr, recipe)} == {2, 3}
    assert staged.draw(hr, without(recipe), draws()) is None


def test_it_lies_where_the_photo_lies(hr: torch.Tensor, recipe: Recipe) -> None:
    """A silent network's results are the photo's own LR crop, only softer, and not shifted."""
    lr = reduce_bicubic(hr[:COUNT], 4)
    for drawn in both_kinds(hr, recipe):
        found = staged.first_stage(Silent(), drawn, recipe, torch.float32)
        assert found.shape == lr.shape and found.abs().max() <= 1

        def apart(dy: int, dx: int, found: torch.Tensor = found) -> float:
            moved = found.roll((dy, dx), (2, 3))
            return float((moved - lr)[:, :, 4:-4, 4:-4].square().mean())

        here = apart(0, 0)
        assert all(here < apart(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)


def test_examples_end_at_the_same_photo(hr: torch.Tensor, recipe: Recipe) -> None:
    """The target is the photo less the enlargement of what is made; other examples are as without it."""
    network: Any = start(recipe, "cpu").network
    batch = make_batch(hr, recipe, draws())
    plain = make_batch(hr, without(recipe), draws())
    assert plain.staged is None and batch.staged is not None
    assert torch.equal(batch.lr, plain.lr) and torch.equal(batch.noise, plain.noise)
    moved = batch.to("meta")
    assert moved.staged and moved.staged.lr.is_meta and moved.staged.noise.is_meta
    made = staged.first_stage(network, batch.staged, recipe, torch.float32)
    found = staged.restored_from(made, batch, recipe)
    assert torch.equal(found.lr[:COUNT], made) and (made - batch.lr[:COUNT]).abs().mean() > 0.01
    assert torch.equal(found.lr[COUNT:], batch.lr[COUNT:])
    assert torch.equal(found.target[COUNT:], batch.target[COUNT:])
    assert not found.aug_level[:COUNT].any() and not found.lr.requires_grad
    end = upsample_bicubic(found.lr, 4) + recipe.residual_std * F.pixel_shuffle(found.target, 4)
    assert torch.allclose(end, hr, atol=1e-5)


def test_the_loss_is_of_what_is_made(hr: torch.Tensor, recipe: Recipe, seen: VGGFeatures) -> None:
    """As if what is made had been a photo's LR crop; and all that shall learn does."""
    recipe = replace(recipe, last_step=replace(recipe.last_step, steps=(3,)))  # or nothing between learns
    network: Any = start(recipe, "cpu").network
    batch = make_batch(hr, recipe, draws())
    assert batch.staged is not None
    plain = replace(batch, staged=None)
    made = staged.first_stage(network, batch.staged, recipe, torch.float32)
    by_hand = staged.restored_from(made, plain, recipe)
    losses, expected, others = (
        loss_of(network, each, recipe, torch.float32, seen) for each in (batch, by_hand, plain)
    )
    assert torch.equal(losses, expected)
    assert (losses == others).reshape(2, 3).all(0).tolist() == [False, False, True]
    losses.mean().backward()
    learning = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert learning == {name for name, weight in network.named_parameters() if weight.requires_grad}


def test_what_it_makes_is_its_own(hr: torch.Tensor, recipe: Recipe) -> None:
    """Other weights, another LR image; the noise and the share of the first estimate count as well."""
    network: Any = start(recipe, "cpu").network
    for drawn in both_kinds(hr, recipe):

        def of(network: Any, drawn: Staged = drawn) -> torch.Tensor:
            return staged.first_stage(network, drawn, recipe, torch.float32)

        mine = of(network)
        assert torch.equal(mine, of(network))
        assert not torch.equal(mine, of(start(replace(recipe, seed=5), "cpu").network))
        assert not torch.equal(mine, of(network, replace(drawn, noise=drawn.noise.flip(0))))
        faithful = replace(drawn, fidelity=torch.ones(1, 1, 1, 1))
        first = of(network, faithful)
        assert torch.equal(first, of(network, replace(faithful, noise=drawn.noise.flip(0))))
        assert not torch.equal(mine, first)


def test_a_run_goes_on_as_if_it_had_not_been_stopped(
    recipe: Recipe, seen: VGGFeatures, whole_and_parts: Callable[..., tuple[State, State]]
) -> None:
    whole, parts = whole_and_parts(recipe, 4, vgg=seen)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, parts.network.state_dict()[name]), name


def test_a_network_without_a_first_step_is_refused(recipe: Recipe) -> None:
    lacking = replace(recipe, network={**recipe.network, "first_step": False, "first_encoder": False})
    lacking = replace(lacking, last_step=replace(recipe.last_step, between=False))
    with pytest.raises(UsageError, match="a step of its own"):
        start(lacking, "cpu")
