"""Relay Diffusion's process: blur in the DCT, block noise, and samplers along it, against what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.block_noise import BlockNoiseField, block_sums
from upscale.diffusion.noise import INITIAL, NoiseField
from upscale.diffusion.relay import LEAST_SIGMA, Relay, dct
from upscale.diffusion.samplers import SAMPLERS, Blur, sample
from upscale.diffusion.schedule import trigonometric_grid

SIZE = 256
RELAY = Relay()


# --- block noise ----------------------------------------------------------------------------------------


def covariance(z: np.ndarray, dy: int, dx: int) -> float:
    height, width = z.shape[1:]
    return float((z[:, dy:, dx:] * z[:, : height - dy, : width - dx]).mean())


@pytest.mark.parametrize("side", [2, 4])
def test_covariance_of_block_noise(side: int) -> None:
    """Cov = max(0, s - |dx|) max(0, s - |dy|) / s^2 (Teng et al., section 3.1)."""
    blocks = block_sums(NoiseField(3).window(0, 0, 0, 512, 512), side)
    assert blocks.shape == (3, 513 - side, 513 - side) and blocks.dtype == np.float32
    for dy in range(6):
        for dx in range(6):
            expected = max(0, side - dy) * max(0, side - dx) / side**2
            assert abs(covariance(blocks, dy, dx) - expected) < 0.03, (dy, dx)


def test_spectrum_of_block_noise() -> None:
    """Its DCT has the power of noise that was white at a quarter of the resolution and was enlarged."""
    side = 4
    rows = dct(SIZE)
    blocks = [block_sums(NoiseField(s).window(0, 0, 0, SIZE + 3, SIZE + 3), side) for s in range(4)]
    power = np.mean(
        [(rows @ z.astype(np.float64) @ rows.T) ** 2 for z in blocks], axis=(0, 1)
    )  # [SIZE, SIZE]
    assert power[:8, :8].mean() == pytest.approx(side**2, rel=0.1)  # as enlarged white noise of 64 pixels
    diagonal = [power[k - 4 : k + 4, k - 4 : k + 4].mean() for k in (32, 128)]
    assert diagonal[0] == pytest.approx(10.7, rel=0.15)  # (sin(4 w) / sin(w) / 2)^4 at w = pi k / 512, k = 32
    assert diagonal[1] < 0.1  # the low band ends at 64, the first zero is at 128
    expected = (np.sin(4 * np.pi * 32 / 512) / np.sin(np.pi * 32 / 512) / 2) ** 4
    assert expected == pytest.approx(10.7, rel=0.01)


@pytest.mark.parametrize("weight", [0.15, 1.0])
def test_mixed_noise_has_unit_variance_and_is_a_function_of_the_place(weight: float) -> None:
    field = BlockNoiseField(seed=5, stage=1, side=4, weight=weight)
    whole = field.window(2, -10, -7, 300, 300)
    assert whole.shape == (3, 300, 300) and whole.dtype == np.float32
    assert whole.std() == pytest.approx(1, abs=0.02) and abs(whole.mean()) < 0.05
    assert np.array_equal(field.window(2, 50, 61, 33, 20), whole[:, 60:93, 68:88])
    near = weight**2 * 0.75 / (1 + weight**2)
    assert covariance(whole, 0, 1) == pytest.approx(near, abs=0.02)
    for other in (
        BlockNoiseField(6, 1, 4, weight).window(2, -10, -7, 300, 300),
        BlockNoiseField(5, 0, 4, weight).window(2, -10, -7, 300, 300),
        field.window(INITIAL, -10, -7, 300, 300),
    ):
        assert abs((other * whole).mean()) < 0.02


def test_block_noise_without_weight_is_white() -> None:
    field = BlockNoiseField(seed=5, stage=1, side=4, weight=0.0)
    assert np.array_equal(field.window(0, 0, 0, 9, 9), NoiseField(5, 1).window(0, 0, 0, 9, 9))


def test_training_draws_the_same_kind_of_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4, 3, 96, 96, generator=generator)
    shared = torch.randn(4, 3, 99, 99, generator=generator)
    relay = Relay(block=0.7)
    blocks = np.stack([block_sums(eps.numpy(), 4) for eps in shared])
    expected = (white + 0.7 * torch.from_numpy(blocks)) / math.sqrt(1 + 0.49)
    assert torch.allclose(relay.noise(white.clone(), shared), expected, atol=1e-5)


def test_noise_is_transferred_between_resolutions() -> None:
    """Means over patches of the noise at `sigma_above` are as strong as the noise below."""
    field = BlockNoiseField(seed=1, stage=0, side=4, weight=0.6)
    relay = Relay(block=0.6)
    noise = torch.from_numpy(field.window(0, 0, 0, 1024, 1024)) * relay.sigma_above(0.5)
    low = F.avg_pool2d(noise, 64)  # of 16 x 16 patches: well below the cutoff
    assert low.std() == pytest.approx(0.5 / 16, rel=0.1)
    assert Relay(block=0.0).sigma_above(0.5) == 2.0  # sigma_H = s sigma_L
    assert Relay(block=1e-9).sigma_above(0.5) == pytest.approx(2.0)
    assert Relay(block=10.0).sigma_above(0.5) == pytest.approx(0.5, rel=0.01)


# --- blur -----------------------------------------------------------------------------------------------


def test_the_dct_is_orthonormal() -> None:
    np.testing.assert_allclose(dct(4) @ dct(4).T, np.eye(4), atol=1e-12)
    assert dct(4)[0].tolist() == pytest.approx([0.5] * 4)
    np.testing.assert_allclose(dct(4)[1] * np.sqrt(2), np.cos(np.pi / 8 * np.array([1, 3, 5, 7])))


def test_levels_are_the_released_programs() -> None:
    """Sigma in units of the data's standard deviation: twice theirs, whose data have 0.5."""
    assert RELAY.sigma_max == pytest.approx(2 * 1.77, rel=0.01)
    assert Relay(length=0.89).sigma_max == pytest.approx(2 * 1.31, rel=0.01)
    assert RELAY.sigma_at(0.0) == RELAY.sigma_at(1e-9) == LEAST_SIGMA
    for p in (0.1, 0.5, 1.0):
        assert RELAY.progress(RELAY.sigma_at(p)) == pytest.approx(p, rel=1e-9)
    assert RELAY.progress(100.0) == 1.0
    # What is left of the lowest AC coefficient where the two released scripts start.
    assert RELAY.kept(2 * 0.87)[0, 1] == pytest.approx(0.08, abs=0.01)
    assert RELAY.kept(2 * 0.87)[0, 0] == 1.0


