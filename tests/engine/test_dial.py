"""Between faithful and vivid, means of several samples, and where they differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.engine.denoise import hidden_in, marked
from upscale.engine.upscaler import Upscaler
from upscale.errors import UsageError
from upscale.images.picture import Picture

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_fidelity_leads_from_the_run_to_its_first_step(tiny: str, load: Load, draw: Draw) -> None:
    picture = draw(24, 16)
    faithful = load(tiny, steps=1).upscale(picture, (96, 64)).color
    distances = [
        far(load(tiny, steps=3, fidelity=f).upscale(picture, (96, 64)).color, faithful)
        for f in (0.0, 0.4, 0.8)
    ]
    assert distances[0] > distances[1] > distances[2] > 0
    all_the_way = load(tiny, fidelity=1.0)
    assert all_the_way.settings.steps == 1
    assert (all_the_way.upscale(picture, (96, 64)).color == faithful).all()


def test_a_model_may_have_a_fidelity_of_its_own(
    make_model: Callable[..., Path], load: Load, draw: Draw
) -> None:
    own, picture = load(str(make_model(fidelity=0.4))), draw(12, 8)
    assert own.settings.fidelity == 0.4
    given = load(str(make_model()), fidelity=0.4)
    assert (own.upscale(picture, (48, 32)).color == given.upscale(picture, (48, 32)).color).all()


def test_models_that_predict_noise_have_none(make_model: Callable[..., Path], load: Load) -> None:
    with pytest.raises(UsageError, match="predicts noise") as raised:
        load(str(make_model("sr3_unet")), fidelity=0.5)
    assert "--samples" in str(raised.value.hint)
    load(str(make_model("sr3_unet")), fidelity=0.0)


def test_stages_before_another_may_have_another(
    load: Load, draw: Draw, make_model: Callable[..., Path]
) -> None:
    """What they make up is enlarged."""
    picture = draw(12, 8)
    own = load(str(make_model(fidelity=0.2, cascade_fidelity=0.7)))
    assert (own.settings.fidelity, own.settings.cascade_fidelity) == (0.2, 0.7)
    ends, before = str(make_model(fidelity=0.2)), str(make_model(fidelity=0.7))
    for size, models in (
        ((48, 32), [ends]),
        ((96, 64), [before, ends]),
        ((96 * 8, 64 * 8), [before, before, ends]),
    ):
        made, same = own.upscale(picture, size), load(",".join(models)).upscale(picture, size)
        assert (made.color == same.color).all() and made.fidelity == same.fidelity
    asked = load(str(make_model(fidelity=0.2, cascade_fidelity=0.7)), fidelity=0.4)
    assert asked.settings.cascade_fidelity == 0.4


@pytest.mark.parametrize(("denoise", "share"), [(0.0, 0.2), (0.1, 0.325), (0.4, 0.7), (1.0, 0.7)])
def test_noise_leans_on_the_first_estimate(
    denoise: float, share: float, load: Load, draw: Draw, make_model: Callable[..., Path]
) -> None:
    """What is hidden is made up by the last step, so it counts the less."""
    picture = draw(12, 8)
    own = load(str(make_model(fidelity=0.2, spoilt_fidelity=0.7)), denoise=denoise)
    same = load(str(make_model()), fidelity=share, denoise=denoise)
    assert (own.upscale(picture, (48, 32)).color == same.upscale(picture, (48, 32)).color).all()
    asked = load(str(make_model(fidelity=0.2, spoilt_fidelity=0.7)), denoise=denoise, fidelity=0.4)
    assert asked.settings.fidelity_for(denoise, followed=False) == pytest.approx(0.4)


@pytest.mark.parametrize(("denoise", "first"), [(0.0, 0.4), (0.2, 0.55), (1.0, 0.7)])
def test_of_a_cascade_the_first_stage_leans_on_it(
    denoise: float, first: float, load: Load, draw: Draw, make_model: Callable[..., Path]
) -> None:
    """What it makes is clean. A cascade's own share is not lowered."""
    picture = draw(12, 8)
    own = load(str(make_model(fidelity=0.2, cascade_fidelity=0.4, spoilt_fidelity=0.7)), denoise=denoise)
    made = own.upscale(picture, (96, 64))
    assert made.fidelity == pytest.approx(first)
    parts = [make_model(fidelity=share) for share in (made.fidelity, 0.2)]
    same = load(",".join(map(str, parts)), denoise=denoise).upscale(picture, (96, 64))
    assert (made.color == same.color).all()
    calm = load(str(make_model(fidelity=0.2, cascade_fidelity=0.8, spoilt_fidelity=0.7)), denoise=denoise)
    assert calm.settings.fidelity_for(denoise, followed=True) == 0.8


