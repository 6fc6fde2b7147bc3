"""Steps at the borders of folded pixels are found, wherever a crop begins."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from upscale.training.objectives.seams import seams


def noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 0.1


def folded(strength: float) -> torch.Tensor:
    """Return noise that is lighter or darker by some amount in every folded pixel of 4 x 4."""
    apart = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * strength
    return noise() + F.interpolate(apart, scale_factor=4)


def test_what_knows_no_borders_has_none() -> None:
    assert seams(noise(), 4).abs().max() < 0.05


@pytest.mark.parametrize("offset", [(0, 0), (3, 1), (2, 7)])
def test_a_grid_shows(offset: tuple[int, int]) -> None:
    top, left = offset
    found = seams(folded(0.2)[:, :, top:, left:], 4, offset)
    assert found.shape == (2,) and (found > 0.4).all()
    elsewhere = seams(folded(0.2)[:, :, top:, left:], 4, (top + 1, left + 1))
    assert (elsewhere < 0).all()  # there, all borders are inside


def test_it_is_how_much_larger_steps_are() -> None:
    """Steps of 1 across borders and of 1/2 inside, in both directions."""
    line = torch.tensor([1.0, 0.5, 0.5, 0.5] * 8).cumsum(0) * 0.1
    assert seams((line[:, None] + line)[None, None], 4).item() == pytest.approx(0.65, abs=0.02)
    assert seams(line.expand(1, 1, 32, 32), 4).item() == pytest.approx(0.65 / 2, abs=0.02)  # one direction


def test_smooth_parts_count_as_textures_do() -> None:
    both = torch.cat([folded(0.2), 0.2 * folded(0.2)])
    strong, faint = seams(both, 4).chunk(2)
    assert torch.allclose(strong, faint, rtol=0.25)


def test_learning_takes_it_away() -> None:
    image = folded(0.1).requires_grad_()
    optimizer = torch.optim.Adam([image], 1e-3)
    before = seams(image, 4).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        seams(image, 4).mean().square().backward()
        optimizer.step()
    assert abs(seams(image, 4).mean().item()) < 0.2 * before
