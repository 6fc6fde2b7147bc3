"""Where samples differ: the standard deviation, of what is left of them when they are made smaller."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from upscale.engine.spread import FULL_SPREAD, mean_and_spread
from upscale.images.resize import resize


def drawn(count: int, height: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.05 * torch.randn(2, 3, height, width, generator=generator) for _ in range(count)]


def test_they_are_those_of_the_samples() -> None:
    samples = drawn(5, 6, 7)
    mean, spread = mean_and_spread(iter(samples), with_spread=True)
    assert spread is not None
    assert torch.allclose(mean, torch.stack(samples).mean(0), atol=1e-6)
    assert torch.allclose((spread + 1) / 2 * FULL_SPREAD, torch.stack(samples).std(0), atol=1e-5)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (2.0, 2.0), (4.0, 1.6), (1.0, 3.0)], ids=str)
def test_what_is_made_smaller_differs_less(factors: tuple[float, float]) -> None:
    samples, size = drawn(8, 96, 96), tuple(round(96 / factor) for factor in factors)
    mean, spread = mean_and_spread(samples, with_spread=True, reduced_by=factors)
    smaller = [torch.from_numpy(resize(x[0].permute(1, 2, 0).numpy(), size)) for x in samples]
    expected = torch.stack(smaller).std(0).mean()
    assert spread is not None and spread.shape == (2, 3, 96, 96)
    assert float((spread[0] + 1).mean()) / 2 * FULL_SPREAD == pytest.approx(float(expected), rel=0.03)
    assert torch.equal(mean, mean_and_spread(samples, with_spread=False)[0])