def test_each_photo_leans_as_far_as_its_own_noise_asks_for(
    load: Load, make_model: Callable[..., Path]
) -> None:
    slope = np.linspace(60, 190, 40)[:, None, None] + np.zeros((40, 40, 3))
    grain = np.random.default_rng(0).normal(0, 12, slope.shape)
    clean, noisy = (Picture(pixels.round().astype(np.uint8)) for pixels in (slope, slope + grain))
    own = load(str(make_model(fidelity=0.2, spoilt_fidelity=0.7)))
    together = own.upscale_many([clean, noisy], (160, 160))
    assert together[0].denoised < 0.1 < 0.2 < together[1].denoised
    for picture, result in zip((clean, noisy), together, strict=True):
        share = own.settings.fidelity_for(hidden_in(marked(picture), result.denoised), followed=False)
        alone = load(str(make_model()), fidelity=share).upscale(picture, (160, 160)).color
        assert np.abs(result.color.astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_a_lower_start(fidelity: float, tiny: str, load: Load, draw: Draw) -> None:
    """Tiles do not show, alpha takes no part, and the dial leads to the run's own first step."""
    color = draw(80, 72).color
    alpha = np.tile(np.arange(80, dtype=np.uint8) * 3, (72, 1))
    picture = Picture(color, alpha=alpha)
    how: dict[str, Any] = {"fidelity": fidelity} if fidelity == 1 else {"fidelity": fidelity, "steps": 2}
    for size in ((320, 288), (640, 576)):
        whole, tiled = (load(tiny, start=0.7, tile_px=px, **how).upscale(picture, size) for px in (128, 32))
        assert np.abs(whole.color.astype(int) - tiled.color.astype(int)).max() <= 1
    noisy = load(tiny, **how).upscale(picture, (320, 288))
    whole = load(tiny, start=0.7, **how).upscale(picture, (320, 288))
    assert far(whole.color, noisy.color) > 1
    assert whole.alpha is not None and noisy.alpha is not None and (whole.alpha == noisy.alpha).all()
    one = load(tiny, start=0.7, steps=1).upscale(picture, (320, 288)).color
    assert (whole.color == one).all() == (fidelity == 1)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_samples_are_averaged_and_compared(scale: int, tiny: str, load: Load, draw: Draw) -> None:
    picture = draw(12, 8)
    size = (12 * scale, 8 * scale)
    seeds = [load(tiny, steps=2, seed=5 + i).upscale(picture, size).color.astype(float) for i in range(3)]
    made = load(tiny, steps=2, seed=5, samples=3, map_uncertainty=True).upscale(picture, size)
    assert made.uncertainty is not None
    assert made.uncertainty.shape == size[::-1] and made.uncertainty.dtype == np.uint8
    if scale == 4:  # else stages are averaged, or the mean is resized
        clipped = ((np.array(seeds) == 0) | (np.array(seeds) == 255)).any((0, 3))
        assert np.abs(made.color - np.mean(seeds, 0))[~clipped].max() < 1.1
        spread = np.minimum(np.std(seeds, 0, ddof=1).mean(2) * 255 / 32, 255)
        assert (~clipped).mean() > 0.2 and np.abs(made.uncertainty - spread)[~clipped].max() < 8
    if scale == 2:  # grain that differs is smaller when it is resized
        spread = np.minimum(np.std(seeds, 0, ddof=1).mean(2) * 255 / 32, 255)
        assert made.uncertainty.mean() == pytest.approx(spread.mean(), rel=0.1)
    assert made.uncertainty.mean() > 5


@pytest.mark.parametrize(("ways_up", "samples", "size"), [(1, 2, (80, 72)), (8, 8, (47, 39))])
def test_tiles_do_not_show_in_either(
    ways_up: int,
    samples: int,
    size: tuple[int, int],
    make_model: Callable[..., Path],
    load: Load,
    draw: Draw,
) -> None:
    model, picture = str(make_model(ways_up=ways_up)), draw(*size)
    large = 4 * size[0], 4 * size[1]
    whole, tiled = (
        load(model, steps=2, samples=samples, map_uncertainty=True, tile_px=px).upscale(picture, large)
        for px in (128, 32)
    )
    for a, b in ((whole.color, tiled.color), (whole.uncertainty, tiled.uncertainty)):
        assert a is not None and b is not None
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_samples_of_one_step_are_a_mean_over_ways_up(
    make_model: Callable[..., Path], load: Load, draw: Draw
) -> None:
    """With a first step that no noise enters it is the same, turned, of a picture that is turned itself."""
    usual = json.loads((make_model() / "config.json").read_text())["network"]
    model = str(make_model(ways_up=8, network={**usual, "first_step": True}))
    picture = draw(12, 8)
    on_its_side = Picture(np.ascontiguousarray(np.rot90(picture.color)))
    mean, other = (
        load(model, fidelity=1, samples=8).upscale(p, (4 * p.size[0], 4 * p.size[1])).color
        for p in (picture, on_its_side)
    )
    assert np.abs(np.rot90(mean).astype(int) - other).max() <= 1
    one, turned = (
        load(model, fidelity=1).upscale(p, (4 * p.size[0], 4 * p.size[1])).color
        for p in (picture, on_its_side)
    )
    assert far(np.rot90(one), turned) > 1


def test_no_map_unless_asked_for(tiny: str, load: Load, draw: Draw) -> None:
    assert load(tiny, samples=2).upscale(draw(12, 8), (48, 32)).uncertainty is None
