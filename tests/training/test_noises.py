"""Noise is as strong, and as related, as it claims to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscale.training.examples.noises import add_noise, grain, photon_noise, sensor_noise

LEVEL = 2 / 255  # one 8-bit level in [-1, 1]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("brightness", [-1.0, 0.0, 1.0])
def test_noise_grows_with_brightness(brightness: float) -> None:
    read, shot = 4.0, 6.0
    x = torch.full((2, 3, 100, 100), brightness)
    noisy = sensor_noise(
        x, torch.full((2,), read), torch.full((2,), shot), torch.tensor([False, True]), generator()
    )
    noise = (noisy - x) * 127.5
    expected = (read**2 + (brightness + 1) / 2 * shot**2) ** 0.5
    assert noise[0].std() == pytest.approx(expected, rel=0.03)
    assert abs(float(noise.mean())) < 0.1
    assert torch.allclose(noise[1, 0], noise[1, 1], atol=1e-4)  # grey noise is the same in all channels
    assert not torch.allclose(noise[0, 0], noise[0, 1], atol=1e-4)


@pytest.mark.parametrize(("level", "size"), [(3.0, 0.8), (10.0, 1.2)])
def test_grain_is_alike_in_neighbouring_pixels(level: float, size: float) -> None:
    """White noise behind a Gaussian of that std is correlated by exp(-d^2 / (4 std^2)) at a distance d."""
    x, two = torch.full((2, 3, 200, 200), 0.2), torch.ones(2)
    noise = (grain(x, level * two, size * two, torch.tensor([False, True]), generator()) - x) * 127.5
    for example in noise:
        assert example.std() == pytest.approx(level, rel=0.02) and abs(float(example.mean())) < 0.1 * level
        for distance in (1, 2):
            pairs = torch.stack([example[:, :, distance:].flatten(), example[:, :, :-distance].flatten()])
            assert torch.corrcoef(pairs)[0, 1] == pytest.approx(
                float(np.exp(-((distance / size) ** 2) / 4)), abs=0.03
            )
    assert torch.equal(noise[1, 0], noise[1, 1]) and not torch.allclose(noise[0, 0], noise[0, 1])


@pytest.mark.parametrize(("share", "alike"), [(0.0, 0), (0.5, 15), (1.0, 30)])
def test_noise_that_is_told_of_may_be_grain(share: float, alike: int) -> None:
    """Of the strength that is told, whatever its kind."""
    x = torch.zeros(30, 3, 60, 60)
    x[:, 0] = 0.1
    noise = add_noise(x, torch.full((30,), 0.06), share, generator()) - x
    assert noise.std((1, 2, 3)).sub(0.06).abs().max() < 0.004
    related = (noise[..., 1:] * noise[..., :-1]).mean((1, 2, 3)) / 0.06**2
    assert abs(int((related > 0.05).sum()) - alike) <= (0 if share in (0, 1) else 5)
    shared = torch.isclose(noise[:, :1], noise[:, 1:], atol=1e-6).flatten(1).all(1)
    assert abs(int(shared.sum()) - alike / 2) <= 5


def test_noise_that_is_told_of_has_no_colour_where_a_picture_has_none() -> None:
    x = torch.zeros(6, 3, 20, 20)
    x[3:, 0] = 0.1
    noise = add_noise(x, torch.tensor([0.0, 0.1, 0.1, 0.1, 0.1, 0.1]), 0.0, generator()) - x
    assert (noise[0] == 0).all() and (noise[1:].std((1, 2, 3)) > 0.05).all()
    assert (noise[:3] == noise[:3, :1]).all() and not torch.isclose(noise[3:, 0], noise[3:, 1]).all()


@pytest.mark.parametrize("brightness", [-0.8, 0.0, 1.0])
def test_photons_are_counted(brightness: float) -> None:
    """Variance in proportion to brightness, whole numbers of photons, grey where asked for."""
    shot = torch.tensor([6.0, 6.0])
    x = torch.full((2, 3, 100, 100), brightness)
    noisy = photon_noise(x, shot, torch.tensor([False, True]), generator())
    noise = (noisy - x) * 127.5
    assert noise[0].std() == pytest.approx(6 * ((brightness + 1) / 2) ** 0.5, rel=0.03)
    assert abs(float(noise.mean())) < 0.1
    counts = (noisy[0] + 1) / 2 * (255 / 6) ** 2
    assert torch.allclose(counts, counts.round(), atol=2e-3)
    assert torch.allclose(noise[1, 0], noise[1, 1], atol=1e-4)
    assert not torch.allclose(noise[0, 0], noise[0, 1], atol=1e-4)


def test_there_is_no_photon_in_the_dark_and_little_noise_without_shot() -> None:
    x = torch.full((1, 3, 20, 20), -1.0)
    assert torch.equal(photon_noise(x, torch.tensor([8.0]), torch.tensor([False]), generator()), x)
    x = torch.full((1, 3, 20, 20), 0.5)
    still = photon_noise(x, torch.tensor([0.0]), torch.tensor([False]), generator())
    assert (still - x).abs().max() < 0.5 * LEVEL
