"""The critic learns to tell what was made from photographs, and what made it learns from the critic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.loop import optimizers
from upscale.training.loop.begin import start
from upscale.training.loop.optimizers import Together
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.objectives import last_step
from upscale.training.objectives.critic import Critic, View
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.recipe import Data, LastStep, Recipe


@pytest.fixture
def recipe(recipe_file: Callable[..., Path]) -> Recipe:
    base = recipes.load(str(recipe_file()))
    network = {**base.network, "first_step": True, "last_step": True}
    learns = LastStep(steps=(2, 3), told=0.7, critic=0.5, critic_rate=3.0)
    return replace(base, objective="last_step", network=network, last_step=learns)


@pytest.fixture
def hr(images: Photos) -> torch.Tensor:
    return images.crops(48, Data(batch=4, shrink=0.0), torch.Generator().manual_seed(0))


@pytest.fixture
def critic(seen: VGGFeatures) -> Critic:
    torch.manual_seed(0)
    return Critic(seen.widths)


def view(image: torch.Tensor, seen: VGGFeatures) -> View:
    base = F.avg_pool2d(image, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return View((image - base) / 0.12, base, seen(image))


def test_every_head_judges_every_picture(critic: Critic, seen: VGGFeatures, hr: torch.Tensor) -> None:
    shown = view(hr, seen)
    verdicts = critic(shown)
    assert len(verdicts) == 1 + len(seen.widths) == 5
    assert all(verdict.shape == (4,) and verdict.dtype == torch.float32 for verdict in verdicts)
    sides = [places.shape[2] for places in critic.places(shown)]
    assert sides == [24, 24, 24, 12, 6]  # pixels folded by 2; the largest layer is looked at by half
    for one, other in zip(verdicts, critic(view(hr.flip(0), seen)), strict=True):
        assert not torch.allclose(one, other)  # none is deaf: each heeds what it is shown
    in_bf16 = Critic(seen.widths, torch.bfloat16)
    in_bf16.load_state_dict(critic.state_dict())
    for one, other in zip(critic.eval()(shown), in_bf16.eval()(shown), strict=True):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)


def test_each_learns_from_its_own_loss(critic: Critic, seen: VGGFeatures, hr: torch.Tensor) -> None:
    made = hr.clone().requires_grad_()
    critic.lesson(view(made, seen), view(hr, seen)).backward()
    assert made.grad is None
    weights = [p for p in critic.parameters() if p.ndim == 4]  # where nothing is known, biases stay
    assert weights and all(p.grad is not None and p.grad.abs().max() > 0 for p in weights)
    critic.zero_grad(set_to_none=True)
    reproach = critic.reproach(view(made, seen))
    assert reproach.shape == (4,)
    reproach.mean().backward()
    assert made.grad is not None and made.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())


def test_it_learns_to_tell(critic: Critic, seen: VGGFeatures, hr: torch.Tensor) -> None:
    """Grain is found out by every head, and reproached more than photographs are."""
    grain = torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))
    made, true = view(hr + 0.2 * grain, seen), view(hr, seen)
    optimizer = torch.optim.AdamW(critic.parameters(), 3e-3, betas=optimizers.CRITIC_BETAS)
    losses = []
    for _ in range(40):
        loss = critic.lesson(made, true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 9 and losses[-1] < 8.5  # 2 for each head that knows nothing, 0 for one that is sure
    assert critic.margin > 0.3
    for ours, theirs in zip(critic(made), critic(true), strict=True):
        assert ours.mean() < theirs.mean()
    assert critic.reproach(made).mean() > critic.reproach(true).mean() + 1


def test_it_is_in_the_gradient_only(recipe: Recipe, seen: VGGFeatures, hr: torch.Tensor) -> None:
    """The log shows the energy score; the last step alone is changed by what the critic says."""
    state = start(recipe, "cpu", seen)
    assert state.critic is not None
    network: Any = state.network
    batch = last_step.make_batch(hr, recipe, torch.Generator().manual_seed(1))
    losses, gradients = [], []
    for critic in (None, state.critic):
        loss = last_step.loss_of(network, batch, recipe, torch.float32, seen, critic)
        loss.mean().backward()
        losses.append(loss.detach())
        gradients.append(network.last.head.weight.grad.clone())
        state.optimizer.zero_grad()
    torch.testing.assert_close(*losses)
    assert not torch.allclose(*gradients)


def test_a_run_with_a_critic_goes_on_as_if_not_stopped(
    recipe: Recipe, seen: VGGFeatures, whole_and_parts: Callable[..., tuple[State, State]]
) -> None:
    whole, parts = whole_and_parts(recipe, 4, vgg=seen)
    assert whole.critic is not None and parts.critic is not None
    begun = start(recipe, "cpu", seen).critic
    assert begun is not None
    for part in ("critic", "network", "ema"):
        ours, theirs = (getattr(state, part).state_dict() for state in (whole, parts))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    for before, after in zip(begun.parameters(), whole.critic.parameters(), strict=True):
        assert before.ndim < 4 or not torch.equal(before, after)
    assert not any("critic" in name for name in whole.ema.state_dict())  # which is what is exported


def test_it_returns_with_the_rest(recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path) -> None:
    state = train(recipe, images, tmp_path / "run", steps=1, vgg=seen)
    assert state.critic is not None
    state.keep()
    kept = {name: value.clone() for name, value in state.critic.state_dict().items()}
    with torch.no_grad():
        for p in state.critic.parameters():
            p.add_(1.0)
    state.go_back()
    assert all(torch.equal(kept[name], value) for name, value in state.critic.state_dict().items())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_its_rate_follows_the_run_s(
    kind: str, recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path
) -> None:
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, kind=kind, warmup=1))
    state = train(recipe, images, tmp_path / "run", steps=1, vgg=seen)
    assert isinstance(state.optimizer, Together)
    rates = {name: part.param_groups[0]["lr"] for name, part in state.optimizer.parts.items()}
    assert rates.pop("critic") == pytest.approx(3 * recipe.optimizer.lr)
    assert set(rates.values()) == {recipe.optimizer.lr} and kind in rates


def test_without_a_weight_there_is_none(recipe: Recipe, seen: VGGFeatures) -> None:
    without = replace(recipe, last_step=replace(recipe.last_step, critic=0.0))
    assert start(without, "cpu", seen).critic is None


def test_a_new_critic_learns_alone_first(
    recipe: Recipe, images: Photos, tmp_path: Path, seen: VGGFeatures
) -> None:
    first = replace(recipe, last_step=replace(recipe.last_step, critic_alone=2))
    begun = start(first, "cpu", seen)
    alone = train(first, images, tmp_path, steps=2, vgg=seen)
    assert begun.critic is not None and alone.critic is not None
    weights = [name for name, p in alone.critic.named_parameters() if p.ndim == 4]
    now, before = alone.critic.state_dict(), begun.critic.state_dict()
    assert weights and not any(torch.equal(now[name], before[name]) for name in weights)
    for name, weight in alone.network.state_dict().items():
        assert torch.equal(weight, begun.network.state_dict()[name])
    both = train(first, images, tmp_path, steps=3, vgg=seen)
    after = both.network.state_dict()
    assert any(not torch.equal(after[name], w) for name, w in begun.network.state_dict().items())
