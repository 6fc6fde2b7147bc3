"""Windows and blocks: all over a picture, whatever its shape."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale.metrics.jpeg import luma_step
from upscale.metrics.noise import noise_std
from upscale.metrics.windows import blocks, windows

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SHAPES = [(1, 1), (130, 64), (700, 900, 3), (5000, 40), (40, 5000), (4000, 3000), (4096, 4096), (4000, 6000)]


@pytest.mark.parametrize("most", [1, 16, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_windows_are_spread_over_rows_and_columns(shape: tuple[int, ...], most: int) -> None:
    found = windows(shape, 64, most)
    assert 1 <= len(found) <= most and len(set(map(str, found))) == len(found)
    possible = [len(range(0, max(1, side - 2), 64)) for side in shape[:2]]
    assert len(found) >= min(most, np.prod(possible)) * 0.6
    for axis, places in enumerate(possible):
        starts = sorted({window[axis].start for window in found})
        assert all(start % 64 == 0 and start < max(1, shape[axis] - 2) for start in starts)
        apart = np.diff([-64, *starts, 64 * places]) / 64  # in windows
        # as far from each other as from the borders, and as densely along both sides
        assert apart.max() <= 2 * apart.min() + 1 or len(starts) == 1
        if min(possible) > 2 * np.sqrt(most):
            assert len(starts) >= np.floor(np.sqrt(most)) * min(1, places / max(possible)) * 0.9


def test_strips_do_not_hide_what_is_beside_them() -> None:
    """White where once all windows of a photo of 12 megapixels lay."""
    noise = np.random.default_rng(0).normal(0, 8, (4000, 3000, 1))
    noisy = np.clip(128 + noise, 0, 255).astype(np.uint8)
    noisy[:, 768:896] = noisy[:, 2304:2432] = 255
    assert 6.5 < 255 * noise_std(noisy) < 9.5
    with Image.open(EXAMPLE) as image:
        part = np.asarray(image.convert("L"))[:500, :375]
    file = io.BytesIO()
    Image.fromarray(np.tile(part, (8, 8))).save(file, "JPEG", quality=60)
    compressed = np.array(Image.open(file))[:, :, None]
    compressed[:, 1472:1536] = 255
    assert luma_step(compressed) == pytest.approx(46, rel=0.08)


def test_blocks_are_whole() -> None:
    x = np.arange(20 * 17).reshape(20, 17)
    found = blocks(x)
    assert found.shape == (4, 8, 8)
    assert (found[0] == x[:8, :8]).all() and (found[3] == x[8:16, 8:16]).all()
