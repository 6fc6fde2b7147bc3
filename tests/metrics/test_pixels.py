"""PSNR, SSIM and consistency against closed forms, a direct computation and recorded figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from upscale.errors import InputError
from upscale.metrics.consistency import consistency
from upscale.metrics.luma import luma
from upscale.metrics.psnr import psnr_y
from upscale.metrics.ssim import ssim_y


def waves(height: int = 37, width: int = 50) -> np.ndarray:
    """A smooth colour picture, [H, W, 3] uint8."""
    y, x = np.mgrid[0:height, 0:width]
    phases = np.stack([x / 5 + y / 9, x / 3 - y / 7, x * y / 200], axis=2)
    return np.round(127.5 + 100 * np.sin(phases)).astype(np.uint8)


def noisy(pixels: np.ndarray, amount: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(7)
    return np.clip(np.round(pixels + amount * rng.standard_normal(pixels.shape)), 0, 255).astype(np.uint8)


def test_luma_is_16_for_black_and_235_for_white_and_bt601_between() -> None:
    primaries = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luma(primaries), [[16, 235, 81.481, 144.553, 40.966]], atol=1e-2)
    np.testing.assert_allclose(luma(np.full((2, 2, 1), 255, np.uint8)), 235, atol=1e-2)


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 9, 3), 100, np.uint8)
    # Grey differences of 5 become 5 * 219 / 255 in studio-swing luma.
    assert psnr_y(a, a + 5) == pytest.approx(20 * math.log10(255 / (5 * 219.0 / 255)), abs=1e-3)
    assert psnr_y(a[:, :, 0], a[:, :, 0] + 5) == pytest.approx(psnr_y(a, a + 5))
    assert psnr_y(a, a) == math.inf


def test_border_is_left_out() -> None:
    a = waves()
    b = a.copy()
    b[:4] = 0
    b[:, -4:] = 255
    assert psnr_y(a, b, border=4) == math.inf
    assert ssim_y(a, b, border=4) == pytest.approx(1.0, abs=1e-12)
    assert psnr_y(a, b, border=3) < 40


def test_ssim_equals_the_recorded_figure_of_scikit_image() -> None:
    # skimage.metrics.structural_similarity(luma(a), luma(b), data_range=255, gaussian_weights=True,
    # sigma=1.5, use_sample_covariance=False), scikit-image 0.26.0
    assert ssim_y(waves(), noisy(waves())) == pytest.approx(0.927459479770714, abs=1e-9)


def test_ssim_equals_a_direct_computation() -> None:
    a, b = waves(14, 13), noisy(waves(14, 13))
    offset = np.arange(-5, 6)
    window = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(4):
        for left in range(3):
            x = luma(a)[top : top + 11, left : left + 11]
            y = luma(b)[top : top + 11, left : left + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim_y(a, b) == pytest.approx(np.mean(values), abs=1e-12)


def test_ssim_orders_and_is_one_for_equal_pictures() -> None:
    a = waves()
    assert ssim_y(a, a) == pytest.approx(1.0, abs=1e-12)
    assert 0 < ssim_y(a, noisy(a, 40)) < ssim_y(a, noisy(a, 5)) < 1
    assert ssim_y(a, noisy(a)) == pytest.approx(ssim_y(noisy(a), a))


def test_consistency_is_zero_for_what_downsamples_to_the_input() -> None:
    flat = np.full((8, 10, 3), 77, np.uint8)
    assert consistency(flat, np.full((32, 40, 3), 77, np.uint8)) == pytest.approx(0, abs=1e-12)
    assert consistency(flat, np.full((32, 40, 3), 87, np.uint8)) == pytest.approx((10 / 255) ** 2)


def test_consistency_downsamples_with_antialiased_bicubic() -> None:
    hr = noisy(waves(40, 48))
    lr = np.asarray(Image.fromarray(hr).resize((12, 10), Image.Resampling.BICUBIC))
    rounding = 1 / 12 / 255**2  # of the uint8 input, uniform within +-1/2
    assert consistency(lr, hr) == pytest.approx(rounding, rel=0.3)
    assert consistency(lr[:, :, 0], hr[:, :, 0]) == pytest.approx(rounding, rel=0.5)
    assert consistency(hr[::4, ::4], hr) > 100 * rounding  # no antialiasing


@pytest.mark.parametrize("metric", [psnr_y, ssim_y])
def test_pictures_that_cannot_be_compared_are_refused(metric) -> None:
    a = waves()
    with pytest.raises(InputError, match="cannot be compared"):
        metric(a, a[:-1])
    with pytest.raises(InputError, match="border of 20"):
        metric(a, a, border=20)
    with pytest.raises(ValueError, match="border of -3"):
        metric(a, a, border=-3)


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    with pytest.raises(InputError, match="11 pixels"):
        ssim_y(waves(10, 30), waves(10, 30))
