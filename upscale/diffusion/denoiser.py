"""What samplers call, and the adapter that makes it from a network. SR3's terms appear only here.

A network reads the variance-preserving sqrt(gamma) * x = sqrt(gamma) x0 + sqrt(1 - gamma) eps, is told the
noise level in some unit, and predicts the noise, the image or a mixture. Units and predictions are tables;
a model's config names their rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from upscale.diffusion.schedule import gamma_to_sigma, sigma_to_gamma, sigma_to_time


class Denoiser(Protocol):
    """An estimate of the clean x0 from x = x0 + sigma * eps."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return x0 like `x`, of any shape; `x` is left as it is. `sigma` is above 0."""
        ...


Network = Callable[[Tensor, Tensor], Tensor]
"""(sqrt(gamma) * x [B, C, H, W], level [1]) -> prediction [B, C, H, W]. The caller binds conditions."""

Level = Callable[[float], float | int]
"""sigma -> the number a network is told; an int becomes an int64 tensor."""


# --- what a network is told -----------------------------------------------------------------------------


def sqrt_gamma_level(sigma: float) -> float:
    """Return sqrt(gamma), 1 for clean, 0 for pure noise (SR3 as Janspiry implements it)."""
    return math.sqrt(sigma_to_gamma(sigma))


def trigonometric_level(sigma: float) -> float:
    """Return t with sigma = tan(pi t / 2), 0 for clean, 1 for pure noise: the cosine schedule's time."""
    return sigma_to_time(sigma)


LEVELS: dict[str, Level] = {"sqrt_gamma": sqrt_gamma_level, "trigonometric": trigonometric_level}
"""The level functions without parameters, by what a model's config calls them."""


def timestep_level(gammas: Sequence[float]) -> Level:
    """Return the level function of DDPM: the integer t, 0 to T-1, whose sigma is nearest on a log scale.

    Args:
        gammas: Falling, [T]; those the network was trained with.
    """
    log_sigmas = np.log([gamma_to_sigma(gamma) for gamma in gammas])
    return lambda sigma: int(np.abs(log_sigmas - math.log(sigma)).argmin())


def retold(denoiser: Denoiser, told: float, sigmas: Sequence[float]) -> Denoiser:
    """Return the denoiser that, along `sigmas`, is told less than the sigma there is.

    Told less noise than there is, an estimate keeps some of it as texture; with few steps that makes up for
    what their smooth estimates lose (a shifted time step: Li et al., arXiv 2305.15583, shift it for the same
    reason). `told` is the factor over the whole run: each of n evaluations takes its n-th root, so that more
    of them do not add more texture. The first sigma is told as it is: a run out of pure noise has no image
    there to keep texture of.
    """
    if told == 1:
        return denoiser
    factor = told ** (1 / len(sigmas))
    return lambda x, sigma: denoiser(x, sigma if sigma >= sigmas[0] else factor * sigma)


# --- what a network predicts ----------------------------------------------------------------------------


def _from_epsilon(x: Tensor, eps: Tensor, sigma: float) -> Tensor:
    return x.sub(eps, alpha=sigma)


def _from_v(x: Tensor, v: Tensor, sigma: float) -> Tensor:
    # x0 = sqrt(gamma) (sqrt(gamma) x) - sqrt(1 - gamma) v (Salimans and Ho, arXiv 2202.00512, appendix D)
    gamma = sigma_to_gamma(sigma)
    return (x * gamma).sub_(v, alpha=sigma * math.sqrt(gamma))


def _from_x0(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    return x0


PREDICTIONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "epsilon": _from_epsilon,
    "v": _from_v,
    "x0": _from_x0,
}
"""(x, prediction, sigma) -> x0, by what a model's config calls the prediction."""


@dataclass(frozen=True)
class NetworkDenoiser:
    """A `Denoiser` made from a network.

    Attributes:
        network: The network with its conditions bound.
        prediction: What it predicts, a key of `PREDICTIONS`.
        level: How it is told the noise level.
        clamp: Largest absolute value of x0 where the data have one (1 for images in [-1, 1]), else None.
    """

    network: Network
    prediction: str = "epsilon"
    level: Level = sqrt_gamma_level
    clamp: float | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return x0 in the shape and dtype of `x` (the network may answer in a narrower dtype)."""
        told = self.level(sigma)
        dtype = torch.int64 if isinstance(told, int) else x.dtype
        level = torch.full((1,), told, dtype=dtype, device=x.device)
        prediction = self.network(x * math.sqrt(sigma_to_gamma(sigma)), level).to(x.dtype)
        x0 = PREDICTIONS[self.prediction](x, prediction, sigma)
        return x0 if self.clamp is None else x0.clamp(-self.clamp, self.clamp)
