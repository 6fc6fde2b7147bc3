"""Samplers against what is known exactly.

For Gaussian data N(mu, s^2) the best estimate of x0 is (s^2 x + sigma^2 mu) / (s^2 + sigma^2), the
probability flow is x(sigma) - mu proportional to sqrt(s^2 + sigma^2), and every sampler here is a linear map
of x and its noises, whose variance can be computed without drawing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from upscale.diffusion import samplers
from upscale.diffusion.denoiser import Denoiser
from upscale.diffusion.samplers import SAMPLERS, Chain, sample
from upscale.diffusion.schedule import (
    betas_to_gammas,
    discrete_grid,
    edm_grid,
    make_betas,
    resshift_grid,
    trigonometric_grid,
)
from upscale.errors import UsageError

MU = 0.3
TWICE = ("heun", "relay")  # two evaluations a step
STOCHASTIC = [name for name, row in SAMPLERS.items() if row.stochastic]
DETERMINISTIC = [name for name, row in SAMPLERS.items() if not row.stochastic]


def gaussian(s: float, mu: float = MU) -> Denoiser:
    return lambda x, sigma: (s * s * x + sigma * sigma * mu) / (s * s + sigma * sigma)


def no_noise(x: Tensor) -> Callable[[int], Tensor]:
    return lambda k: torch.zeros_like(x)


def scalar(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def spread(name: str, sigmas: list[float], s: float, start_variance: float) -> float:
    """Variance of the result for Gaussian data, exactly: the squared gains of the start and of each noise."""
    unit = torch.eye(
        len(sigmas), dtype=torch.float64
    )  # row 0 carries the start, row k + 1 the noise of step k
    gains = sample(name, gaussian(s, mu=0.0), unit[0], sigmas, lambda k: unit[k + 1])
    return float(gains[0] ** 2 * start_variance + (gains[1:] ** 2).sum())


def flow_error(name: str, sigmas: list[float], s: float = 0.5) -> float:
    """Distance from the end of the exact flow, for a deterministic sampler."""
    first, last = sigmas[0], sigmas[-1]
    x = scalar(MU + 1.0)
    exact = MU + math.sqrt((s * s + last * last) / (s * s + first * first))
    expected = gaussian(s)(scalar(exact), last)
    return abs((sample(name, gaussian(s), x, sigmas, no_noise(x)) - expected).item())


@pytest.mark.parametrize(
    ("name", "order"),
    [("ddim", 1), ("euler_ancestral@0", 1), ("heun", 2), ("dpmpp_2m", 2), ("dpmpp_2m_sde@0", 2)],
)
@pytest.mark.parametrize("more", [0, 1], ids=["even", "odd"])  # an even run of heun begins with Euler's step
def test_order_of_convergence(name: str, order: int, more: int) -> None:
    """The slope of the logarithm of the error over that of the number of evaluations."""
    counts = [40 + more, 80 + more, 160 + more, 320 + more]
    errors = [flow_error(name, edm_grid(n, sigma_min=0.02, sigma_max=20.0)) for n in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.12)


def test_heun_is_the_trapezoid_in_log_sigma() -> None:
    """Exact where the estimate is linear in log sigma along the path, whatever the step."""
    sigmas = [20.0, 3.0, 2.0, 1.0, 0.1]  # five levels: steps 20 -> 2 -> 0.1, 3 and 1 only count

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        return torch.full_like(x, 0.7 - 0.2 * math.log(sigma))

    seen: list[Tensor] = []

    def watched(x: Tensor, sigma: float) -> Tensor:
        seen.append(x.clone())
        return denoiser(x, sigma)

    x = scalar(5.0)
    out = sample("heun", watched, x, sigmas, no_noise(x))
    assert torch.equal(out, denoiser(x, 0.1))
    for index, before, after in ((2, 20.0, 2.0), (4, 2.0, 0.1)):
        # d(x/sigma) = D d(1/sigma); the integral of D from 1/before to 1/after, by parts
        def integral(s: float) -> float:
            return (0.7 - 0.2 * math.log(s)) / s - 0.2 / s

        start = seen[index - 2].item() / before
        exact = after * (start + integral(after) - integral(before))
        assert seen[index].item() == pytest.approx(exact, rel=1e-12)


def test_resshift_is_the_papers_formula() -> None:
    """Yue et al., equation 7, step by step in its own variables, around a picture y."""
    kappa, y = 2.0, 0.4
    sigmas = resshift_grid(5, kappa=kappa)
    etas = [(k / 2) ** 2 for k in (2 * s / (1 + math.sqrt(1 + s * s)) for s in sigmas)]  # for kappa 2
    for eta, sigma in zip(etas, sigmas, strict=True):
        assert kappa * math.sqrt(eta) / (1 - eta) == pytest.approx(sigma, rel=1e-12)
    noises = torch.randn(5, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    denoiser = gaussian(0.5)
    x = y + sigmas[0] * noises[0]
    out = sample("resshift", denoiser, x, sigmas, lambda k: noises[k + 1])
    z = y + kappa * math.sqrt(etas[0]) * noises[0] * 1.0  # x_T: eta y of it is y's, the rest the start's y
    for k in range(5):
        eta = etas[k]
        x0 = denoiser((z - eta * y) / (1 - eta), sigmas[k])
        if k < 4:
            eta_next = etas[k + 1]
            alpha = eta - eta_next
            z = eta_next / eta * z + alpha / eta * x0
            z = z + kappa * math.sqrt(eta_next / eta * alpha) * noises[k + 1]
    torch.testing.assert_close(out, x0, rtol=0, atol=1e-12)


def test_resshift_is_ddpm_with_much_and_ddim_with_little_kappa() -> None:
    noises = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigmas = trigonometric_grid(6, power=2.0)
    x = 100 * noises[5]

    def run(name: str) -> Tensor:
        return sample(name, gaussian(0.5), x, sigmas, lambda k: noises[k])

    torch.testing.assert_close(run("resshift@1000"), run("ddpm"), rtol=0, atol=0.02)
    fresh = [float((run(f"resshift@{kappa}") - run("ddim")).abs().mean()) for kappa in (0.01, 0.1, 1, 10)]
    assert fresh == sorted(fresh) and fresh[0] < 0.05 < fresh[-1]


def test_dpmpp_2m_is_the_papers_formula_on_uneven_steps() -> None:
    """Lu et al., algorithm 2, in the paper's own variables alpha, sigma, lambda = log(alpha / sigma)."""
    sigmas = [20.0, 9.0, 0.7, 0.5]
    alpha = [1 / math.sqrt(1 + s * s) for s in sigmas]
    beta = [s * a for s, a in zip(sigmas, alpha, strict=True)]  # the paper's sigma
    lam = [math.log(a / b) for a, b in zip(alpha, beta, strict=True)]
    images = [0.3, -0.4, 0.9, 0.1]  # what a network might say at each level
    seen: list[float] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        seen.append(x.item())
        return scalar(images[len(seen) - 1])

    sample("dpmpp_2m", denoiser, scalar(5.0), sigmas, lambda k: scalar(0.0))
    y = [alpha[0] * 5.0]
    for i in (1, 2, 3):
        h = lam[i] - lam[i - 1]
        estimate = images[i - 1]
        if i > 1:
            r = (lam[i - 1] - lam[i - 2]) / h
            estimate = (1 + 1 / (2 * r)) * images[i - 1] - 1 / (2 * r) * images[i - 2]
        y.append(beta[i] / beta[i - 1] * y[-1] - alpha[i] * math.expm1(-h) * estimate)
    assert [a * x for a, x in zip(alpha, seen, strict=True)] == pytest.approx(y, abs=1e-12)


