"""The adapter against the definition x = x0 + sigma * eps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from upscale.diffusion.denoiser import (
    LEVELS,
    PREDICTIONS,
    NetworkDenoiser,
    retold,
    timestep_level,
)
from upscale.diffusion.schedule import (
    betas_to_gammas,
    discrete_grid,
    gamma_to_sigma,
    make_betas,
    sigma_to_gamma,
)

SIGMAS = [1e-3, 0.3, 1.0, 12.0, 150.0]


def draw() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0 = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64) * 2 - 1
    return x0, torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)


def truth(prediction: str, x0: Tensor, eps: Tensor, sigma: float) -> Tensor:
    """What a perfect network of that kind answers."""
    gamma = sigma_to_gamma(sigma)
    return {
        "epsilon": eps,
        "v": math.sqrt(gamma) * eps - math.sqrt(1 - gamma) * x0,
        "x0": x0,
    }[prediction]


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_network_gives_x0(prediction: str, sigma: float) -> None:
    x0, eps = draw()
    x = x0 + sigma * eps
    before = x.clone()
    denoiser = NetworkDenoiser(lambda _x, _level: truth(prediction, x0, eps, sigma), prediction)
    torch.testing.assert_close(denoiser(x, sigma), x0, rtol=0, atol=1e-11)
    assert torch.equal(x, before)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_network_reads_sqrt_gamma_x_and_is_told_the_level(sigma: float) -> None:
    x0, eps = draw()
    seen: list[tuple[Tensor, Tensor]] = []

    def network(x: Tensor, level: Tensor) -> Tensor:
        seen.append((x, level))
        return torch.zeros_like(x)

    gamma = sigma_to_gamma(sigma)
    NetworkDenoiser(network)(x0 + sigma * eps, sigma)
    NetworkDenoiser(network, level=LEVELS["trigonometric"])(x0 + sigma * eps, sigma)
    (read, level), (_, time) = seen
    torch.testing.assert_close(read, math.sqrt(gamma) * x0 + math.sqrt(1 - gamma) * eps, rtol=0, atol=1e-12)
    assert level.shape == (1,) and level.item() == pytest.approx(math.sqrt(gamma), rel=1e-12)
    assert math.tan(math.pi / 2 * time.item()) == pytest.approx(sigma, rel=1e-9)


def test_timesteps_are_found_again_exactly_and_between_levels_the_nearest() -> None:
    gammas = betas_to_gammas(make_betas("linear", 1000, 1e-4, 2e-2))
    level = timestep_level(gammas.tolist())
    sigmas = discrete_grid(betas="linear", length=1000, start=1e-4, end=2e-2)
    assert [level(s) for s in sigmas] == list(range(999, -1, -1))
    s10, s11 = gamma_to_sigma(gammas[10]), gamma_to_sigma(gammas[11])
    assert level(s10**0.6 * s11**0.4) == 10
    assert level(s10**0.4 * s11**0.6) == 11
    assert (level(1e-9), level(1e9)) == (0, 999)
    assert timestep_level([0.5])(0.1) == 0  # a chain of one level


def test_timesteps_arrive_as_integers() -> None:
    told: list[Tensor] = []

    def network(x: Tensor, level: Tensor) -> Tensor:
        told.append(level)
        return x

    gammas = betas_to_gammas(make_betas("linear", 1000, 1e-4, 2e-2))
    NetworkDenoiser(network, level=timestep_level(gammas.tolist()))(torch.ones(2, 3, 4, 4), 1e9)
    assert told[0].dtype is torch.int64 and told[0].tolist() == [999]


def test_clamp_limits_x0() -> None:
    x = torch.tensor([[[[-5.0, 0.5, 3.0]]]])
    denoiser = NetworkDenoiser(lambda x, _level: torch.zeros_like(x), clamp=1.0)
    assert denoiser(x, 2.0).flatten().tolist() == [-1.0, 0.5, 1.0]
    assert NetworkDenoiser(lambda x, _level: torch.zeros_like(x))(x, 2.0).flatten().tolist() == [
        -5.0,
        0.5,
        3.0,
    ]


def test_a_network_may_answer_in_half_precision() -> None:
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    denoiser = NetworkDenoiser(lambda x, _level: torch.zeros_like(x, dtype=torch.bfloat16), "v")
    out = denoiser(x, 1.0)
    assert out.dtype is torch.float32
    np.testing.assert_allclose(out, x / 2, rtol=1e-6)


def test_a_network_may_be_told_another_level() -> None:
    told: list[float] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        told.append(sigma)
        return x

    less = retold(denoiser, 0.9, [100.0])
    less(torch.zeros(1), 2.0)
    less(torch.zeros(1), 100.0)  # noise alone is what it is
    assert told == [1.8, 100.0]
    assert retold(denoiser, 1.0, [100.0]) is denoiser
