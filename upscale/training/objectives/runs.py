"""Runs of a few steps as at use: the first, those between and the last each have weights of their own.

Where gradients are wanted, the last step has them, and those between if the recipe says so; the first never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from upscale.diffusion import samplers
from upscale.diffusion.denoiser import Denoiser, NetworkDenoiser, retold, trigonometric_level
from upscale.diffusion.mixture import mix
from upscale.diffusion.schedule import trigonometric_grid
from upscale.networks.residual_unet.network import Features
from upscale.training.objectives.residual_v import encode, evaluate, eyes_of_first
from upscale.training.recipe import Recipe


@dataclass(frozen=True)
class Seen:
    """What a network sees in LR images: by the encoder of its steps, and by the first step's own.

    They are the same where the first step has none.
    """

    shared: Features
    first: Features

    def each(self, change: Callable[[Tensor], Tensor]) -> Seen:
        """Return what is seen after a change of every tensor."""
        shared = Features(*map(change, self.shared))
        return Seen(shared, shared if self.first is self.shared else Features(*map(change, self.first)))


def draw_levels(recipe: Recipe, generator: torch.Generator) -> tuple[float, ...]:
    """Return the noise levels of a run, falling, of a number and a power that `generator` draws."""
    how = recipe.last_step
    number, share = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    power = how.power * how.power_spread ** (2 * share - 1)
    steps = how.steps[int(number * len(how.steps))]
    return tuple(trigonometric_grid(steps, power=power, sigma_max=recipe.noise.sigma_max))


def look(network: Any, lr: Tensor, aug_level: Tensor, recipe: Recipe, dtype: torch.dtype) -> Seen:
    """Return what a network sees in LR images [B, 3, h, w] with augmentation of those levels [B]."""
    eyes = eyes_of_first(network)
    apart = eyes is not network
    with torch.set_grad_enabled(torch.is_grad_enabled() and recipe.last_step.between and apart):
        shared = encode(network, lr, aug_level, dtype)
    with torch.no_grad():
        return Seen(shared, encode(eyes, lr, aug_level, dtype) if apart else shared)


def run(
    network: Any,
    seen: Seen,
    noise: Tensor,
    sigmas: Sequence[float],
    recipe: Recipe,
    dtype: torch.dtype,
    fidelity: Tensor | None = None,
) -> Tensor:
    """Return x0 [B, 3 scale^2, h, w] at the end of a run, told less noise than there is, as at use.

    Args:
        network: With a last step of its own.
        seen: What it sees.
        noise: [B, 3 scale^2, h, w], unit Gaussian.
        sigmas: The noise levels of the run.
        recipe: What says how it is told.
        dtype: What to compute in.
        fidelity: [B, 1, 1, 1], how near results are to the first estimate, of networks with a first step of
            their own; None for ends of runs as they are.
    """

    def denoiser(step: nn.Module, features: Features) -> Denoiser:
        def predict(x: Tensor, level: Tensor) -> Tensor:
            return evaluate(step, x, level, features, dtype)

        return retold(NetworkDenoiser(predict, "v", trigonometric_level), recipe.last_step.told, sigmas)

    learns = torch.is_grad_enabled() and recipe.last_step.between
    between, last = denoiser(network, seen.shared), denoiser(network.last, seen.shared)
    estimate: Tensor | None = None
    if network.first:
        with torch.no_grad():
            estimate = denoiser(network.first, seen.first)(torch.zeros_like(noise), sigmas[0])

    def step(x: Tensor, sigma: float) -> Tensor:
        if sigma == sigmas[-1]:
            return last(x, sigma)
        if sigma == sigmas[0] and estimate is not None:
            return estimate
        with torch.set_grad_enabled(learns):
            return between(x, sigma)

    x0 = samplers.sample(recipe.last_step.sampler, step, noise * sigmas[0], sigmas, lambda _: noise)
    if estimate is None or fidelity is None:
        return x0
    return mix(x0, estimate, fidelity, recipe.scale, dtype)
