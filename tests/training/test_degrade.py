"""How photos are spoilt: each part against what it claims to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from upscale.images.pixels import from_float, to_float
from upscale.images.resize import resize
from upscale.training.examples.degrade import (
    add_noise,
    blur,
    degrade,
    grain,
    make_soft,
    photon_noise,
    qualities,
    quantize,
    sensor_noise,
    soften,
    unsharp,
)
from upscale.training.examples.jpeg import jpeg
from upscale.training.examples.reductions import OTHER_REDUCTIONS, REDUCTIONS, reduce_area, skip_nearest
from upscale.training.recipe import Degradation

LEVEL = 2 / 255  # one 8-bit level in [-1, 1]
CLEAN, SPOILT = Degradation(share=0.0), Degradation(share=1.0)
EVERYTHING = Degradation(share=1.0, jpeg_before=0.6, poisson=0.6, grain=0.4, sharpen=0.6, webp=0.6, soft=0.6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def hr() -> Tensor:
    """Soft pictures of whole 8-bit levels, [4, 3, 32, 48]."""
    coarse = torch.rand(4, 3, 6, 8, generator=generator()) * 1.4 - 0.7  # Pillow clips between its two passes
    return quantize(torch.nn.functional.interpolate(coarse, size=(32, 48), mode="bicubic"))


def levels(x: Tensor) -> np.ndarray:
    return from_float(x.permute(1, 2, 0).numpy(), np.uint8)


@pytest.mark.parametrize("how", [SPOILT, EVERYTHING], ids=["as ever", "everything"])
def test_the_generator_decides_everything(how: Degradation, hr: Tensor) -> None:
    one, again, other = (degrade(hr, 4, how, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("how", [CLEAN, Degradation(share=0.5), SPOILT, EVERYTHING])
def test_lr_images_are_what_an_8_bit_file_holds(scale: int, how: Degradation, hr: Tensor) -> None:
    before = hr.clone()
    lr = degrade(hr, scale, how, generator())
    assert lr.shape == (4, 3, 32 // scale, 48 // scale) and lr.dtype == torch.float32
    assert lr.abs().max() <= 1
    steps = (lr + 1) * 127.5
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert torch.equal(hr, before)


@pytest.mark.parametrize("scale", [2, 4])
def test_clean_examples_are_pillows_bicubic(scale: int, hr: Tensor) -> None:
    lr = degrade(hr, scale, CLEAN, generator())
    for image, small in zip(hr, lr, strict=True):
        expected = to_float(resize(levels(image), (48 // scale, 32 // scale), resample="bicubic"))
        assert np.abs(small.permute(1, 2, 0).numpy() - expected).max() <= LEVEL + 1e-5


def test_the_share_of_spoilt_examples(hr: Tensor) -> None:
    many = hr[:1].expand(400, -1, -1, -1)
    clean = degrade(hr[:1], 4, CLEAN, generator())
    spoilt = (degrade(many, 4, Degradation(share=0.3), generator()) != clean).flatten(1).any(1)
    assert 0.2 < spoilt.float().mean() < 0.4


@pytest.mark.parametrize("spared", [0, 1, 4])
def test_the_last_are_spared(spared: int, hr: Tensor) -> None:
    clean, lr = degrade(hr, 4, CLEAN, generator()), degrade(hr, 4, EVERYTHING, generator(1), spared)
    same = [torch.equal(one, other) for one, other in zip(clean, lr, strict=True)]
    assert same == [False] * (4 - spared) + [True] * spared


def test_resampled_examples_are_what_pillow_and_torch_make(hr: Tensor) -> None:
    """Each is one of the kinds, and all kinds are there."""
    many = hr[:1].expand(40, -1, -1, -1)
    lr = degrade(many, 4, Degradation(share=0.0, resampled=1.0), generator())
    size = (12, 8)
    expected = [
        to_float(resize(levels(hr[0]), size, resample=name)) for name in ("box", "lanczos", "nearest")
    ]
    skipping = torch.nn.functional.interpolate(hr[:1], size=size[::-1], mode="bilinear")[0]
    expected.append(skipping.permute(1, 2, 0).numpy())
    apart = np.stack(
        [[np.abs(small.permute(1, 2, 0).numpy() - kind).max() for kind in expected] for small in lr]
    )
    assert (apart.min(1) <= LEVEL + 1e-5).all()
    assert set(apart.argmin(1)) == {0, 1, 2, 3}


def test_the_share_of_resampled_examples(hr: Tensor) -> None:
    many = hr[:1].expand(400, -1, -1, -1)
    clean = degrade(hr[:1], 4, CLEAN, generator())
    other = (degrade(many, 4, Degradation(share=0.0, resampled=0.3), generator()) != clean).flatten(1).any(1)
    assert 0.2 < other.float().mean() < 0.4


def test_half_of_the_pages_are_as_on_screens_and_some_have_steps(hr: Tensor) -> None:
    many = hr[:1].expand(400, -1, -1, -1)
    lr = degrade(many, 4, Degradation(share=1.0, soft=1.0, resampled=0.1), generator(), spared=400)
    clean = degrade(hr[:1], 4, CLEAN, generator())[0]
    averaged = quantize(reduce_area(hr[:1], 4))[0]
    skipped = quantize(skip_nearest(hr[:1], 4))[0]
    made = [[torch.equal(small, kind) for kind in (clean, averaged, skipped)] for small in lr]
    assert all(sum(kind) == 1 for kind in made)
    _, on_screen, with_steps = (sum(kind) for kind in zip(*made, strict=True))
    assert 150 < on_screen < 250 and 30 < with_steps < 90


def test_a_share_of_the_pages_is_jpeg(hr: Tensor) -> None:
    """Of no lower quality than asked for: by Pillow's own, the further away the lower."""
    many = hr[:1].expand(400, -1, -1, -1)
    how = Degradation(share=1.0, pages_jpeg=0.3, pages_quality=80)
    lr = degrade(many, 4, how, generator(), spared=400)
    clean = degrade(hr[:1], 4, CLEAN, generator())
    apart = (lr - clean).square().flatten(1).mean(1)
    assert 0.2 < (apart > 0).float().mean() < 0.4
    made = {q: (quantize(jpeg(clean, [q])) - clean).square().mean() for q in (80, 95)}
    found = apart[apart > 0]
    assert made[95] / 2 < found.min() < found.max() < made[80] * 2


