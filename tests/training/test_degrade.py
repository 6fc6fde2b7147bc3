"""How photos are spoilt: each part against what it claims to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from upscale.images.pixels import from_float, to_float
from upscale.images.resize import resize
from upscale.training.examples.degrade import degrade, qualities, quantize
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


def test_noise_has_no_colour_where_a_picture_has_none(hr: Tensor) -> None:
    """A grey file holds nothing else; one that is toned is a colour file."""
    gray = hr[:1, :1].expand(60, 3, -1, -1)
    how = replace(EVERYTHING, sharpen=0.0, webp=0.0)
    out = degrade(gray, 4, how, generator())
    assert (out == out[:, :1]).all()
    toned = gray * torch.tensor([1.0, 0.95, 0.9])[:, None, None]
    assert not (degrade(toned, 4, how, generator()).diff(dim=1).diff(dim=3).abs() < 3 * LEVEL).all()


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


def test_qualities() -> None:
    u = torch.tensor([[0.1, 0.0], [0.5, 1.0], [0.51, 0.5]])
    assert qualities(u, 0.5) == [30, 95, 0]


def test_quantizing_rounds_and_clips() -> None:
    x = torch.tensor([-3.0, -1.0, 0.4 * LEVEL, 1.0, 7.0])
    q = quantize(x)
    assert q.tolist()[:2] == [-1, -1] and q.tolist()[3:] == [1, 1]
    assert (q - x.clamp(-1, 1)).abs().max() <= LEVEL / 2 + 1e-6
    assert torch.equal(quantize(q), q)