def test_blur_falls_with_sigma_from_nothing_to_the_mean() -> None:
    x = torch.randn(2, 48, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = F.pixel_shuffle(x, 4)
    assert torch.allclose(RELAY.blur(x, LEAST_SIGMA), x, atol=1e-3)
    most = F.pixel_shuffle(Relay(blur_max=10.0).blur(x, RELAY.sigma_max), 4)
    means = F.interpolate(F.avg_pool2d(image, 4), scale_factor=4)
    assert torch.allclose(most, means + 0.001 * (image - means), atol=1e-9)
    sizes = [float(RELAY.blur(x, RELAY.sigma_at(p)).square().mean()) for p in (0.1, 0.4, 0.6, 0.8, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    for p in (0.2, 0.7):  # means stay
        blurred = F.pixel_shuffle(RELAY.blur(x, RELAY.sigma_at(p)), 4)
        assert torch.allclose(F.avg_pool2d(blurred, 4), F.avg_pool2d(image, 4), atol=1e-12)


def test_blur_is_the_diagonal_in_the_dct() -> None:
    x = torch.randn(1, 3 * 16, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    patch = F.pixel_shuffle(x, 4)[0].numpy()  # [3, 4, 4]
    sigma = 0.8
    expected = dct(4).T @ (RELAY.kept(sigma) * (dct(4) @ patch @ dct(4).T)) @ dct(4)
    np.testing.assert_allclose(F.pixel_shuffle(RELAY.blur(x, sigma), 4)[0].numpy(), expected, atol=1e-12)


def test_every_example_may_have_its_own_sigma() -> None:
    x = torch.randn(3, 48, 2, 2, generator=torch.Generator().manual_seed(0))
    sigmas = np.array([0.1, 0.7, 3.0])
    together = RELAY.blur(x, sigmas)
    for i, sigma in enumerate(sigmas.tolist()):
        assert torch.allclose(together[i : i + 1], RELAY.blur(x[i : i + 1], sigma), atol=1e-6)


@pytest.mark.parametrize(
    "numbers",
    [{"side": 1}, {"side": 17}, {"block": -1}, {"blur_max": math.nan}, {"length": 0.0}, {"length": 1.0}],
    ids=str,
)
def test_numbers_that_make_no_process(numbers: dict) -> None:
    with pytest.raises(ValueError):
        Relay(**numbers)


# --- sampling -------------------------------------------------------------------------------------------


def gaussian(s: float) -> tuple[Blur, object]:
    """Blur and best estimate for patches whose pixels are independent N(0, s^2)."""
    relay = Relay(block=0.0)

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        basis = torch.from_numpy(np.kron(dct(4), dct(4)))
        kept = torch.from_numpy(relay.kept(sigma)).reshape(-1, 1)
        u = torch.einsum("kp,bcphw->bckhw", basis, x.reshape(len(x), -1, 16, *x.shape[2:]))
        gain = (s * s * kept / (s * s * kept**2 + sigma**2))[:, :, None]
        return torch.einsum("kp,bckhw->bcphw", basis, gain * u).flatten(1, 2)

    return relay.blur, denoiser


# ddpm_beta is left out: its variance is meant for data that have one of their own.
@pytest.mark.parametrize("name", [*(n for n in SAMPLERS if n != "ddpm_beta"), "relay@0.5", "ddim@0.5"])
def test_a_single_image_is_met_exactly(name: str) -> None:
    """Before every estimate x is the blurred image and noise of sigma; the end is the image."""
    image = torch.randn(1, 48, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noises = torch.randn(5, 300, 48, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigmas = trigonometric_grid(4, sigma_max=1.7, sigma_last=0.1)
    seen: list[tuple[float, Tensor]] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        seen.append((sigma, x.clone()))
        return image.expand_as(x)

    start = RELAY.blur(image, sigmas[0]) + sigmas[0] * noises[4]
    out = sample(name, denoiser, start, sigmas, lambda k: noises[k], blur=RELAY.blur)
    assert torch.equal(out, image.expand_as(out))
    for sigma, x in seen:
        noise = (x - RELAY.blur(image, sigma)) / sigma
        assert noise.std().item() == pytest.approx(1, abs=0.02)
        assert abs(noise.mean().item()) < 0.02


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m", "ddpm", "relay"])
def test_variance_of_gaussian_patches_is_reached(name: str) -> None:
    s = 1.0
    blur, denoiser = gaussian(s)
    generator = torch.Generator().manual_seed(2)

    def draw(*_: int) -> Tensor:
        return torch.randn(2000, 16, 1, 1, generator=generator, dtype=torch.float64)

    # Many steps: fine patterns come back late, all at once.
    sigmas = trigonometric_grid(200, sigma_max=3.5, sigma_last=0.02)
    data = s * draw()
    start = blur(data, sigmas[0]) + sigmas[0] * draw()
    out = sample(name, denoiser, start, sigmas, draw, blur=blur)  # type: ignore[arg-type]
    assert out.std().item() == pytest.approx(s, rel=0.04)


def test_deterministic_samplers_converge_to_one_flow() -> None:
    blur, denoiser = gaussian(0.8)
    start = 3.5 * torch.randn(50, 16, 1, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def run(name: str, steps: int) -> Tensor:
        sigmas = trigonometric_grid(steps, sigma_max=3.5, sigma_last=0.05)
        return sample(name, denoiser, start, sigmas, lambda k: start, blur=blur)  # type: ignore[arg-type]

    exact = run("heun", 1001)
    for name, order in (("ddim", 1), ("heun", 2)):
        counts = [41, 81, 161]
        errors = [float((run(name, n) - exact).abs().max()) for n in counts]
        slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert slope == pytest.approx(-order, abs=0.25), name
    assert float((run("ddim", 2000) - exact).abs().max()) < 0.01
