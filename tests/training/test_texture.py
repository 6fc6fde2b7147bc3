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


def scores(made: Tensor, truth: Tensor) -> list[float]:
    pairs = zip(texture(made), texture(truth), strict=True)
    return [energy_scores(found, expected).mean().item() for found, expected in pairs]


def test_a_flat_picture_has_none() -> None:
    strength, shape = texture(torch.full((2, 3, 48, 40), 0.3))
    assert strength.shape == (2, 3, 9, 7) and shape.shape == (2, 3 * len(LAGS), 9, 7)
    assert torch.allclose(strength, torch.tensor(SMOOTH**0.25))
    assert torch.allclose(shape, torch.tensor(1.0))


def test_a_ramp_differs_by_its_slope() -> None:
    slope = 0.01
    strength, shape = texture((torch.arange(48) * slope).expand(1, 1, 48, 48))
    expected = torch.tensor([((right * slope) ** 2 + SMOOTH) ** 0.25 for _, right in LAGS])
    assert strength[0, 0, 0, 0] == pytest.approx(expected.mean().item(), rel=1e-4)
    assert torch.allclose(shape[0, :, 0, 0], expected / expected.mean(), rtol=1e-4)


def test_a_mesh_differs_at_half_its_period_and_not_at_the_whole() -> None:
    _, shape = texture(mesh(4, 0.1)[:, :1])
    found = dict(zip(LAGS, shape.mean((0, 2, 3)).tolist(), strict=True))
    assert found[0, 2] > 3 * found[0, 4] == pytest.approx(3 * found[2, 0], rel=1e-3)


@pytest.mark.parametrize("strength", [0.01, 0.03, 0.1])
def test_the_shape_prefers_grain_to_a_mesh_however_faint(strength: float) -> None:
    truth = grain(8, strength)
    _, fair = scores(grain(16, strength, seed=1), truth)
    _, meshed = scores(mesh(4, strength * 2**0.5).expand(16, -1, -1, -1), truth)
    assert meshed > 1.5 * fair


def test_the_strength_prefers_grain_to_none_though_none_is_nearer() -> None:
    truth, made, none = grain(8, 0.03), grain(16, 0.03, seed=1), torch.zeros(16, 3, 48, 48)
    assert scores(none, truth)[0] > 1.5 * scores(made, truth)[0]
    assert (none[:8] - truth).square().mean() < (made[:8] - truth).square().mean()


def test_flat_pictures_have_a_gradient() -> None:
    flat = torch.zeros(1, 3, 48, 48, requires_grad=True)
    torch.cat([part.flatten() for part in texture(flat)]).square().sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()
