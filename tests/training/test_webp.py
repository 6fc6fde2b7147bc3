"""WebP's marks are those of the files that Pillow writes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from upscale.images.pixels import from_float
from upscale.training.examples.degrade import degrade, qualities, quantize
from upscale.training.examples.pillow import webp
from upscale.training.examples.reductions import reduce_bicubic
from upscale.training.recipe import Degradation


@pytest.fixture
def hr() -> torch.Tensor:
    """Soft pictures of whole 8-bit levels, [3, 3, 64, 96]."""
    coarse = torch.rand(3, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.7
    return quantize(torch.nn.functional.interpolate(coarse, size=(64, 96), mode="bicubic"))


def test_it_is_what_a_file_decodes_to(hr: torch.Tensor) -> None:
    out = webp(hr, [40, 0, 90])
    assert torch.equal(out[1], hr[1])
    for picture, quality, made in ((hr[0], 40, out[0]), (hr[2], 90, out[2])):
        file = io.BytesIO()
        Image.fromarray(from_float(picture.permute(1, 2, 0).numpy(), np.uint8)).save(
            file, "WEBP", quality=quality
        )
        with Image.open(file) as image:
            assert np.array_equal(from_float(made.permute(1, 2, 0).numpy(), np.uint8), np.asarray(image))
    assert torch.equal(webp(hr, [0, 0, 0]), hr)


def test_it_takes_the_place_of_the_last_jpeg(hr: torch.Tensor) -> None:
    """Of what is neither blurred nor noisy and reduced by the bicubic kernel, a WebP is what is left."""
    found = 0
    for seed in range(40):
        lr = degrade(hr[:1], 2, Degradation(share=1.0, webp=1.0), torch.Generator().manual_seed(seed))
        u = torch.rand(1, 10, generator=torch.Generator().manual_seed(seed))
        if u[0, 1] >= 0.5 and u[0, 6] >= 0.5 and u[0, 5] < 1 / 3 and u[0, 8] <= 0.667:
            expected = webp(quantize(reduce_bicubic(hr[:1], 2)), qualities(u[:, 8:], 1.0))
            assert torch.equal(lr, expected)
            found += 1
    assert found
