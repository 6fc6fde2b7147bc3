"""Texture: how much pixels differ at small distances, on average around a place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from upscale.training.energy import energy_scores
from upscale.training.texture import LAGS, SMOOTH, texture


def grain(count: int, std: float, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 48, 48, generator=torch.Generator().manual_seed(seed)) * std


def mesh(period: int, height: float) -> Tensor:
    return height * torch.cos(2 * torch.pi * torch.arange(48) / period).expand(1, 3, 48, 48)


def test_a_flat_picture_has_none() -> None:
    maps = texture(torch.full((2, 3, 48, 40), 0.3))
    assert maps.shape == (2, 3 * len(LAGS), 9, 7)
    assert torch.allclose(maps, torch.tensor(SMOOTH**0.25))


def test_a_ramp_differs_by_its_slope() -> None:
    slope = 0.01
    found = texture((torch.arange(48) * slope).expand(1, 1, 48, 48))[0, :, 0, 0]
    expected = [((right * slope) ** 2 + SMOOTH) ** 0.25 for _, right in LAGS]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_a_mesh_differs_at_half_its_period_and_not_at_the_whole() -> None:
    found = dict(zip(LAGS, texture(mesh(4, 0.1)[:, :1]).mean((0, 2, 3)).tolist(), strict=True))
    assert found[0, 4] == pytest.approx(SMOOTH**0.25, rel=1e-3) == found[2, 0]
    assert found[0, 2] > 3 * found[0, 4]


def test_the_score_prefers_grain_to_a_mesh_of_the_same_strength() -> None:
    """And to no grain: what a comparison place by place would choose."""
    truth = grain(8, 0.03)
    other = energy_scores(texture(grain(16, 0.03, seed=1)), texture(truth)).mean()
    for made in (mesh(4, 0.03 * 2**0.5).expand(16, -1, -1, -1), torch.zeros(16, 3, 48, 48)):
        assert energy_scores(texture(made), texture(truth)).mean() > 1.5 * other
    nearer = (torch.zeros(8, 3, 48, 48) - truth).square().mean()
    assert nearer < (grain(8, 0.03, seed=1) - truth).square().mean()


def test_flat_pictures_have_a_gradient() -> None:
    flat = torch.zeros(1, 3, 48, 48, requires_grad=True)
    texture(flat).sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()
