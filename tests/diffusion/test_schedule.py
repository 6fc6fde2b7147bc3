"""Schedules against recordings and definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from upscale.diffusion.schedule import (
    BETAS,
    GRIDS,
    SPACINGS,
    betas_to_gammas,
    discrete_grid,
    draw_gammas,
    edm_grid,
    gamma_to_sigma,
    make_betas,
    make_grid,
    resshift_grid,
    sigma_to_gamma,
    sigma_to_time,
    time_to_sigma,
    trigonometric_grid,
    with_zero_terminal_snr,
)
from upscale.errors import UsageError

RECORDED = load_file(Path(__file__).parents[1] / "golden" / "janspiry_tiny" / "schedules.safetensors")
SOME = [0, 1, 2, 500, 1000, 1500, 1998, 1999]


@pytest.mark.parametrize("kind", BETAS)
def test_betas_are_the_recorded_ones(kind: str) -> None:
    short = make_betas(kind, 20, 1e-4, 2e-2)
    assert short.dtype == np.float64
    np.testing.assert_allclose(short, RECORDED[f"{kind}.20.betas_f64"], rtol=0, atol=1e-15)
    long = make_betas(kind, 2000, 1e-6, 1e-2)
    whole = RECORDED.get(f"{kind}.2000.betas_f64")
    if whole is None:
        whole, long = RECORDED[f"{kind}.2000.betas_f64_at_0_1_2_500_1000_1500_1998_1999"], long[SOME]
    np.testing.assert_allclose(long, whole, rtol=0, atol=1e-15)


def test_gammas_are_the_recorded_ones() -> None:
    gammas = betas_to_gammas(make_betas("linear", 2000))
    levels = RECORDED["linear2000_buffers.sqrt_alphas_cumprod_prev_f64"]  # with a leading 1
    np.testing.assert_allclose(np.sqrt(gammas), levels[1:], rtol=1e-13)


def test_sigmas_have_the_recorded_signal_to_noise_ratio() -> None:
    gammas = betas_to_gammas(make_betas("linear", 2000))
    sigmas = [gamma_to_sigma(float(g)) for g in gammas]
    np.testing.assert_allclose(sigmas, RECORDED["linear2000_buffers.sqrt_recipm1_alphas_cumprod"], rtol=1e-6)


@given(st.floats(1e-9, 1))
def test_gamma_and_sigma_are_inverse(gamma: float) -> None:
    assert sigma_to_gamma(gamma_to_sigma(gamma)) == pytest.approx(gamma, rel=1e-12)


def test_gamma_0_is_a_finite_sigma() -> None:
    assert gamma_to_sigma(0.0) == pytest.approx(1e5, rel=1e-6)
    assert gamma_to_sigma(1.0) == 0.0
    sigmas = discrete_grid(betas="jsd", length=10)  # ends at gamma 0
    assert sigmas[0] == gamma_to_sigma(0.0) and len(set(sigmas)) == 10


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 50, 2000])
def test_grids_fall_strictly_and_have_the_steps_asked_for(name: str, steps: int) -> None:
    sigmas = make_grid(name, steps)
    assert len(sigmas) == steps
    assert all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))
    assert sigmas[-1] > 0 and math.isfinite(sigmas[0])
    assert all(type(s) is float for s in sigmas)
    assert sigmas[0] == make_grid(name, 1)[0]  # all begin with the noisiest level


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_grids_below_a_ceiling(name: str, steps: int) -> None:
    whole = make_grid(name, steps)
    assert make_grid(name, steps, ceiling=math.inf) == make_grid(name, steps, ceiling=1e9) == whole
    sigmas = make_grid(name, steps, ceiling=3.0)
    assert len(sigmas) == steps and sigmas == sorted(set(sigmas), reverse=True) and sigmas[-1] > 0
    assert sigmas[0] == pytest.approx(3.0, rel=0.01)  # a chain has no level exactly there
    assert sigmas[0] < 3.0 * (1 + 1e-9)
    if steps == 50 and name != "trigonometric":  # which goes on to 0 after its last level, wherever that is
        assert sigmas[-1] == pytest.approx(whole[-1])


def test_a_trigonometric_grid_below_a_ceiling_keeps_its_shape() -> None:
    whole, cut = trigonometric_grid(8, power=2.0), trigonometric_grid(8, power=2.0, ceiling=2.0)
    ratio = math.atan(2.0) / math.atan(100.0)
    np.testing.assert_allclose(np.arctan(cut), ratio * np.arctan(whole), rtol=1e-12)


def test_a_chain_below_a_ceiling() -> None:
    everything = discrete_grid(length=20, start=1e-3, end=0.3)
    below = everything[5:]
    assert discrete_grid(15, length=20, start=1e-3, end=0.3, ceiling=everything[5]) == below
    with pytest.raises(UsageError, match="16 steps are more than the 15 noise levels of this model up to"):
        discrete_grid(16, length=20, start=1e-3, end=0.3, ceiling=everything[5])


@pytest.mark.parametrize("name", GRIDS)
def test_a_ceiling_below_a_grid(name: str) -> None:
    below = {"trigonometric": {"sigma_last": 0.2}}.get(name, {})
    with pytest.raises(UsageError, match="cannot fall from|more than the 0"):
        make_grid(name, 1, ceiling=1e-4, **below)


@pytest.mark.parametrize("t", [0.01, 0.4, 0.5, 0.99])
def test_time_and_sigma_are_inverse(t: float) -> None:
    sigma = time_to_sigma(t)
    assert sigma_to_time(sigma) == pytest.approx(t, rel=1e-12)
    assert math.sqrt(sigma_to_gamma(sigma)) == pytest.approx(math.cos(math.pi / 2 * t), rel=1e-12)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("steps", [4, 8, 2000])
def test_trigonometric_grid_is_a_power_of_the_step_in_time(power: float, steps: int) -> None:
    sigmas = trigonometric_grid(steps, power=power, sigma_max=100.0)
    assert sigmas[0] == 100.0
    times = np.arctan(sigmas) / math.atan(100.0)
    np.testing.assert_allclose(times, 1 - (np.arange(steps) / steps) ** power, atol=1e-12)
    assert all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("steps", [2, 4, 2000])
def test_the_last_level_of_a_trigonometric_grid_can_be_chosen(power: float, steps: int) -> None:
    sigmas = trigonometric_grid(steps, power=power, sigma_max=80.0, sigma_last=0.25)
    assert sigmas[0] == 80.0 and sigmas[-1] == pytest.approx(0.25, rel=1e-12)
    assert all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))
    times, (first, last) = np.arctan(sigmas), np.arctan([80.0, 0.25])
    np.testing.assert_allclose(
        (first - times) / (first - last), np.linspace(0, 1, steps) ** power, atol=1e-12
    )
    assert trigonometric_grid(1, sigma_max=80.0, sigma_last=0.25) == [80.0]


@pytest.mark.parametrize("sigma_last", [-0.1, 80.0, 90.0, math.nan])
def test_a_grid_falls_from_its_first_level_to_its_last(sigma_last: float) -> None:
    with pytest.raises(UsageError, match="cannot fall from 80"):
        trigonometric_grid(4, sigma_max=80.0, sigma_last=sigma_last)


def test_edm_grid_is_the_published_formula() -> None:
    # Karras et al., equation 5, evaluated by hand to three digits
    assert edm_grid(4) == pytest.approx([80, 9.72, 0.470, 0.002], rel=2e-3)
    assert edm_grid(6, sigma_max=3.0) == pytest.approx([3, 1.135, 0.367, 0.095, 0.018, 0.002], rel=0.02)
    np.testing.assert_allclose(np.diff(np.array(edm_grid(9)) ** (1 / 7), n=2), 0, atol=1e-12)
    assert edm_grid(1, sigma_max=3.0) == [3.0]


def test_discrete_grid_takes_levels_of_the_chain() -> None:
    gammas = betas_to_gammas(make_betas("linear", 2000))
    everything = discrete_grid()
    np.testing.assert_allclose([sigma_to_gamma(s) for s in everything], gammas[::-1], rtol=1e-12)
    assert discrete_grid(3) == [everything[0], everything[999], everything[-1]]  # indices 1999, 1000, 0
    assert discrete_grid(1) == [everything[0]]
    with pytest.raises(UsageError, match="2001 steps are more than the 2000"):
        discrete_grid(2001)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_spacings_are_those_of_diffusers(spacing: str) -> None:
    """Also where two of a chain's levels are as near, which depends on the order of adding up."""
    diffusers = pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")
    scheduler = diffusers.DDIMScheduler(1000, timestep_spacing=spacing)
    for steps in range(2, 1001):
        scheduler.set_timesteps(steps)  # which may add one below the last: -1
        assert SPACINGS[spacing](steps, 1000, 0) == scheduler.timesteps.tolist()[:steps], steps


