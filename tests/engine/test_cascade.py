"""Different models for the stages: each in its place, loaded once, and named in what is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.engine.upscaler import Upscaler
from upscale.images.picture import Picture
from upscale.models.restorer import Restorer

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


@pytest.fixture(scope="session")
def twice(make_model: Callable[..., Path]) -> str:
    network = {"scale": 2, "width": 8, "inner_width": 16}
    network |= {"encoder_blocks": 1, "encoder_inner_blocks": 1, "outer_blocks": 1, "inner_blocks": 1}
    return str(make_model(name="twice", scale=2, steps=3, network={**network, "embedding": 8}))


def test_each_stage_has_its_model(tiny: str, twice: str, load: Load, draw: Draw) -> None:
    picture = draw(10, 7)
    both = load(f"{tiny},{twice}")
    assert (both.settings.model, both.settings.steps) == ("tiny,twice", load(tiny).settings.steps)
    result = both.upscale(picture, (80, 56)).color
    assert result.shape == (56, 80, 3)
    # The first stage is that of the first model alone; there is no second one at its own scale.
    first = load(tiny).upscale(picture, (40, 28)).color
    np.testing.assert_array_equal(both.upscale(picture, (40, 28)).color, first)
    assert np.abs(result.astype(int) - load(tiny).upscale(picture, (80, 56)).color).max() > 1
    swapped = load(f"{twice},{tiny}").upscale(picture, (80, 56)).color
    assert np.abs(result.astype(int) - swapped).max() > 1


def test_steps_are_counted_for_each(tiny: str, twice: str, load: Load, draw: Draw) -> None:
    seen: list[Any] = []
    both = load(f"{tiny},{twice}")
    both.upscale(draw(10, 7), (160, 112), seen.append)
    steps = load(tiny).settings.steps
    assert seen[-1].done == seen[-1].total == 70 * steps + 3 * (16 * 70) + 3 * (64 * 70)
    assert seen[-1].stages == 3


def test_a_model_named_twice_is_loaded_once(tiny: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = Restorer.load
    monkeypatch.setattr(Restorer, "load", lambda name, *args: (loaded.append(name), real(name, *args))[1])
    upscaler = load(f"{tiny},{tiny}")
    assert loaded == [tiny] and upscaler.settings.model == "tiny"


def test_a_cascade_of_one_model_is_that_model(tiny: str, load: Load, draw: Draw) -> None:
    picture = draw(9, 6)
    one, two = (load(name).upscale(picture, (72, 48)).color for name in (tiny, f"{tiny},{tiny}"))
    np.testing.assert_array_equal(one, two)


def test_colours_are_put_right_if_one_of_them_asks_for_it(
    tiny: str, make_model: Callable[..., Path], load: Load
) -> None:
    shifty = str(make_model(color_fix="wavelet"))
    assert load(f"{tiny},{shifty}").settings.color_fix == "wavelet"
    assert load(f"{tiny},{shifty}", color_fix="none").settings.color_fix == "none"
