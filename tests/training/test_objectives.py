"""What recipes train: nothing changed for the embedded model's, and the others are what they claim to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from upscale import networks
from upscale.diffusion.denoiser import NetworkDenoiser, trigonometric_level
from upscale.diffusion.schedule import betas_to_gammas, make_betas, sigma_to_gamma
from upscale.errors import UsageError
from upscale.models.restorer import Restorer
from upscale.training import objectives
from upscale.training import recipe as recipes
from upscale.training.averaged import restorer_of
from upscale.training.examples.photos import Photos
from upscale.training.export import export
from upscale.training.loop.begin import start
from upscale.training.loop.state import State, read
from upscale.training.loop.train import train
from upscale.training.objectives import relay
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.recipe import Data, Recipe

IMAGE_NETWORK = {
    "inner_channel": 8,
    "channel_multipliers": [1, 2],
    "res_blocks": 1,
    "attn_res": [],
    "norm_groups": 4,
    "skip_scale": 0.7071,
}


@pytest.fixture
def on_images(recipe: Recipe) -> Recipe:
    return replace(recipe, objective="published", arch="sr3_unet", network=IMAGE_NETWORK, residual_std=1.0)


def batch_of(recipe: Recipe, images: Photos, count: int = 6) -> tuple[torch.Tensor, Batch]:
    hr = images.crops(48, Data(batch=count, shrink=0.0), torch.Generator().manual_seed(0))
    return hr, objectives.of(recipe).make_batch(hr, recipe, torch.Generator().manual_seed(1))


def recipe_for(name: str, recipe: Recipe) -> Recipe:
    own = {name: True} if name in ("first_step", "last_step") else {}
    return replace(recipe, objective=name, network={**recipe.network, **own})


def told(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """sqrt(gamma) and sqrt(1 - gamma) of each example."""
    angle = (math.pi / 2 * batch.level)[:, None, None, None]
    return angle.cos(), angle.sin()


class Knows:
    """A network that answers what it was given."""

    def __init__(self, answer: torch.Tensor) -> None:
        self.answer = answer

    def encode(self, lr: torch.Tensor, level: torch.Tensor) -> None:
        return None

    def __call__(self, *_: Any) -> torch.Tensor:
        return self.answer


# --- the embedded model's ---------------------------------------------------------------------------------


def test_the_embedded_models_recipe_computes_what_it_always_has(
    recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    """Long runs of it are interrupted and resumed across versions; recorded with torch 2.13."""
    state = train(recipe, images, tmp_path, steps=3)
    assert state.norms == pytest.approx([0.364084, 0.140556, 0.289809], rel=1e-4)
    sizes = [
        float(sum(p.detach().double().abs().sum() for p in net.parameters()))
        for net in (state.ema, state.network)
    ]
    assert sizes == pytest.approx([597.81323, 602.66754], rel=1e-6)
    # What a state holds is what earlier versions wrote and later ones will read.
    assert set(read(tmp_path / "state.pt")) > {"step", "skipped", "norms", "network", "ema", "optimizer"}
    committed = recipes.load("sr3-photo-4x")
    assert committed.objective == "residual_v"


# --- any of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_is_trained_can_be_exported_and_sampled(
    name: str, dtype: str, recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path
) -> None:
    recipe = replace(recipe_for(name, recipe), dtype=dtype)
    state = train(recipe, images, tmp_path / "run", steps=2, vgg=seen)
    assert state.skipped == 0 and all(math.isfinite(norm) for norm in state.norms)
    export(recipe, tmp_path / "run", tmp_path / "model", steps=3)
    restorer = Restorer.load(str(tmp_path / "model"), torch.float32, torch.device("cpu"))
    field = restorer.noise_field(seed=0)

    def noise(step: int) -> torch.Tensor:
        return torch.from_numpy(field.window(step, 0, 0, 32, 48))[None]

    lr = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for sampler in ("ddim", "ddpm_beta", "relay"):
        hr = restorer.restore(lr, noise, sampler=sampler, steps=3)
        assert hr.shape == (1, 3, 32, 48) and hr.isfinite().all()


@pytest.mark.parametrize("name", ["first_step", "last_step"])
def test_networks_without_the_weights_that_are_to_be_trained(name: str, recipe: Recipe) -> None:
    with pytest.raises(UsageError, match=f"'{name}' needs a step of its own") as caught:
        start(replace(recipe, objective=name), "cpu")
    assert f"`{name} = true`" in (caught.value.hint or "")


def test_steps_between_ends_that_there_are_not(recipe: Recipe) -> None:
    between = replace(recipe, objective="last_step", last_step=replace(recipe.last_step, between=True))
    with pytest.raises(UsageError, match="'last_step' needs a step of its own") as caught:
        start(replace(between, network={**recipe.network, "last_step": True}), "cpu")
    assert "`first_step = true`" in (caught.value.hint or "")


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_the_loss_falls(name: str, recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path) -> None:
    fast = replace(recipe_for(name, recipe), optimizer=replace(recipe.optimizer, lr=5e-3))
    same = batch_of(fast, images)[1]  # one batch, again and again
    state = start(fast, "cpu")
    losses = []
    for _ in range(60):
        loss = objectives.of(fast).loss_of(state.network, same, fast, torch.float32, seen).mean()
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_unknown_objectives_and_networks(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no objective 'x'") as caught:
        train(replace(recipe, objective="x"), images, tmp_path / "run", steps=1)
    assert caught.value.hint is not None and "relay" in caught.value.hint
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="does not know the architecture other"):
        objectives.of(on := replace(recipe, objective="published", arch="other")).config(on)


# --- SR3 as published -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["images", "residuals"])
def test_a_network_that_knows_the_noise_has_no_loss(
    where: str, recipe: Recipe, on_images: Recipe, images: Photos
) -> None:
    chosen = on_images if where == "images" else replace(recipe, objective="published")
    hr, batch = batch_of(chosen, images)
    assert torch.equal(batch.target, hr) == (where == "images")
    loss = objectives.of(chosen).loss_of
    assert loss(Knows(batch.noise), batch, chosen, torch.float32, None).tolist() == [0.0] * 6
    wrong = loss(Knows(batch.noise + 0.5), batch, chosen, torch.float32, None)
    assert wrong.tolist() == pytest.approx([0.5] * 6, rel=1e-5)  # L1


def test_levels_are_drawn_as_the_paper_says(on_images: Recipe, images: Photos) -> None:
    """p(gamma) = sum_t U(gamma_{t-1}, gamma_t) / T over the 2000 levels of the chain."""
    hr = images.crops(48, Data(batch=1, shrink=0.0), torch.Generator().manual_seed(0))
    hr = hr.expand(2000, -1, -1, -1)[:, :, :8, :8]
    batch = objectives.of(on_images).make_batch(hr, on_images, torch.Generator().manual_seed(1))
    gamma = (math.pi / 2 * batch.level).cos().double().square().numpy()
    gammas = np.concatenate([[1.0], betas_to_gammas(make_betas("linear", 2000))])
    assert gamma.min() > gammas[-1] * 0.9 and gamma.max() <= 1
    t = np.interp(-gamma, -gammas, np.arange(2001)) / 2000  # uniform if gamma is drawn so
    assert np.abs(np.histogram(t, 10, (0, 1))[0] - 200).max() < 5 * math.sqrt(200 * 0.9)


def test_the_network_is_told_sqrt_gamma_and_shown_bicubic(on_images: Recipe, images: Photos) -> None:
    _, batch = batch_of(on_images, images)
    seen: list[torch.Tensor] = []

    def network(*args: torch.Tensor) -> torch.Tensor:
        seen.extend(args)
        return batch.noise

    objectives.of(on_images).loss_of(network, batch, on_images, torch.float32, None)
    x, level, condition = seen
    signal, sigma = told(batch)
    assert torch.allclose(x, signal * batch.target + sigma * batch.noise, atol=1e-6)
    assert torch.allclose(level, signal.flatten())
    assert condition.shape == batch.target.shape and (condition - batch.target).abs().mean() < 0.2


def test_dropout_is_of_training_alone_and_resumes(
    on_images: Recipe,
    whole_and_parts: Callable[..., tuple[State, State]],
    assert_equal: Callable[[Any, Any], int],
    tmp_path: Path,
) -> None:
    on_images = replace(on_images, network={**IMAGE_NETWORK, "dropout": 0.5})
    whole, parts = whole_and_parts(on_images, 4)
    assert assert_equal(whole.content(), parts.content()) > 100
    restorer = restorer_of(on_images, whole.ema.state_dict(), "", torch.float32)
    lr, noise = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 16, 16)
    one, other = (restorer.restore(lr, lambda _: noise, sampler="ddim", steps=2) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_model_of_the_papers_runs_along_its_whole_chain(
    dtype: str, on_images: Recipe, images: Photos, tmp_path: Path
) -> None:
    on_images = replace(on_images, dtype=dtype)
    train(on_images, images, tmp_path / "run", steps=2)
    export(on_images, tmp_path / "run", tmp_path / "model", steps=100, sampler="ddpm_beta")
    with pytest.raises(UsageError, match="has no power"):
        export(on_images, tmp_path / "run", tmp_path / "other", power=2.0)
    restorer = Restorer.load(str(tmp_path / "model"), torch.float32, torch.device("cpu"))
    config = restorer.config
    assert (config.target, config.prediction, config.level) == ("image", "epsilon", "sqrt_gamma")
    assert (config.residual_std, config.sampler, config.steps) == (1.0, "ddpm_beta", 100)
    gammas = betas_to_gammas(make_betas("linear", 2000))
    assert [sigma_to_gamma(s) for s in restorer.config.sigmas(2000)] == pytest.approx(gammas[::-1].tolist())
    lr = torch.zeros(1, 3, 2, 2)
    generator = torch.Generator().manual_seed(0)
    for sampler in ("ddpm", "ddpm_beta"):
        hr = restorer.restore(
            lr, lambda _: torch.randn(1, 3, 8, 8, generator=generator), sampler=sampler, steps=50
        )
        assert hr.shape == (1, 3, 8, 8) and hr.abs().max() <= 1


# --- Relay Diffusion --------------------------------------------------------------------------------------


@pytest.fixture
def relaying(recipe: Recipe) -> Recipe:
    return replace(recipe, objective="relay", relay=recipes.Relay(blur_max=2.0))


def test_noise_and_levels_of_a_relay(relaying: Recipe, images: Photos) -> None:
    process = relay.process(relaying)
    _, batch = batch_of(relaying, images, 64)
    sigma = torch.tan(math.pi / 2 * batch.level)
    assert sigma.max() <= process.sigma_max + 1e-4 and sigma.min() >= 0.0149
    share = np.mean([process.progress(s) < 0.5 for s in sigma.tolist()])
    assert abs(share - 0.5) < 0.2
    noise = F.pixel_shuffle(batch.noise, 4)
    assert noise.std() == pytest.approx(1, abs=0.02)
    near = 0.15**2 * 0.75 / (1 + 0.15**2)
    assert float((noise[..., 1:] * noise[..., :-1]).mean()) == pytest.approx(near, abs=0.008)


def test_the_relays_target_is_what_the_denoiser_makes_x0_of(relaying: Recipe, images: Photos) -> None:
    """With the right v, one evaluation gives the residual from its blurred and noised self."""
    process = relay.process(relaying)
    _, batch = batch_of(relaying, images)
    signal, sine = told(batch)
    sigmas = (sine / signal).flatten().double().numpy()
    x = process.blur(batch.target, sigmas) + (sine / signal) * batch.noise
    v = (signal**2 * x - batch.target) / sine
    loss = objectives.of(relaying).loss_of(Knows(v), batch, relaying, torch.float32, None)
    assert loss.tolist() == pytest.approx([1e-3] * 6, rel=0.05)
    for i, sigma in enumerate(sigmas.tolist()):
        knows = Knows(v[i : i + 1])
        denoise = NetworkDenoiser(knows, prediction="v", level=trigonometric_level)
        assert torch.allclose(denoise(x[i : i + 1], sigma), batch.target[i : i + 1], atol=2e-3)


def test_a_relay_without_blur_and_block_noise_asks_what_sr3_asks(relaying: Recipe, images: Photos) -> None:
    """So the embedded model's weights are a start for it."""
    plain = replace(relaying, relay=recipes.Relay(block=0.0, blur_max=0.0))
    _, batch = batch_of(plain, images)
    network = networks.get(plain.arch).build(plain.network)
    one = objectives.OBJECTIVES["residual_v"].loss_of(network, batch, plain, torch.float32, None)
    other = objectives.OBJECTIVES["relay"].loss_of(network, batch, plain, torch.float32, None)
    assert torch.allclose(one, other, rtol=1e-3)


