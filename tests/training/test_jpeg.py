"""JPEG's marks: Pillow's own on the CPU, and the same on tensors within a stated tolerance."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from upscale.images.pixels import from_float
from upscale.training.examples.degrade import quantize
from upscale.training.examples.jpeg import CHROMA, LUMA, jpeg, on_tensors, through_pillow

EXAMPLE = Path(__file__).parents[2] / "examples" / "chelsea.jpg"


def crops(height: int, width: int, count: int = 4) -> Tensor:
    """Pieces of a photograph, reduced so that they hold detail, [count, 3, height, width]."""
    with Image.open(EXAMPLE) as image:
        small = np.asarray(image.convert("RGB").resize((226, 150), Image.Resampling.BOX))
    x = torch.from_numpy(small.copy()).permute(2, 0, 1).float() / 127.5 - 1
    corners = [(0, 0), (20, 90), (11, 37), (3, 83)][:count]
    return torch.stack([x[:, top : top + height, left : left + width] for top, left in corners])


def levels(x: Tensor) -> np.ndarray:
    return from_float(x.permute(1, 2, 0).numpy(), np.uint8)


@pytest.mark.parametrize(("quality", "subsampling"), [(30, 2), (75, 2), (95, 0)])
def test_on_the_cpu_it_is_what_pillow_writes_and_reads(quality: int, subsampling: int) -> None:
    x = crops(32, 48)
    out = jpeg(x, [quality, 0, quality, 0])
    file = io.BytesIO()
    Image.fromarray(levels(x[2])).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as image:
        assert np.array_equal(levels(out[2]), np.asarray(image))
    assert torch.equal(out[1], x[1]) and torch.equal(out[3], x[3])
    assert not torch.equal(out[0], x[0])


@pytest.mark.parametrize("size", [(128, 128), (37, 51), (33, 16), (8, 8), (1, 5)], ids=str)
@pytest.mark.parametrize("subsampled", [True, False], ids=["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [30, 60, 75, 95])
def test_tensors_give_pillows_pictures(quality: int, subsampled: bool, size: tuple[int, int]) -> None:
    """Tolerance: 0.08 levels in the mean, 94 of 100 values equal, 98 within one level, none beyond 24."""
    x = crops(*size)
    expected = through_pillow(x, [quality] * 4, subsampled)
    apart = (on_tensors(x, [quality] * 4, subsampled) - expected).abs() * 127.5
    assert apart.mean() < 0.08 and apart.max() < 24
    assert (apart < 0.5).float().mean() > 0.94 and (apart < 1.5).float().mean() > 0.98
    assert apart.mean() < 0.1 * (expected - x).abs().mean() * 127.5  # of the marks that JPEG leaves


def test_every_picture_has_its_own_quality() -> None:
    x = crops(40, 48)
    qualities = [30, 60, 95, 5]
    together = on_tensors(x, qualities, True)
    for picture, quality, out in zip(x, qualities, together, strict=True):
        torch.testing.assert_close(on_tensors(picture[None], [quality], True)[0], out, atol=1e-6, rtol=0)


def test_flat_pictures_and_the_tables_of_the_standard() -> None:
    gray = torch.full((1, 3, 16, 16), 0.5)
    for quality in (30, 75, 95):
        assert (on_tensors(gray, [quality], True) - quantize(gray)).abs().max() <= 8 / 127.5
    for text, first, total in ((LUMA, "16", 3688), (CHROMA, "17", 5505)):
        words = text.split()
        assert len(words) == 64 and words[0] == first and sum(map(int, words)) == total


def test_the_tables_are_those_that_pillow_writes() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=50)
    with Image.open(file) as image:
        tables = image.quantization  # type: ignore[attr-defined]
    assert sorted(tables[0]) == sorted(map(int, LUMA.split()))
    assert sorted(tables[1]) == sorted(map(int, CHROMA.split()))


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    x = crops(64, 48)
    out = jpeg(x.cuda(), [30, 0, 75, 95])
    assert out.is_cuda and torch.equal(out[1].cpu(), x[1])
    assert (out.cpu() - jpeg(x, [30, 0, 75, 95])).abs().mean() * 127.5 < 0.08