@pytest.mark.parametrize("reduce", {*REDUCTIONS, *OTHER_REDUCTIONS}, ids=lambda f: f.__name__)
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


def test_noise_has_no_colour_where_a_picture_has_none(hr: Tensor) -> None:
    """A grey file holds nothing else; one that is toned is a colour file."""
    gray = hr[:1, :1].expand(60, 3, -1, -1)
    how = replace(EVERYTHING, sharpen=0.0, webp=0.0)
    out = degrade(gray, 4, how, generator())
    assert (out == out[:, :1]).all()
    toned = gray * torch.tensor([1.0, 0.95, 0.9])[:, None, None]
    assert not (degrade(toned, 4, how, generator()).diff(dim=1).diff(dim=3).abs() < 3 * LEVEL).all()


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


@pytest.mark.parametrize("part", ["jpeg_before", "poisson", "grain", "sharpen", "webp"])
def test_each_part_of_its_own_changes_spoilt_examples_only(part: str, hr: Tensor) -> None:
    many = hr.repeat(6, 1, 1, 1)
    without = degrade(many, 4, Degradation(share=0.5), generator())
    clean = degrade(many, 4, CLEAN, generator())
    changed = (
        (degrade(many, 4, Degradation(share=0.5, **{part: 1.0}), generator()) != without).flatten(1).any(1)
    )
    spoilt = (without != clean).flatten(1).any(1)
    assert changed.sum() >= 4 and not (changed & ~spoilt).any()


def test_soft_examples_are_spoilt_ones_and_others(hr: Tensor) -> None:
    many = hr[:1].expand(400, -1, -1, -1)
    clean, spoilt, both = (
        degrade(many, 4, how, generator())
        for how in (CLEAN, Degradation(share=0.5), Degradation(share=0.5, soft=0.3))
    )
    untouched = (spoilt == clean).flatten(1).all(1)
    changed = (both != clean).flatten(1).any(1) & untouched
    assert 0.2 < changed.sum() / untouched.sum() < 0.4
    contrast = clean[0].std()
    assert (both[changed].std((1, 2, 3)) < contrast).all()
    sharp, soft = (degrade(many, 4, Degradation(share=1.0, soft=share), generator()) for share in (0.0, 1.0))
    assert soft.std((1, 2, 3)).mean() < sharp.std((1, 2, 3)).mean() - 0.02 * contrast


