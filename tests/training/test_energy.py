"""The energy score: smallest for the distribution that the truth comes from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from upscale.training.objectives.energy import distance, energy_scores


def draw(count: int, std: float, mean: float = 0.0, seed: int = 0) -> Tensor:
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return noise * std + mean


def test_the_distance_is_the_mean_length() -> None:
    a = torch.zeros(2, 2, 1, 2)
    b = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]], [[[0.0, 6.0]], [[0.0, 8.0]]]])
    assert distance(a, b).tolist() == pytest.approx([2.5, 5.0], abs=5e-3)


def test_the_score_is_that_of_its_definition() -> None:
    samples, truth = draw(6, 1.0), draw(3, 1.0, seed=1)
    scores = energy_scores(samples, truth)
    for i in range(3):
        one, other, y = samples[i : i + 1], samples[i + 3 : i + 4], truth[i : i + 1]
        expected = (distance(one, y) + distance(other, y)) / 2 - distance(one, other) / 2
        assert torch.allclose((scores[i] + scores[i + 3]) / 2, expected)


@pytest.mark.parametrize(("std", "mean"), [(0.05, 0.0), (0.7, 0.0), (1.4, 0.0), (1.0, 0.3)])
def test_the_true_distribution_scores_best(std: float, mean: float) -> None:
    """Also better than their mean, which is nearest to the truth."""
    count = 2000
    truth = draw(count, 1.0, seed=1)
    best = energy_scores(draw(2 * count, 1.0, seed=2), truth).mean()
    assert best + 5e-3 < energy_scores(draw(2 * count, std, mean, seed=3), truth).mean()


@pytest.mark.parametrize(("spread", "std_learnt"), [(1.0, 1.0), (0.5, 0.378), (0.0, 0.0)])
def test_what_learns_from_it_learns_the_spread(spread: float, std_learnt: float) -> None:
    """Of many independent numbers, whose distances hardly vary: s of `spread` / sqrt(2 - `spread`^2)."""
    std = torch.tensor(0.1, requires_grad=True)
    optimizer = torch.optim.Adam([std], 0.05)
    for step in range(120):
        optimizer.zero_grad()
        samples, truth = draw(64, 1.0, seed=2 * step) * std, draw(32, 1.0, seed=2 * step + 1)
        energy_scores(samples, truth, spread).mean().backward()
        optimizer.step()
    assert std.item() == pytest.approx(std_learnt, abs=0.1)


def test_equal_pictures_have_a_gradient() -> None:
    samples = torch.zeros(2, 3, 4, 4, requires_grad=True)
    energy_scores(samples, torch.zeros(1, 3, 4, 4)).sum().backward()
    assert samples.grad is not None and samples.grad.isfinite().all()
