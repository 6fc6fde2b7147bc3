"""What a step compares: v of a noised residual, at every noise level."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from upscale import networks
from upscale.diffusion.conditioning import upsample_bicubic
from upscale.diffusion.denoiser import NetworkDenoiser, trigonometric_level
from upscale.training.examples.photos import Photos
from upscale.training.objectives import first_step
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.residual_v import charbonnier, loss_of, make_batch
from upscale.training.recipe import Data, Recipe


@pytest.fixture
def hr(photos: Path) -> torch.Tensor:
    return Photos.load([photos], min_side=48).crops(
        48, Data(batch=6, shrink=0.0), torch.Generator().manual_seed(0)
    )


@pytest.fixture
def batch(hr: torch.Tensor, recipe: Recipe) -> Batch:
    return make_batch(hr, recipe, torch.Generator().manual_seed(1))


def network(recipe: Recipe) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return networks.get(recipe.arch).build(recipe.network)


def perfect(batch: Batch) -> Any:
    """A network that knows the answer."""
    angle = (math.pi / 2 * batch.level)[:, None, None, None]

    def predict(x: torch.Tensor, level: torch.Tensor, features: Any) -> torch.Tensor:
        v: torch.Tensor = angle.cos() * batch.noise - angle.sin() * batch.target
        return v

    class Perfect:
        encode = staticmethod(lambda lr, level: None)
        first = None
        __call__ = staticmethod(predict)

    return Perfect()


def test_a_batch_is_what_a_photo_and_its_reduction_differ_by(
    hr: torch.Tensor, recipe: Recipe, batch: Batch
) -> None:
    assert batch.lr.shape == (6, 3, 12, 12)
    assert batch.target.shape == batch.noise.shape == (6, 48, 12, 12)
    assert batch.level.shape == batch.aug_level.shape == (6,)
    again = upsample_bicubic(batch.lr, 4) + recipe.residual_std * F.pixel_shuffle(batch.target, 4)
    assert torch.allclose(again, hr, atol=1e-5)
    t_max = 2 / math.pi * math.atan(recipe.noise.sigma_max)
    assert (batch.level >= 0).all() and (batch.level <= t_max + 1e-6).all()
    same = make_batch(hr, recipe, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(vars(batch).values(), vars(same).values(), strict=True))


def test_augmentation_is_told(hr: torch.Tensor, recipe: Recipe) -> None:
    clean = replace(recipe, degradation=replace(recipe.degradation, share=0.0, noise_share=0.0))
    noisy = replace(recipe, degradation=replace(recipe.degradation, share=0.0, noise_share=1.0))
    one, other = (make_batch(hr, r, torch.Generator().manual_seed(1)) for r in (clean, noisy))
    assert (one.aug_level == 0).all() and (other.aug_level > 0).all()
    sigma = (other.lr - one.lr).std((1, 2, 3))
    told = torch.tan(other.aug_level * math.pi / 2) / 10
    assert torch.allclose(sigma, told, rtol=0.15)


def test_noise_that_is_told_of_may_lie_behind_jpeg(hr: torch.Tensor, recipe: Recipe) -> None:
    """As auto finds it in a phone's photos; clean examples stay what they are."""
    told = replace(recipe, degradation=replace(recipe.degradation, share=0.0, noise_share=0.5))
    saved = replace(told, degradation=replace(told.degradation, noise_jpeg=1.0))
    one, other = (make_batch(hr, r, torch.Generator().manual_seed(1)) for r in (told, saved))
    assert torch.equal(one.aug_level, other.aug_level)
    noisy = one.aug_level > 0
    assert 0 < noisy.sum() < 6 and torch.equal(one.lr[~noisy], other.lr[~noisy])
    levels = (other.lr[noisy] + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-3) and levels.min() > -0.5 and levels.max() < 255.5
    same = torch.corrcoef(torch.stack([one.lr[noisy].flatten(), other.lr[noisy].flatten()]))[0, 1]
    assert 0.8 < same < 0.999
    again = upsample_bicubic(other.lr, 4) + recipe.residual_std * F.pixel_shuffle(other.target, 4)
    assert torch.allclose(again, hr, atol=1e-5)


def test_a_batch_may_have_no_noise_that_is_told_of(hr: torch.Tensor, recipe: Recipe) -> None:
    none = replace(recipe, degradation=replace(recipe.degradation, noise_share=0.0, noise_jpeg=0.3))
    assert (make_batch(hr, none, torch.Generator().manual_seed(1)).aug_level == 0).all()


def test_conditioning_is_blurred_where_asked_for_and_the_target_follows(
    hr: torch.Tensor, recipe: Recipe
) -> None:
    """Blur is augmentation like noise: what the network adds is what the blurred picture lacks."""
    clean = replace(recipe, degradation=replace(recipe.degradation, share=0.0, noise_share=0.0))
    soft = replace(clean, degradation=replace(clean.degradation, blur_share=0.5))
    one, other = (make_batch(hr, r, torch.Generator().manual_seed(1)) for r in (clean, soft))
    blurred = (one.lr != other.lr).flatten(1).any(1)
    assert 0 < blurred.sum() < 6
    again = upsample_bicubic(other.lr, 4) + recipe.residual_std * F.pixel_shuffle(other.target, 4)
    assert torch.allclose(again, hr, atol=1e-5) and (other.aug_level == 0).all()


