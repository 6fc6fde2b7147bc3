"""The noise field: a function of the place, and white."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.diffusion.noise import BLOCK_PX, INITIAL, NoiseField

FIELD = NoiseField(seed=12345, stage=1)
WHOLE = FIELD.window(3, -70, -70, 300, 330)  # rows -70 to 229, columns -70 to 259


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_window_is_a_crop_of_the_plane(data: st.DataObject) -> None:
    y, x = data.draw(st.integers(-70, 229)), data.draw(st.integers(-70, 259))
    height, width = data.draw(st.integers(1, 230 - y)), data.draw(st.integers(1, 260 - x))
    window = FIELD.window(3, y, x, height, width)
    assert window.dtype == np.float32 and window.shape == (3, height, width)
    assert np.array_equal(window, WHOLE[:, y + 70 : y + 70 + height, x + 70 : x + 70 + width])


def test_far_away_and_large_seeds_work() -> None:
    field = NoiseField(2**63 - 1)
    assert np.isfinite(field.window(0, 10**9, -(10**9), 3, 3)).all()


@pytest.mark.parametrize(
    "other",
    [
        NoiseField(12346, 1).window(3, 0, 0, 64, 64),
        NoiseField(12345, 0).window(3, 0, 0, 64, 64),
        FIELD.window(4, 0, 0, 64, 64),
        FIELD.window(INITIAL, 0, 0, 64, 64),
        FIELD.window(3, 64, 0, 64, 64),
        FIELD.window(3, 0, 64, 64, 64),
        FIELD.window(3, 64, 64, 64, 64),
        FIELD.window(3, -64, 0, 64, 64),
        NoiseField(12345 + 2**32, 1).window(3, 0, 0, 64, 64),
    ],
)
def test_seeds_stages_steps_and_places_are_independent(other: np.ndarray) -> None:
    one = FIELD.window(3, 0, 0, 64, 64)
    correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(one.size)


def test_is_a_unit_gaussian() -> None:
    z = NoiseField(7).window(0, 0, 0, 512, 512).astype(np.float64).ravel()
    n = z.size
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - expected) < 5 * np.sqrt(variance / n), power
    assert 4.2 < np.abs(z).max() < 6.8
    # Shares beyond 1, 2 and 3 standard deviations.
    for limit, share in ((1, 0.317311), (2, 0.0455003), (3, 0.0026998)):
        assert abs((np.abs(z) > limit).mean() - share) < 5 * np.sqrt(share / n), limit


def test_is_white() -> None:
    z = NoiseField(7).window(0, 0, 0, 256, 256).astype(np.float64)
    spectrum = np.abs(np.fft.fft2(z)) ** 2 / 256**2  # exponential with mean 1 in every bin
    assert abs(spectrum.mean() - 1) < 0.02
    bands = spectrum.reshape(3, 8, 32, 8, 32).mean(axis=(2, 4))
    assert np.abs(bands - 1).max() < 5 / 32
    limit = 5 / 256
    for shift in ((0, 1), (1, 0), (1, 1), (0, BLOCK_PX), (BLOCK_PX, 0)):
        assert np.abs((z * np.roll(z, shift, axis=(1, 2))).mean(axis=(1, 2))).max() < limit, shift
    channels = np.corrcoef(z.reshape(3, -1)) - np.eye(3)
    assert np.abs(channels).max() < limit


def test_is_the_same_forever() -> None:
    """The same seed gives the same picture in every version; recorded with NumPy 2.4.6."""
    recorded = [
        [-0.519978, 0.520285, 0.809864, -0.832839],
        [0.856438, 1.108509, -0.685760, 0.835068],
        [-0.284397, -0.359247, 1.586261, 1.826877],
        [-1.048995, -0.173885, 0.330840, 1.522597],
    ]
    window = NoiseField(seed=1, stage=2).window(3, 62, 62, 4, 4)
    np.testing.assert_allclose(window[0], recorded, atol=2e-6)


def test_channels() -> None:
    assert NoiseField(1, channels=1).window(0, 0, 0, 5, 6).shape == (1, 5, 6)