def test_second_order_is_better_at_few_steps() -> None:
    sigmas = edm_grid(8, sigma_min=0.02, sigma_max=20.0)
    assert flow_error("dpmpp_2m", sigmas) < 0.5 * flow_error("ddim", sigmas)


@pytest.mark.parametrize("name", SAMPLERS)
def test_mean_of_the_data_is_reached(name: str) -> None:
    x = scalar(MU)  # the start's own mean; without noise the chain is its own mean
    out = sample(name, gaussian(0.5), x, trigonometric_grid(8), no_noise(x))
    assert out.item() == pytest.approx(MU, abs=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_variance_of_the_data_is_reached_with_many_steps(name: str) -> None:
    if name == "relay":
        pytest.skip("takes a share of fresh noise in every step, so its error does not vanish")
    s = 0.5
    errors = []
    for steps in (400, 800):
        sigmas = edm_grid(steps, sigma_min=0.005, sigma_max=50.0)
        exact = s**4 / (s * s + sigmas[-1] ** 2)  # of the best estimate at the last sigma
        errors.append(abs(spread(name, sigmas, s, start_variance=s * s + sigmas[0] ** 2) - exact))
    assert errors[1] < 0.03 * s * s
    assert errors[1] < 0.62 * errors[0]  # first order at least


def test_the_relay_sampler_stays_near_the_variance_of_the_data() -> None:
    sigmas = edm_grid(401, sigma_min=0.005, sigma_max=50.0)
    assert spread("relay", sigmas, 0.5, start_variance=0.25 + 50.0**2) == pytest.approx(0.25, rel=0.03)
    assert spread("relay@0", sigmas, 0.5, 0.25 + 50.0**2) == spread("heun", sigmas, 0.5, 0.25 + 50.0**2)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_drawn_samples_have_the_mean_and_variance_of_the_data(name: str) -> None:
    s, count = 0.5, 20_000
    generator = torch.Generator().manual_seed(3)
    sigmas = edm_grid(60, sigma_min=0.01, sigma_max=50.0)
    x = MU + math.sqrt(s * s + sigmas[0] ** 2) * torch.randn(count, generator=generator, dtype=torch.float64)
    out = sample(
        name, gaussian(s), x, sigmas, lambda k: torch.randn(count, generator=generator, dtype=torch.float64)
    )
    exact = spread(name, sigmas, s, start_variance=s * s + sigmas[0] ** 2)
    assert abs(out.mean().item() - MU) < 5 * math.sqrt(exact / count)
    assert abs(out.var().item() - exact) < 5 * exact * math.sqrt(2 / count)


@pytest.mark.parametrize(
    "name",
    [*(name for name in SAMPLERS if name != "ddpm_beta"), "ddim@0.5", "resshift@20", "dpmpp_2m_sde@0.3"],
)
def test_a_single_image_is_met_exactly(name: str) -> None:
    """x has variance sigma^2 before every estimate, and the end is the image, however few the steps."""
    sigmas = [30.0, 4.0, 1.0, 0.2]
    unit = torch.eye(4, dtype=torch.float64)
    seen: list[tuple[float, float]] = []

    def delta(x: Tensor, sigma: float) -> Tensor:
        seen.append((sigma, float(((x - MU) ** 2).sum())))
        return torch.full_like(x, MU)

    out = sample(name, delta, MU + sigmas[0] * unit[0], sigmas, lambda k: unit[k + 1])
    assert torch.equal(out, torch.full_like(out, MU)) and len(seen) == 4
    assert [variance for _, variance in seen] == pytest.approx([s * s for s, _ in seen], rel=1e-12)


def test_ddpm_beta_is_exact_for_unit_gaussians() -> None:
    sigmas = [30.0, 4.0, 1.0, 0.2]
    # Unit Gaussians: x has variance 1 + sigma^2, the last estimate divides x by that.
    assert spread("ddpm_beta", sigmas, 1.0, 1 + 30.0**2) == pytest.approx(1 / (1 + 0.2**2), rel=1e-12)
    assert spread("ddpm", sigmas, 1.0, 1 + 30.0**2) < 0.9


@pytest.mark.parametrize("name", ["ddpm", "ddpm_beta"])
def test_ddpm_is_the_papers_formula(name: str) -> None:
    """Ho et al., equations 6, 7; Saharia et al., equation 11, step by step in the papers' own variables."""
    betas = make_betas("linear", 8, 1e-4, 0.5)
    gammas = betas_to_gammas(betas)
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(8, 50, generator=generator, dtype=torch.float64)
    y = noises[0].clone()
    denoiser = gaussian(0.5)
    out = sample(
        name,
        denoiser,
        y / math.sqrt(gammas[-1]),
        discrete_grid(betas="linear", length=8, start=1e-4, end=0.5),
        lambda k: noises[k + 1],
    )
    for t in range(7, -1, -1):
        gamma, before = float(gammas[t]), float(gammas[t - 1]) if t else 1.0
        beta = float(betas[t])
        x0 = denoiser(y / math.sqrt(gamma), math.sqrt((1 - gamma) / gamma))
        mean = math.sqrt(before) * beta / (1 - gamma) * x0
        mean = mean + math.sqrt(1 - beta) * (1 - before) / (1 - gamma) * y
        variance = beta if name == "ddpm_beta" else beta * (1 - before) / (1 - gamma)
        y = mean + (math.sqrt(variance) * noises[8 - t] if t else 0)
    torch.testing.assert_close(out, y, rtol=0, atol=1e-12)


def test_ddim_with_eta_1_is_ddpm_and_between_is_between() -> None:
    sigmas = trigonometric_grid(6, power=2.0)
    noises = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = 100 * noises[5]

    def run(eta: float) -> Tensor:
        return samplers.ddim(Chain(gaussian(0.5), x, sigmas, lambda k: noises[k]), eta=eta)

    ddpm = sample("ddpm", gaussian(0.5), x, sigmas, lambda k: noises[k])
    torch.testing.assert_close(run(1.0), ddpm, rtol=0, atol=1e-12)
    torch.testing.assert_close(run(0.0), sample("ddim", gaussian(0.5), x, sigmas, no_noise(x)))
    assert not torch.allclose(run(0.5), ddpm)


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_is_the_estimate(name: str) -> None:
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    def never(k: int) -> Tensor:
        raise AssertionError("one step needs no noise")

    assert torch.equal(sample(name, gaussian(0.5), x, [80.0], never), gaussian(0.5)(x, 80.0))


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls(name: str) -> None:
    """As many estimates as sigmas, noise once per step if stochastic, on_step after each; x stays."""
    sigmas = [10.0, 3.0, 1.0, 0.1]
    visited = [10.0, 3.0, 0.1, 0.1] if name in TWICE else sigmas
    steps = [0, 1] if name in TWICE else [0, 1, 2]
    asked: list[int] = []
    called: list[float] = []
    stepped: list[int] = []
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    before = x.clone()

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        called.append(sigma)
        return 0.5 * x

    def noise(k: int) -> Tensor:
        asked.append(k)
        return torch.ones_like(x)

    out = sample(name, denoiser, x, sigmas, noise, stepped.append)
    assert (called, stepped) == (visited, [0, 1, 2, 3])
    assert asked == (steps if SAMPLERS[name].stochastic else [])
    assert torch.equal(x, before)
    assert out.shape == x.shape and out.dtype is x.dtype


@pytest.mark.parametrize("name", SAMPLERS)
def test_estimates_and_noises_are_not_written_to(name: str) -> None:
    image = torch.full((2, 2), 0.25)
    noise = torch.ones(2, 2)
    out = sample(name, lambda x, sigma: image, torch.ones(2, 2), [5.0, 2.0, 1.0], lambda k: noise)
    assert torch.equal(image, torch.full((2, 2), 0.25)) and torch.equal(noise, torch.ones(2, 2))
    assert torch.equal(out, image)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_raising_callback_cancels(name: str) -> None:
    def cancel(k: int) -> None:
        if k == 1:
            raise KeyboardInterrupt

    x = torch.zeros(2)
    with pytest.raises(KeyboardInterrupt):
        sample(name, gaussian(0.5), x, [5.0, 2.0, 1.0], no_noise(x), cancel)


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_at_large_sigmas_agrees_with_float64(name: str) -> None:
    """The embedded model starts at sigma 100, Janspiry's at 151."""
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(9, 1000, generator=generator, dtype=torch.float64)
    sigmas = trigonometric_grid(8, sigma_max=151.0)
    x = 151.0 * noises[8]
    exact = sample(name, gaussian(0.5), x, sigmas, lambda k: noises[k])
    single = sample(name, gaussian(0.5), x.float(), sigmas, lambda k: noises[k].float())
    assert (single.double() - exact).abs().max() < 2e-6


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_says_what_it_is(name: str) -> None:
    summary = SAMPLERS[name].summary
    assert summary.endswith(".") and len(summary) < 110


def test_an_unknown_sampler_is_refused_with_the_nearest() -> None:
    x = torch.zeros(1)
    with pytest.raises(UsageError, match="no sampler 'dpmpp2m'") as caught:
        sample("dpmpp2m", gaussian(0.5), x, [1.0], no_noise(x))
    assert caught.value.hint is not None and "Did you mean dpmpp_2m?" in caught.value.hint


@pytest.mark.parametrize(("plain", "number"), [(n, row.number) for n, row in SAMPLERS.items() if row.number])
def test_a_name_may_carry_a_number(plain: str, number: samplers.Number) -> None:
    x = 10 * torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noises = torch.randn(4, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def run(name: str) -> Tensor:
        return sample(name, gaussian(0.5), x, [10.0, 3.0, 1.0, 0.1], lambda k: noises[k])

    assert not torch.allclose(run(f"{plain}@0.3"), run(f"{plain}@0.6"))
    default = inspect.signature(SAMPLERS[plain].run).parameters[number.name].default
    assert torch.equal(run(f"{plain}@{default}"), run(plain))
    assert samplers.get(f"{plain}@0.3").stochastic
    assert SAMPLERS[plain].stochastic == (default > 0)
    for text in ("", "x", "nan", "-1", "1e9"):
        with pytest.raises(UsageError, match=f"says no {number.name}") as caught:
            samplers.get(f"{plain}@{text}")
        assert caught.value.hint is not None and f"{plain}@" in caught.value.hint


def test_eta_0_asks_for_no_noise() -> None:
    def never(k: int) -> Tensor:
        raise AssertionError

    row = samplers.get("euler_ancestral@0")
    assert not row.stochastic
    sample("euler_ancestral@0", gaussian(0.5), torch.zeros(2), [5.0, 1.0], never)


def test_a_sampler_without_a_number_refuses_one() -> None:
    with pytest.raises(UsageError, match="heun takes no number") as caught:
        samplers.get("heun@0.5")
    assert caught.value.hint is not None and "euler_ancestral" in caught.value.hint


def test_zero_terminal_snr_removes_the_pull_to_medium_brightness() -> None:
    """Lin et al., arXiv 2305.08891: from pure noise, a chain that ends above SNR 0 misses the data's mean."""
    bright, chain = 0.8, {"betas": "linear", "length": 50, "start": 1e-3, "end": 5e-2}
    start = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = {}
    for zero_snr in (False, True):
        sigmas = discrete_grid(10, zero_snr=zero_snr, **chain)
        gamma = 1 / (1 + sigmas[0] ** 2)
        x = start / math.sqrt(gamma)  # pure noise where sqrt(gamma) x0 should be in it as well
        means[zero_snr] = sample("ddim", gaussian(0.3, bright), x, sigmas, no_noise(x)).mean().item()
    assert means[True] == pytest.approx(bright, abs=0.01)
    assert means[False] < bright - 0.05


@pytest.mark.parametrize("sigmas", [[1.0, 1.0], [1.0, 2.0], [1.0, 0.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_sigmas_that_do_not_fall_are_our_own_mistake(sigmas: list[float]) -> None:
    x = torch.zeros(1)
    with pytest.raises(AssertionError):
        sample("ddim", gaussian(0.5), x, sigmas, no_noise(x))