def test_high_noise_is_trained_more(hr: torch.Tensor, recipe: Recipe) -> None:
    levels = make_batch(hr[:1].expand(500, -1, -1, -1), recipe, torch.Generator().manual_seed(0)).level
    assert (levels > 0.75).float().mean() == pytest.approx(0.5, abs=0.07)  # t = 1 - u^2


def test_a_perfect_network_has_no_loss(batch: Batch, recipe: Recipe) -> None:
    losses = loss_of(perfect(batch), batch, recipe, torch.float32)
    assert losses.tolist() == pytest.approx([1e-3] * 6, rel=1e-3)


def test_the_first_step_learns_the_mean_out_of_nothing(batch: Batch, recipe: Recipe) -> None:
    """It is given no noise, told pure noise as samplers do, and counts as much as the others."""
    told: list[tuple[torch.Tensor, float]] = []

    def first(x: torch.Tensor, level: torch.Tensor, features: Any, off: float = 0.5) -> torch.Tensor:
        told.append((x, float(level)))
        v: torch.Tensor = -(math.pi / 2 * level).sin() * (batch.target + off)
        return v

    both = perfect(batch)
    both.first, first.encoder = first, None  # type: ignore[attr-defined]
    losses = loss_of(both, batch, recipe, torch.float32)
    assert losses.tolist() == pytest.approx([0.25] * 6, rel=5e-3)  # half of the 0.5 it is off
    assert told[0][0].shape == batch.target.shape and not told[0][0].any()
    assert told[0][1] == pytest.approx(trigonometric_level(recipe.noise.sigma_max), abs=1e-6)


@pytest.mark.parametrize("own", [False, True], ids=["shared encoder", "own encoder"])
def test_the_first_step_alone_learns_by_squared_error(own: bool, batch: Batch, recipe: Recipe) -> None:
    with_first = {**recipe.network, "first_step": True, "first_encoder": own}
    both = network(replace(recipe, network=with_first))
    nn.init.normal_(both.first.head.weight)
    losses = first_step.loss_of(both, batch, recipe, torch.float32)
    features = (both.first if own else both).encode(batch.lr, batch.aug_level)
    v = both.first(torch.zeros_like(batch.target), torch.tensor([1 - 2 / math.pi * 0.01]), features)
    assert torch.allclose(losses, (v + batch.target).square().mean((1, 2, 3)), rtol=1e-2)
    losses.mean().backward()
    trained = {name for name, w in both.named_parameters() if w.grad is not None and w.grad.any()}
    assert trained and all(first_step.trains(recipe, name) for name in trained)
    assert own == ("first.encoder.stem.weight" in trained)


@pytest.mark.parametrize("own", [False, True], ids=["shared encoder", "own encoder"])
def test_both_steps_and_what_they_see_with_are_trained(own: bool, batch: Batch, recipe: Recipe) -> None:
    with_first = {**recipe.network, "first_step": True, "first_encoder": own}
    both = network(replace(recipe, network=with_first))
    for weight in both.parameters():
        if not weight.any():  # what begins at zero hides what is behind it
            nn.init.normal_(weight, std=0.1)
    loss_of(both, batch, recipe, torch.float32).mean().backward()
    silent = {name for name, w in both.named_parameters() if w.grad is None or not w.grad.any()}
    assert silent == {"first.stem.weight"}  # which sees nothing


def test_the_target_is_what_the_denoiser_makes_x0_of(batch: Batch) -> None:
    """Training and sampling mean the same v: with the right one, one step gives the residual."""
    for i, level in enumerate(batch.level.tolist()):
        one = Batch(**{name: value[i : i + 1] for name, value in vars(batch).items()})
        told = []

        def net(
            x: torch.Tensor, level: torch.Tensor, one: Batch = one, told: list[float] = told
        ) -> torch.Tensor:
            told.append(float(level))
            out: torch.Tensor = perfect(one)(x, level, None)
            return out

        sigma = math.tan(math.pi / 2 * level)
        denoise = NetworkDenoiser(net, prediction="v", level=trigonometric_level)
        x0 = denoise(one.target + sigma * one.noise, sigma)
        assert torch.allclose(x0, one.target, atol=1e-3)
        assert told == pytest.approx([level], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_fresh_network_has_a_finite_loss(dtype: torch.dtype, batch: Batch, recipe: Recipe) -> None:
    loss = loss_of(network(recipe), batch, recipe, dtype)
    assert loss.shape == (6,) and loss.dtype == torch.float32
    assert loss.isfinite().all() and (loss > 0.1).all()


def test_the_loss_is_smooth_and_nearly_absolute() -> None:
    error = torch.tensor([0.0, 1.0, -2.0])
    assert torch.allclose(charbonnier(error), torch.tensor([1e-3, 1.0, 2.0]), atol=1e-5)
