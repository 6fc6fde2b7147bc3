"""Whole DDPM chains of the public SR3 implementation, replayed (tests/golden/janspiry_tiny/README.md)."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from upscale.diffusion.denoiser import NetworkDenoiser
from upscale.diffusion.samplers import sample
from upscale.diffusion.schedule import discrete_grid, sigma_to_gamma
from upscale.networks.sr3_unet import SR3UNet, SR3UNetConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "janspiry_tiny"


@pytest.fixture(scope="module")
def net() -> SR3UNet:
    config = SR3UNetConfig(
        inner_channel=16,
        norm_groups=8,
        channel_multipliers=(1, 2, 4),
        attn_res=(8,),
        res_blocks=1,
        image_size=32,
    )
    unet = SR3UNet(config).eval()
    weights = load_file(GOLDEN / "I8_E1_gen.safetensors")
    prefix = "denoise_fn."
    unet.load_state_dict({k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)})
    return unet


@pytest.mark.parametrize(
    ("name", "chain", "tolerance"),
    [
        ("linear8", {"betas": "linear", "length": 8, "start": 1e-4, "end": 0.5}, 1e-5),
        ("linear8_single", {"betas": "linear", "length": 8, "start": 1e-4, "end": 0.5}, 1e-5),
        ("cosine12", {"betas": "cosine", "length": 12}, 5e-5),
    ],
)
@torch.no_grad()
def test_every_step_is_the_recorded_one(net: SR3UNet, name: str, chain: dict, tolerance: float) -> None:
    data = load_file(GOLDEN / f"sampler_{name}.safetensors")
    sigmas = discrete_grid(**chain)
    last = len(sigmas) - 1
    # In float64, so that only the recording's own rounding is left: the first step of cosine12 divides it by
    # a tiny sqrt(gamma), and float32 convolutions round differently from one number of threads to the next.
    net64, cond = copy.deepcopy(net).double(), data["cond"].double()
    estimate = NetworkDenoiser(lambda x, level: net64(x, level, cond), "epsilon", clamp=1.0)
    seen: list[Tensor] = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        seen.append(x * sigma_to_gamma(sigma) ** 0.5)  # in the recording's variance-preserving units
        return estimate(x, sigma)

    x = data["x_T"].double() / sigma_to_gamma(sigmas[0]) ** 0.5
    out = sample("ddpm", denoiser, x, sigmas, lambda k: data[f"noise_t{last - k}"].double())

    expected = data["output"] if "output" in data else data["output_chw"][None]
    assert (out - expected).abs().max() < tolerance
    steps = [t for t in range(last, 0, -1) if f"x_after_t{t}" in data]
    assert len(steps) == (0 if name == "linear8_single" else last)  # of that one only the end is recorded
    for t in steps:
        assert (seen[last - t + 1] - data[f"x_after_t{t}"]).abs().max() < tolerance, t


@torch.no_grad()
def test_the_network_is_told_the_recorded_level_and_answers_the_recorded_noise(net: SR3UNet) -> None:
    data = load_file(GOLDEN / "sampler_linear8.safetensors")
    sigmas = discrete_grid(betas="linear", length=8, start=1e-4, end=0.5)
    told: list[Tensor] = []
    answered: list[Tensor] = []

    def network(x: Tensor, level: Tensor) -> Tensor:
        told.append(level)
        answered.append(net(x, level, data["cond"]))
        return answered[-1]

    x = data["x_T"] / sigma_to_gamma(sigmas[0]) ** 0.5
    sample("ddpm", NetworkDenoiser(network, clamp=1.0), x, sigmas, lambda k: data[f"noise_t{7 - k}"])
    for k in range(8):
        assert (told[k] - data[f"noise_level_t{7 - k}"]).abs().max() < 1e-7
        assert (answered[k] - data[f"eps_t{7 - k}"]).abs().max() < 1e-5
