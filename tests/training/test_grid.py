"""A grid of the period of folded pixels is found, wherever a crop begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.training.objectives.grid import by_place, grid_apart

SIDE = 64


def noise(seed: int = 0, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 0.1


def cells(strength: float) -> Tensor:
    """Return noise that is lighter or darker in every cell of 4 x 4: lines at the borders."""
    return noise() + F.interpolate(noise(1, 1)[:, :, :16, :16] * 10 * strength, scale_factor=4)


def dots(strength: float) -> Tensor:
    """Return noise with a lighter pixel in every cell."""
    image = noise()
    image[:, :, 1::4, 2::4] += strength
    return image


def uneven(strength: float) -> Tensor:
    """Return noise with more of it at one place of every cell, lighter as often as darker."""
    image = noise()
    image[:, :, 3::4, ::4] *= 1 + strength
    return image


def test_the_mean_is_taken_of_each_place() -> None:
    """In units of the mean size, less what all have in common."""
    image = torch.ones(1, 1, 8, 8)
    image[:, :, 1::4, 2::4] = 17.0
    found = by_place(image, 4, (0, 0))
    assert found.shape == (1, 16)
    expected = torch.full((16,), -0.5)
    expected[4 * 1 + 2] = 7.5
    assert torch.allclose(found[0], expected, atol=0.1)
    moved = by_place(image[:, :, 3:, 1:], 4, (3, 1))
    assert torch.allclose(moved, found, rtol=0.1)  # of fewer cells


def test_two_photographs_are_hardly_apart() -> None:
    assert grid_apart(noise(), noise(2), 4).max() < 0.3


@pytest.mark.parametrize("offset", [(0, 0), (3, 1), (2, 7)])
@pytest.mark.parametrize("spoilt", [cells, dots, uneven])
def test_a_grid_shows(spoilt: Callable[[float], Tensor], offset: tuple[int, int]) -> None:
    top, left = offset
    part = (slice(None), slice(None), slice(top, None), slice(left, None))
    found = grid_apart(spoilt(1.0)[part], noise(2)[part], 4, offset)
    assert found.shape == (2,) and (found > 0.5).all()
    assert (found > 3 * grid_apart(noise()[part], noise(2)[part], 4, offset)).all()


def test_what_the_photograph_has_is_no_grid() -> None:
    assert grid_apart(dots(0.5), dots(0.5), 4).max() == 0
    assert (grid_apart(noise(), dots(0.5), 4) > 0.5).all()


def test_smooth_parts_count_as_textures_do() -> None:
    strong, faint = (grid_apart(k * dots(0.5), k * noise(2), 4) for k in (1.0, 0.2))
    assert (faint > 0.3 * strong).all()  # of a fifth of the strength: squared that is a twenty-fifth
    assert (grid_apart(1e-3 * dots(0.5), 1e-3 * noise(2), 4) < 0.1 * strong).all()  # nobody sees that


@pytest.mark.parametrize("spoilt", [cells, dots, uneven])
def test_learning_takes_it_away(spoilt: Callable[[float], Tensor]) -> None:
    image = spoilt(0.3).requires_grad_()
    optimizer = torch.optim.Adam([image], 5e-3)
    before = grid_apart(image, noise(2), 4).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        grid_apart(image, noise(2), 4).mean().backward()
        optimizer.step()
    assert grid_apart(image, noise(2), 4).mean().item() < 0.1 * before
