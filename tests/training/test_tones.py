"""Crops in other colours, and in none."""

from __future__ import annotations

import torch

from upscale.training.examples.tones import recolored, without_color


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_share_has_other_colours() -> None:
    """Every order of the channels comes; what is lighter stays lighter, black and white stay."""
    ramp = torch.linspace(0, 255, 16).view(4, 4)
    x = torch.stack([ramp, ramp.flip(0), ramp.t()]).expand(600, 3, 4, 4).clone()
    out = recolored(x, 0.5, generator())
    kept = (out == x).flatten(1).all(1)
    assert 0.4 < kept.float().mean() < 0.6
    other = out[~kept]
    assert other.min() >= 0 and other.max() <= 255
    ranks = x[0].flatten(1).argsort(1)  # of the places in each channel, by brightness
    sorts = other.flatten(2).argsort(2)  # [B, 3, places]
    same = (sorts[:, :, None] == ranks).all(3)  # [B, 3, 3]: which channel each is
    assert (same.sum(2) == 1).all() and (same.sum(1) == 1).all()
    assert len({tuple(order) for order in same.int().argmax(2).tolist()}) == 6
    power = (other.flatten(2).sort(2)[0][:, :, 8] / 255).log() / (ramp.flatten()[8] / 255).log()
    assert 2**-0.46 < power.min() < 0.9 and 1.5 < power.max() < 2**0.96
    assert (power.mean(1) > 1).float().mean() > 0.6
    assert torch.equal(recolored(x, 0.5, generator()), out)


def test_a_share_has_no_colour() -> None:
    """Half of these are grey, the others toned: light stays light, and red is above blue between."""
    x = (torch.rand(400, 3, 4, 4, generator=generator()) * 255).round()
    x[:, :, 0, 0], x[:, :, 0, 1] = 0, 255
    out = without_color(x, 0.5, generator())
    kept = (out == x).flatten(1).all(1)
    assert 0.4 < kept.float().mean() < 0.6
    faded, brightness = out[~kept], (x[~kept] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert torch.allclose(faded[:, 1], brightness, atol=0.01)
    gray = (faded == faded[:, 1:2]).flatten(1).all(1)
    assert 0.4 < gray.float().mean() < 0.6
    red, green, blue = faded[~gray].unbind(1)
    assert (red >= green - 0.01).all() and (green >= blue - 0.01).all()
    assert torch.allclose(faded[:, :, 0, 0], torch.tensor(0.0)) and (faded[:, :, 0, 1] > 254.9).all()
    mean = (red - blue).mean((1, 2))
    assert mean.min() < 5 and 15 < mean.max() < 40