def test_the_config_of_a_relay(relaying: Recipe) -> None:
    entries = objectives.of(relaying).config(relaying)
    assert entries["process"] == "relay" and entries["relay"]["blur_max"] == 2.0
    assert entries["grid"]["sigma_max"] == pytest.approx(relay.process(relaying).sigma_above(0.5), rel=1e-3)
    high = replace(relaying, relay=recipes.Relay(sigma_low=50.0))
    assert objectives.of(high).config(high)["grid"]["sigma_max"] == pytest.approx(3.54, abs=0.01)


def test_a_run_may_begin_with_a_model(
    recipe: Recipe, relaying: Recipe, images: Photos, tmp_path: Path
) -> None:
    first = train(recipe, images, tmp_path / "one", steps=2)
    export(recipe, tmp_path / "one", tmp_path / "model")
    state = train(relaying, images, tmp_path / "two", steps=0, begin_with=tmp_path / "model")
    for weight, average, begun in zip(
        state.network.parameters(), state.ema.parameters(), first.ema.parameters(), strict=True
    ):
        assert torch.equal(weight, begun.half().float()) and torch.equal(average, weight)
        assert weight.requires_grad and not average.requires_grad
    wide = replace(relaying, network={**relaying.network, "width": 16})
    with pytest.raises(UsageError, match="does not fit the recipe"):
        train(wide, images, tmp_path / "three", steps=1, begin_with=tmp_path / "model")