@pytest.mark.parametrize("kind", ["linear", "quad", "const", "warmup10", "warmup50", "cosine"])
def test_zero_terminal_snr(kind: str) -> None:
    gammas = betas_to_gammas(make_betas(kind, 20, 1e-3, 5e-2))
    rescaled = with_zero_terminal_snr(gammas)
    assert rescaled[0] == pytest.approx(gammas[0], rel=1e-12) and rescaled[-1] == 0
    # What is left is linear in sqrt(gamma).
    slope = np.sqrt(gammas[0]) / (np.sqrt(gammas[0]) - np.sqrt(gammas[-1]))
    np.testing.assert_allclose(np.diff(np.sqrt(rescaled)), slope * np.diff(np.sqrt(gammas)), atol=1e-14)
    np.testing.assert_allclose(with_zero_terminal_snr(rescaled), rescaled, atol=1e-14)
    sigmas = discrete_grid(betas=kind, length=20, start=1e-3, end=5e-2, zero_snr=True)
    assert sigmas[0] == gamma_to_sigma(0.0)
    np.testing.assert_allclose(sigmas[1:], [gamma_to_sigma(g) for g in rescaled[-2::-1]], rtol=1e-12)


@pytest.mark.parametrize(
    ("steps", "min_noise", "expected"),
    [
        (4, 0.2, [0.1, 0.520, 0.761, 0.99]),
        (
            15,
            0.04,
            [0.02, 0.117, 0.176, 0.234, 0.292, 0.351, 0.412, 0.476, 0.542, 0.610, 0.681, 0.754, 0.830],
        ),
    ],
)
def test_resshift_grid_is_the_published_one(steps: int, min_noise: float, expected: list[float]) -> None:
    """sqrt(eta) of the authors' schedules for 4 and 15 steps with kappa 2 and power 0.3."""
    sigmas = resshift_grid(steps, min_noise=min_noise)
    roots = [s / (1 + math.sqrt(1 + s * s)) for s in reversed(sigmas)]  # of sigma (1 - eta) = 2 sqrt(eta)
    assert roots[: len(expected)] == pytest.approx(expected, abs=6e-4)
    assert roots[-1] == pytest.approx(0.99)


