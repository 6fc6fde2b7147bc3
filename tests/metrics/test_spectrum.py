"""The texture's surplus, on pictures whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from upscale.errors import InputError
from upscale.metrics.spectrum import radial_power, texture_surplus_db


def scene(alpha: float, *, limit: float = 1.0, factor: float = 1.0, size: int = 256) -> np.ndarray:
    """Noise whose power falls as f^-alpha, amplitudes above `limit` times `factor`; [size, size + 40]."""
    shape = (size, size + 40)
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    f[0, 0] = 1.0
    white = np.fft.rfft2(np.random.default_rng(0).standard_normal(shape))
    shaped = np.fft.irfft2(white * f ** (-alpha / 2) * np.where(f > limit, factor, 1.0), shape)
    return 128 + 30 * shaped / shaped.std()


@pytest.mark.parametrize("alpha", [1.6, 2.0, 2.6])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_power_law_has_no_surplus(alpha: float, scale: int) -> None:
    assert abs(texture_surplus_db(scene(alpha), scale)) < 1.0


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0])
def test_the_surplus_is_that_of_the_frequencies_that_the_input_lacks(factor: float) -> None:
    surplus = texture_surplus_db(scene(2.0, limit=1 / 8, factor=factor), 4)
    assert surplus == pytest.approx(20 * np.log10(factor), abs=1.5)


def test_interpolation_is_too_smooth_and_noise_too_grainy() -> None:
    pixels = np.clip(scene(2.0), 0, 255).round().astype(np.uint8)
    image = Image.fromarray(pixels)
    small = image.resize((image.width // 4, image.height // 4), Image.Resampling.BICUBIC)
    smooth = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))
    grainy = pixels + 60 * np.random.default_rng(1).standard_normal(pixels.shape)
    assert texture_surplus_db(smooth, 4) < -12 < -1 < texture_surplus_db(pixels, 4) + 0.5
    assert texture_surplus_db(grainy, 4) > texture_surplus_db(pixels, 4) + 3


def test_contrast_and_channels_change_nothing() -> None:
    plane = scene(2.0)
    colour = np.repeat(plane[:, :, None], 3, axis=2)
    assert texture_surplus_db(colour * 0.5 + 20, 4) == pytest.approx(texture_surplus_db(plane, 4), abs=1e-6)


def test_a_wave_is_found_at_its_frequency() -> None:
    x = np.arange(256)
    frequency, power = radial_power(np.sin(2 * np.pi * x / 8) * np.ones((200, 1)))
    assert frequency[power.argmax()] == pytest.approx(1 / 8, rel=0.1)
    assert (np.diff(frequency) > 0).all() and frequency.min() >= 0.5 * 2 / 200


@pytest.mark.parametrize("scale", [1.5, 4, 16])
@pytest.mark.parametrize(
    "pixels",
    [np.full(size, 85.0) for size in ((64, 64), (31, 64), (11, 64))]  # the window's rounding is no structure
    + [scene(2.0)[:h, :w] for h, w in ((1, 1), (1, 60), (2, 60), (3, 3), (60, 3), (4, 4), (6, 6))],
    ids=lambda pixels: "x".join(map(str, pixels.shape)),
)
def test_what_has_no_spectrum_is_refused(pixels: np.ndarray, scale: float) -> None:
    with pytest.raises(InputError, match="say nothing of a spectrum"):
        texture_surplus_db(pixels, scale)
