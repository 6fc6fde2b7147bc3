"""How photos are spoilt: each part against what it claims to be."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from upscale.images.pixels import from_float, to_float
from upscale.images.resize import resize
from upscale.training.degrade import REDUCTIONS, blur, degrade, jpeg, quantize, sensor_noise

LEVEL = 2 / 255  # one 8-bit level in [-1, 1]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def hr() -> Tensor:
    """Soft pictures of whole 8-bit levels, [4, 3, 32, 48]."""
    coarse = torch.rand(4, 3, 6, 8, generator=generator()) * 1.4 - 0.7  # Pillow clips between its two passes
    return quantize(torch.nn.functional.interpolate(coarse, size=(32, 48), mode="bicubic"))


def levels(x: Tensor) -> np.ndarray:
    return from_float(x.permute(1, 2, 0).numpy(), np.uint8)


def test_the_generator_decides_everything(hr: Tensor) -> None:
    one, again, other = (degrade(hr, 4, 1.0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_lr_images_are_what_an_8_bit_file_holds(scale: int, share: float, hr: Tensor) -> None:
    before = hr.clone()
    lr = degrade(hr, scale, share, generator())
    assert lr.shape == (4, 3, 32 // scale, 48 // scale) and lr.dtype == torch.float32
    assert lr.abs().max() <= 1
    steps = (lr + 1) * 127.5
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert torch.equal(hr, before)


@pytest.mark.parametrize("scale", [2, 4])
def test_clean_examples_are_pillows_bicubic(scale: int, hr: Tensor) -> None:
    lr = degrade(hr, scale, 0.0, generator())
    for image, small in zip(hr, lr, strict=True):
        expected = to_float(resize(levels(image), (48 // scale, 32 // scale), resample="bicubic"))
        assert np.abs(small.permute(1, 2, 0).numpy() - expected).max() <= LEVEL + 1e-5


def test_the_share_of_spoilt_examples(hr: Tensor) -> None:
    many = hr[:1].expand(400, -1, -1, -1)
    clean = degrade(hr[:1], 4, 0.0, generator())
    spoilt = (degrade(many, 4, 0.3, generator()) != clean).flatten(1).any(1)
    assert 0.2 < spoilt.float().mean() < 0.4


@pytest.mark.parametrize("reduce", REDUCTIONS, ids=lambda f: f.__name__)
def test_reductions_keep_the_mean(reduce: type, hr: Tensor) -> None:
    small = reduce(hr, 4)
    assert small.shape == (4, 3, 8, 12)
    flat = reduce(torch.full((1, 3, 8, 8), 0.3), 4)
    assert torch.allclose(flat, torch.full_like(flat, 0.3))
    assert abs(float(small.mean() - hr.mean())) < 0.03


def test_blur_keeps_flat_areas_and_spreads_points() -> None:
    flat = torch.full((1, 3, 20, 20), 0.4)
    sigma = torch.tensor([1.5])
    assert torch.allclose(blur(flat, sigma, sigma, torch.zeros(1)), flat, atol=1e-6)
    point = torch.zeros(1, 1, 31, 31)
    point[0, 0, 15, 15] = 1
    sigma_x, sigma_y = torch.tensor([1.5]), torch.tensor([0.8])
    grid = torch.arange(31.0) - 15
    for angle, (along_x, along_y) in ((0.0, (1.5, 0.8)), (torch.pi / 2, (0.8, 1.5))):
        spread = blur(point, sigma_x, sigma_y, torch.tensor([angle]))[0, 0]
        assert spread.sum() == pytest.approx(1, abs=1e-5)
        assert (spread.sum(0) * grid**2).sum().sqrt() == pytest.approx(along_x, rel=0.05)
        assert (spread.sum(1) * grid**2).sum().sqrt() == pytest.approx(along_y, rel=0.05)


def test_every_example_has_its_own_blur() -> None:
    point = torch.zeros(2, 1, 15, 15)
    point[:, 0, 7, 7] = 1
    sigma = torch.tensor([0.05, 2.0])  # the first is none at all
    spread = blur(point, sigma, sigma, torch.zeros(2))
    assert torch.allclose(spread[0], point[0]) and spread[1].max() < 0.1


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


@pytest.mark.parametrize(("quality", "subsampling"), [(30, 2), (75, 2), (95, 0)])
def test_jpeg_is_what_pillow_writes_and_reads(quality: int, subsampling: int, hr: Tensor) -> None:
    out = jpeg(hr, [quality, 0, quality, 0])
    file = io.BytesIO()
    Image.fromarray(levels(hr[2])).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as image:
        assert np.array_equal(levels(out[2]), np.asarray(image))
    assert torch.equal(out[1], hr[1]) and torch.equal(out[3], hr[3])
    assert not torch.equal(out[0], hr[0])


def test_quantizing_rounds_and_clips() -> None:
    x = torch.tensor([-3.0, -1.0, 0.4 * LEVEL, 1.0, 7.0])
    q = quantize(x)
    assert q.tolist()[:2] == [-1, -1] and q.tolist()[3:] == [1, 1]
    assert (q - x.clamp(-1, 1)).abs().max() <= LEVEL / 2 + 1e-6
    assert torch.equal(quantize(q), q)


def test_narrow_kernels_hold_no_denormal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would make the convolution many times slower."""
    seen = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda x, w, **more: seen.append(w) or convolve(x, w, **more)
    )
    sigma = torch.linspace(0.3, 2.8, 26)
    blur(torch.zeros(26, 3, 16, 16), sigma, 0.6 * sigma, sigma)
    (kernels,) = seen
    assert not ((kernels > 0) & (kernels < torch.finfo(torch.float32).tiny)).any()
    assert torch.allclose(kernels.sum((1, 2, 3)), torch.ones(78))