def test_training_draws_gamma_uniformly_between_uniform_neighbours() -> None:
    gammas = betas_to_gammas(make_betas("linear", 10, 0.05, 0.5))
    drawn = draw_gammas(gammas, 200_000, np.random.default_rng(0))
    bounds = np.concatenate([[1.0], gammas])[::-1]
    counts, _ = np.histogram(drawn, bounds)
    assert counts.sum() == len(drawn)  # nothing below gamma_T or above 1
    # Each interval is hit with probability 1/10; 5 standard deviations of the count.
    assert np.abs(counts - 20_000).max() < 5 * math.sqrt(200_000 * 0.1 * 0.9)
    # Within the first interval the mean is its middle; the last has gamma_T as its lower bound.
    first = drawn[drawn > gammas[0]]
    width = 1 - gammas[0]
    assert abs(first.mean() - (1 + gammas[0]) / 2) < 5 * width / math.sqrt(12 * len(first))


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda: make_betas("linaer", 10), "beta schedule 'linaer'", "Did you mean linear"),
        (lambda: make_grid("emd", 4), "sigma grid 'emd'", "Did you mean edm"),
        (lambda: make_grid("xyz", 4), "sigma grid 'xyz'", "Choose from"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(call, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert message in caught.value.message
    assert caught.value.hint is not None and hint in caught.value.hint
