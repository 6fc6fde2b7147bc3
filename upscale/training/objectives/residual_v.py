"""One training example: LR image, noise, and how wrong the network is.

v-prediction (2202.00512) on the residual to the bicubic upsampling, with the noise level continuous as in SR3
(2104.07636) and a smooth L1 loss (SR3 found L1 better than L2; so did our runs). A first step with weights of
its own learns beside it, from the same features of every example: the mean, out of no noise at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import augmentation_level
from upscale.diffusion.schedule import sigma_to_time
from upscale.networks.residual_unet.network import ResidualUNet
from upscale.training.examples.blurs import soften
from upscale.training.examples.degrade import compressed, degrade
from upscale.training.examples.noises import add_noise
from upscale.training.examples.resample import resample
from upscale.training.objectives.batch import Batch
from upscale.training.recipe import Recipe

NOISE_QUALITY = 60  # lowest of JPEGs behind noise that the network is told of; worse ones leave little of it


def charbonnier(error: Tensor) -> Tensor:
    """Return the smooth L1 loss sqrt(error^2 + 1e-6), element by element."""
    return (error.square() + 1e-6).sqrt()


@dataclass(frozen=True)
class Examples:
    """HR crops and what they are restored from, not noised yet.

    Attributes:
        lr: As in `Batch`.
        aug_level: As in `Batch`.
        residual: [B, 3 scale^2, h, w] of HR to the bicubic upsampling of `lr`, about unit variance.
        u: [B] uniform in [0, 1), on the CPU: where on the way from noise to image each example lies.
    """

    lr: Tensor
    aug_level: Tensor
    residual: Tensor
    u: Tensor


def examples(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Examples:
    """Degrade hr [B, 3, H, W] in [-1, 1], the last `spared` of it only by being reduced and noised.

    Everything random comes from `generator`.
    """
    count, scale, device = len(hr), recipe.scale, hr.device
    lr = degrade(hr, scale, recipe.degradation, generator, spared)
    if recipe.degradation.blur_share:
        lr = soften(lr, recipe.degradation.blur_share, generator)
    u = torch.rand(count, 3, generator=generator)
    sigma_aug = torch.where(
        u[:, 0] < recipe.degradation.noise_share, recipe.degradation.noise_max * u[:, 1] ** 2, 0.0
    )
    lr = add_noise(lr, sigma_aug.to(device), recipe.degradation.noise_grain, generator)
    if recipe.degradation.noise_jpeg:
        noisy = sigma_aug > 0
        drawn = torch.rand(int(noisy.sum()), 2, generator=generator)
        lr[noisy] = compressed(lr[noisy], drawn, recipe.degradation.noise_jpeg, NOISE_QUALITY)
    residual = resample(lr, *hr.shape[2:]).sub_(hr).div_(-recipe.residual_std)  # to bicubic
    aug_level = torch.tensor([augmentation_level(s) for s in sigma_aug.tolist()], device=device)
    return Examples(lr, aug_level, F.pixel_unshuffle(residual, scale), u[:, 2])


def make_batch(hr: Tensor, recipe: Recipe, generator: torch.Generator, spared: int = 0) -> Batch:
    """Degrade and noise hr [B, 3, H, W] in [-1, 1]; everything random comes from `generator`."""
    drawn = examples(hr, recipe, generator, spared)
    t_max = sigma_to_time(recipe.noise.sigma_max)
    level = (1 - drawn.u**recipe.noise.power).clamp(max=t_max).to(hr.device)
    noise = torch.randn(drawn.residual.shape, generator=generator).to(hr.device)
    return Batch(drawn.lr, drawn.aug_level, drawn.residual, level, noise)


def loss_of(network: ResidualUNet, batch: Batch, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return the loss of each example [B]: Charbonnier on v = sqrt(gamma) eps - sqrt(1 - gamma) x0.

    Where the first step has weights of its own, it is the mean of theirs and of all others, unless frozen.
    """
    features = encode(network, batch.lr, batch.aug_level, dtype)
    angle = (math.pi / 2 * batch.level)[:, None, None, None]
    signal, sigma = angle.cos(), angle.sin()
    v = signal * batch.noise - sigma * batch.target
    x = signal * batch.target + sigma * batch.noise
    loss = charbonnier(evaluate(network, x, batch.level, features, dtype) - v).mean((1, 2, 3))
    if network.first is None or recipe.freezes("first."):
        return loss
    if (eyes := eyes_of_first(network)) is not network:
        features = encode(eyes, batch.lr, batch.aug_level, dtype)
    return (loss + charbonnier(first_error(network, batch, recipe, features, dtype)).mean((1, 2, 3))) / 2


def first_error(network: Any, batch: Batch, recipe: Recipe, features: Any, dtype: torch.dtype) -> Tensor:
    """Return by how much the first step is wrong, given what it sees: its v out of no noise at all."""
    pure = torch.full_like(batch.level[:1], sigma_to_time(recipe.noise.sigma_max))
    v = -(math.pi / 2 * pure).sin() * batch.target
    return evaluate(network.first, torch.zeros_like(v), pure, features, dtype) - v


def eyes_of_first(network: Any) -> Any:
    """Return what encodes LR images for the first step: itself, if it has an encoder, or the network."""
    return network if network.first is None or network.first.encoder is None else network.first


def encode(network: Any, lr: Tensor, aug_level: Tensor, dtype: torch.dtype) -> Any:
    """Return the network's features of LR images [B, 3, h, w] with augmentation of those levels [B]."""
    return network.encode(lr.to(dtype, memory_format=torch.channels_last), aug_level)


def evaluate(step: Any, x: Tensor, level: Tensor, features: Any, dtype: torch.dtype) -> Tensor:
    """Return what a step predicts for x, of unit variance; float32."""
    prediction: Tensor = step(x.to(dtype, memory_format=torch.channels_last), level, features)
    return prediction.float()


def predict(network: Any, batch: Batch, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what a network on the residual predicts for x, of unit variance; float32."""
    return evaluate(network, x, batch.level, encode(network, batch.lr, batch.aug_level, dtype), dtype)
