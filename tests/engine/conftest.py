"""Pictures drawn in code, and what makes them larger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from upscale.engine.upscaler import Upscaler
from upscale.images.picture import Picture
from upscale.images.resize import resize


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def draw() -> Callable[..., Picture]:
    """`draw(width, height, channels=3, dtype=np.uint8, seed=0)`: soft blobs with some grain."""

    def make(width: int, height: int, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> Picture:
        rng = np.random.default_rng(seed)
        blobs = resize(
            rng.uniform(0, 1, (5, 5, channels)).astype(np.float32), (width, height), resample="bicubic"
        )
        grain = rng.normal(0, 0.03, (height, width, channels))
        levels = np.clip(blobs + grain, 0, 1) * np.iinfo(dtype).max
        return Picture(levels.round().astype(dtype))

    return make


@pytest.fixture(scope="session")
def tiny(make_model: Callable[..., Path]) -> str:
    return str(make_model())


@pytest.fixture(scope="session")
def silent(make_model: Callable[..., Path]) -> str:
    """Predicts v = 0: one step of it is bicubic interpolation, up to a hundredth of the residual's std."""
    return str(make_model(silent=True, steps=1, residual_std=0.01))


@pytest.fixture
def load() -> Callable[..., Upscaler]:
    """Load a model on the CPU, in float32 unless told otherwise."""

    def make(model: str, **options: Any) -> Upscaler:
        return Upscaler(model, **{"device": "cpu", "dtype": "fp32", **options})

    return make
