"""What the program around it has set up in torch does not change a result, and is not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from upscale.diffusion import mixture
from upscale.engine.upscaler import Upscaler
from upscale.images.picture import Picture
from upscale.networks.residual_unet import onednn

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


@pytest.fixture(autouse=True)
def as_at_first() -> Iterator[None]:
    """Forget what is kept for all models, and put torch's defaults back."""
    mixture._filters.cache_clear()
    onednn.serves.cache_clear()
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.parametrize(
    "choose",
    [
        lambda: torch.set_default_dtype(torch.bfloat16),
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_device("meta"),
    ],
    ids=["bf16", "float64", "device"],
)
def test_defaults_of_torch(choose: Callable[[], None], tiny: str, load: Load, draw: Draw) -> None:
    asked = {"steps": 2, "samples": 2, "fidelity": 0.3, "map_uncertainty": True}
    choose()
    found = load(tiny, **asked).upscale(draw(20, 14), (80, 56))
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    usual = load(tiny, **asked).upscale(draw(20, 14), (80, 56))
    assert np.array_equal(found.color, usual.color)
    assert found.uncertainty is not None and usual.uncertainty is not None
    assert np.array_equal(found.uncertainty, usual.uncertainty)


def test_random_numbers_of_others(tiny: str, load: Load, draw: Draw) -> None:
    before = torch.get_rng_state().clone()
    load(tiny, sampler="ddpm").upscale(draw(20, 14), (80, 56))
    assert torch.equal(torch.get_rng_state(), before)