def test_soft_ones_are_blurred_or_enlarged() -> None:
    """A point keeps its sum and spreads; what is enlarged by the largest factor has no finer detail left."""
    point = torch.zeros(2, 1, 33, 33)
    point[:, :, 16, 16] = 1
    one, most = make_soft(point, torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]]))
    at = torch.arange(33.0) - 16
    assert one.sum() == pytest.approx(1, abs=1e-4) and most.sum() == pytest.approx(1, abs=1e-4)
    assert float((most[0].sum(0) * at**2).sum()) == pytest.approx(1.2**2, rel=0.05)
    checks = ((torch.arange(32)[:, None] + torch.arange(32)) % 2).float()[None, None]
    for kind in (0.5, 0.9):  # bicubic, bilinear
        enlarged = make_soft(checks, torch.tensor([[0.9, 0.999, kind, 0.0]]))
        assert enlarged.shape == checks.shape and enlarged.std() < 0.03
        assert make_soft(checks, torch.tensor([[0.9, 0.0, kind, 0.0]])).std() > enlarged.std()


def test_soft_ones_in_blocks() -> None:
    """Of 2x2 or 3x3 pixels, anywhere, each as light as what it hides."""
    picture = torch.rand(1, 3, 24, 24, generator=generator()) * 0.2 + torch.linspace(-0.5, 0.5, 24)
    corners = set()
    for size, side in ((0.9, 2), (0.1, 3)):
        for place in torch.linspace(0, 0.999, 9).tolist():
            out = make_soft(picture, torch.tensor([[0.9, size, 0.1, place]]))
            rows, columns = (
                out.diff(dim=axis).ne(0).flatten(0, 1).any(0).any(3 - axis).nonzero()[:, 0] + 1
                for axis in (2, 3)
            )
            assert (rows.diff() == side).all() and (columns.diff() == side).all()
            corners.add((side, int(rows[0]) % side, int(columns[0]) % side))
            assert float((out - picture).mean()) == pytest.approx(0, abs=0.03)
    assert len(corners) == 4 + 9  # every place that a block of either size may begin at


def test_jpeg_before_the_reduction_is_that_of_the_large_picture(hr: Tensor) -> None:
    """Of what is neither blurred nor noisy nor saved again, the reduction of the JPEG is what is left."""
    found = 0
    for seed in range(30):
        lr = degrade(hr[:1], 4, Degradation(share=1.0, jpeg_before=1.0), generator(seed))
        g = generator(seed)
        u = torch.rand(1, 10, generator=g)[0]
        if u[1] >= 0.5 and u[6] >= 0.5 and u[8] > 0.667:
            (quality,) = qualities(torch.rand(1, 2, generator=g), 1.0)
            expected = quantize(REDUCTIONS[int(u[5] * 3)](jpeg(hr[:1], [quality]), 4))
            assert torch.allclose(lr, expected, atol=LEVEL + 1e-6) and quality >= 30
            assert not torch.equal(lr, quantize(REDUCTIONS[int(u[5] * 3)](hr[:1], 4)))
            found += 1
    assert found


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


def test_unsharp_masking_steepens_edges_and_keeps_flat_areas() -> None:
    edge = torch.full((2, 3, 24, 24), -0.5)
    edge[..., 12:] = 0.5
    sigma = torch.tensor([1.0, 1.0])
    sharp = unsharp(edge, sigma, torch.tensor([0.0, 0.8]))
    assert torch.allclose(sharp[0], edge[0], atol=1e-6)
    assert torch.allclose(sharp[1, ..., :5], edge[1, ..., :5], atol=1e-6)
    row = sharp[1, 0, 10]
    # Beside the edge a Gaussian of std 1 leaves 0.5 - 0.3085 of the step: pixel centres are half a pixel off.
    kernel = torch.exp(-0.5 * torch.arange(-6.0, 7) ** 2)
    low = float((kernel / kernel.sum())[7:].sum())
    assert row[12] == pytest.approx(0.5 + 0.8 * low, abs=1e-4) and row[11] == pytest.approx(
        -0.5 - 0.8 * low, abs=1e-4
    )


def test_conditioning_blur_takes_its_share_over_three_pixels(hr: Tensor) -> None:
    point = torch.full((400, 1, 9, 9), 0.0)
    point[:, 0, 4, 4] = 1
    out = soften(point, 0.5, generator())
    blurred = (out != point).flatten(1).any(1)
    assert 0.4 < blurred.float().mean() < 0.6
    peaks = out[blurred][:, 0, 4, 4]
    assert 0.4 < peaks.min() < 0.46 and 0.84 < peaks.max() < 0.92  # of std 0.6 and 0.4
    assert torch.count_nonzero(out[blurred][0]) == 9 and torch.allclose(out.sum((1, 2, 3)), torch.ones(400))
    assert torch.equal(out, soften(point, 0.5, generator())) and torch.equal(soften(hr, 0.0, generator()), hr)


def test_qualities() -> None:
    u = torch.tensor([[0.1, 0.0], [0.5, 1.0], [0.51, 0.5]])
    assert qualities(u, 0.5) == [30, 95, 0]


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
