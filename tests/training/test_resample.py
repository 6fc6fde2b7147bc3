"""Resampling by matrices is what torch's interpolation and Pillow do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from upscale.training.examples.resample import resample

SIZES = [(24, 32), (6, 8), (96, 128), (24, 11)]


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_antialiased_interpolation(size: tuple[int, int], mode: str) -> None:
    x = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, size=size, mode=mode, antialias=True)
    torch.testing.assert_close(resample(x, *size, mode), expected, atol=2e-6, rtol=0)
    assert torch.equal(resample(x[0], *size, mode), resample(x, *size, mode)[0])


@pytest.mark.parametrize(("mode", "kernel"), [("bicubic", 3), ("bilinear", 2), ("lanczos", 1)])
def test_it_is_pillows_resize(mode: str, kernel: int) -> None:
    x = torch.rand(40, 56, generator=torch.Generator().manual_seed(0))
    expected = Image.fromarray(x.numpy()).resize((14, 10), Image.Resampling(kernel))
    torch.testing.assert_close(
        resample(x, 10, 14, mode), torch.from_numpy(np.array(expected)), atol=1e-6, rtol=0
    )
