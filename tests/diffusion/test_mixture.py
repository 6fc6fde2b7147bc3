"""The end of a run and its first estimate are mixed by frequency and strength."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from upscale.diffusion.mixture import LEAST, LOW, LOW_FROM, NEAR, mix


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fidelity(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def mixed(drawn: torch.Tensor, estimate: torch.Tensor, f: torch.Tensor, scale: int = 4) -> torch.Tensor:
    """Return the mixture of pictures [B, C, H, W], float32."""
    folded = (F.pixel_unshuffle(x, scale) for x in (drawn, estimate))
    return F.pixel_shuffle(mix(*folded, f, scale, torch.float32), scale)


def blurred(x: torch.Tensor, std: float, radius: int) -> torch.Tensor:
    """Return x [B, C, H, W] convolved with a Gaussian that is cut off at `radius`, zeros around it."""
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / std) ** 2)
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(x, line, padding=(0, radius), groups=x.shape[1])
    return F.conv2d(x, line.mT, padding=(radius, 0), groups=x.shape[1])


def test_the_ends_of_the_dial() -> None:
    drawn, estimate = noise(2, 48, 5, 6), noise(2, 48, 5, 6, seed=1)
    assert torch.allclose(mix(drawn, estimate, fidelity(0, 0), 4, torch.float32), drawn, atol=1e-6)
    assert torch.equal(mix(drawn, estimate, fidelity(1, 1), 4, torch.float32), estimate)
    assert torch.equal(mix(drawn, drawn, fidelity(0.3, 1), 4, torch.float32), drawn)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("f", [LOW_FROM / 2, 0.3, 0.9])
def test_it_is_what_it_says(scale: int, channels: int, f: float) -> None:
    """Computed on pictures that are not folded, as the docstring has it."""
    drawn, estimate = (noise(2, channels, 6 * scale, 5 * scale, seed=seed) for seed in (0, 1))
    apart = drawn - estimate
    rest = apart - min(1, f / LOW_FROM) * blurred(apart, LOW * scale, scale)
    power = blurred(rest.square().mean(1, keepdim=True), NEAR * scale, scale)
    expected = estimate + rest / (1 + power.clamp(min=LEAST**2) ** 0.25 * f / (1 - f))
    assert torch.allclose(mixed(drawn, estimate, fidelity(f, f), scale), expected, atol=1e-5)


def test_each_picture_has_a_fidelity_of_its_own() -> None:
    drawn, estimate = noise(3, 48, 5, 6), noise(3, 48, 5, 6, seed=1)
    together = mix(drawn, estimate, fidelity(0.05, 0.3, 1), 4, torch.float32)
    for i, f in enumerate((0.05, 0.3, 1.0)):
        alone = mix(drawn[i : i + 1], estimate[i : i + 1], fidelity(f), 4, torch.float32)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_what_the_small_picture_shows_is_the_estimates() -> None:
    """A drawing that is lighter throughout is not believed; one with other grain is."""
    estimate = torch.zeros(1, 3, 48, 48)
    inside = (..., slice(8, -8), slice(8, -8))
    lighter = mixed(estimate + 1, estimate, fidelity(LOW_FROM))
    assert lighter[inside].abs().max() < 1e-5
    grain = noise(1, 3, 48, 48)
    assert mixed(grain, estimate, fidelity(LOW_FROM))[inside].std() > 0.75


def test_the_stronger_the_less_it_counts() -> None:
    grain, estimate = noise(1, 3, 48, 48), torch.zeros(1, 3, 48, 48)
    kept = [float(mixed(grain * by, estimate, fidelity(0.3)).std()) / by for by in (0.01, 0.1, 1, 4)]
    assert kept == sorted(kept, reverse=True) and kept[0] > 0.85 and kept[-1] < 0.6 * kept[0]


def test_half_precision_is_near() -> None:
    drawn, estimate = noise(1, 48, 16, 16), noise(1, 48, 16, 16, seed=1)
    whole, half = (mix(drawn, estimate, fidelity(0.3), 4, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half.dtype == torch.float32
    assert (whole - half).abs().max() < 0.03  # of a std of 15 levels: half a level for the largest of 12,000
