"""Noise in the input is found, and the network is told of it; in the first stage alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from upscale.engine import cascade
from upscale.engine.denoise import hidden_in, marked, noise_in
from upscale.engine.upscaler import Upscaler
from upscale.errors import UsageError
from upscale.images.picture import Picture
from upscale.images.pil import from_pil
from upscale.metrics.noise import noise_std

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


def noisy(picture: Picture, levels: float, seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).normal(0, levels, picture.color.shape)
    color = np.clip(picture.color + noise, 0, 255).astype(np.uint8)
    return replace(picture, color=color)


def soft(width: int, height: int) -> Picture:
    """Without any noise."""
    y, x = np.mgrid[:height, :width]
    planes = [110 + 60 * np.sin(x / 9 + c) * np.cos(y / 7 + c) for c in range(3)]
    return Picture(np.stack(planes, axis=2).round().astype(np.uint8))


@pytest.fixture(scope="module")
def listening(make_model: Callable[..., Path]) -> str:
    """A model whose encoder heeds what it is told."""
    return str(make_model(residual_std=0.5, heed=8))


def test_auto_leaves_clean_pictures_alone(listening: str, load: Load) -> None:
    picture = soft(64, 48)
    auto = load(listening).upscale(picture, (256, 192))
    assert auto.denoised == 0
    assert np.array_equal(auto.color, load(listening, denoise=0).upscale(picture, (256, 192)).color)


@pytest.mark.parametrize("levels", [5, 10])
def test_auto_tells_of_the_noise_there_is(levels: int, listening: str, load: Load) -> None:
    picture = noisy(soft(64, 48), levels)
    auto = load(listening).upscale(picture, (256, 192))
    assert 0.7 * levels < auto.denoised * 25.5 < 1.1 * levels
    asked = load(listening, denoise=auto.denoised).upscale(picture, (256, 192))
    assert np.array_equal(auto.color, asked.color) and asked.denoised == auto.denoised
    untold = load(listening, denoise=0).upscale(picture, (256, 192))
    assert np.abs(auto.color.astype(int) - untold.color).max() > 2


def test_only_the_first_stage_is_told(listening: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes is clean; the next one has the model's own noise between stages."""
    told: list[Any] = []

    class Seen(cascade.Stage):
        def run(self) -> None:
            told.append((self.index, [task.noise for task in self.tasks]))
            super().run()

    monkeypatch.setattr(cascade, "Stage", Seen)
    load(listening, denoise=0.5).upscale(soft(12, 10), (192, 160))
    assert told == [(0, [0.1]), (1, [0.0])]


def test_alpha_is_not_noisy(listening: str, load: Load) -> None:
    picture = soft(40, 32)
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (32, 1))
    results = [
        load(listening, denoise=d).upscale(Picture(picture.color, alpha), (160, 128)).alpha for d in (0, 1)
    ]
    assert results[0] is not None and results[1] is not None and np.array_equal(results[0], results[1])


def test_noise_beside_transparency_is_found(listening: str, load: Load) -> None:
    picture = noisy(soft(96, 64), 8)
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, :32] = 255
    assert load(listening, steps=1).upscale(replace(picture, alpha=alpha), (192, 128)).denoised > 0.2


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_each_of_several_pictures_has_its_own(dtype: str, listening: str, load: Load) -> None:
    upscaler = load(listening, dtype=dtype)
    pictures = [noisy(soft(56, 40), levels, seed) for seed, levels in enumerate((0, 10, 0, 5, 10))]
    together = upscaler.upscale_many(pictures, (224, 160))
    assert together[0].denoised == together[2].denoised == 0 < together[3].denoised < together[1].denoised
    for picture, made in zip(pictures, together, strict=True):
        alone = upscaler.upscale(picture, (224, 160))
        assert alone.denoised == made.denoised
        assert np.abs(alone.color.astype(int) - made.color).max() <= 1


def test_tiles_do_not_show(listening: str, load: Load) -> None:
    picture = noisy(soft(80, 72), 10)
    whole, tiled = (load(listening, tile_px=px).upscale(picture, (320, 288)).color for px in (128, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_models_that_cannot_be_told(make_model: Callable[..., Path], load: Load) -> None:
    paper = str(make_model("sr3_unet"))
    with pytest.raises(UsageError, match="cannot be told how noisy"):
        load(paper, denoise=0.2)
    made = load(paper).upscale(noisy(soft(16, 12), 20), (64, 48))
    assert made.denoised == 0
    load(paper, denoise=0)


def test_consistency_takes_the_input_at_its_word(listening: str, load: Load) -> None:
    assert load(listening, consistency=True).settings.denoise == 0
    with pytest.raises(UsageError, match="exclude each other"):
        load(listening, consistency=True, denoise=0.5)


@pytest.mark.parametrize(("step", "hidden"), [(0, 0), (1, 0), (12, 0.09), (46, 0.2), (1000, 0.95)])
def test_marks_of_jpeg_hide_as_noise_does(step: float, hidden: float) -> None:
    """By the quantisation table, since little of the noise itself is left to be seen; none is told.

    Noise that is told of hides half as much.
    """
    picture = replace(soft(64, 48), luma_step=step)
    assert noise_in(picture, picture.color) == 0
    assert hidden_in(picture, 0.0) == pytest.approx(hidden, abs=0.01)
    assert 0.15 <= hidden_in(picture, 0.3) <= 0.15 + hidden and 0.5 <= hidden_in(picture, 1.0) <= 1


@pytest.mark.parametrize("quality", [95, 85, 75, 60])
def test_noise_behind_jpeg_is_told_as_it_was_before(quality: int) -> None:
    """Grain of brightness, as phones leave it; what is left of it is less and less."""
    plain = np.random.default_rng(0).normal(0, 1, (240, 320))
    rolled = [np.roll(plain, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
    grain = plain + 0.37 * np.sum(rolled, axis=0)
    picture = soft(320, 240)
    color = picture.color + (8 * grain / grain.std())[:, :, None]
    file = io.BytesIO()
    Image.fromarray(np.clip(color.round(), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        saved = from_pil(image)
    told = 25.5 * noise_in(saved, saved.color)
    assert 0.75 * 8 < told < 1.3 * 8
    assert quality > 90 or 255 * noise_std(saved.color) < 0.9 * told


def test_marks_are_seen_in_copies_that_are_no_jpeg() -> None:
    """Saved as PNG, converted in memory, or saved again as a better JPEG, whose table says little."""
    with Image.open(EXAMPLE) as image:
        small = image.convert("RGB").resize((120, 120))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=60)
    with Image.open(file) as image:
        copy = from_pil(image.convert("RGB"))
        original = from_pil(image)
    assert copy.luma_step == 0 < original.luma_step
    assert marked(original).luma_step == pytest.approx(original.luma_step, rel=0.08)
    hidden = hidden_in(marked(original), 0.0)
    assert hidden == pytest.approx(0.2, abs=0.01)
    for other in (copy, replace(copy, luma_step=5.8)):
        assert hidden_in(marked(other), 0.0) == pytest.approx(hidden, abs=0.01)
    assert hidden_in(marked(from_pil(small)), 0.0) == 0


def test_marks_of_jpeg_lean_on_the_first_estimate(load: Load, make_model: Callable[..., Path]) -> None:
    picture = replace(soft(32, 24), luma_step=46.0)
    own = load(str(make_model(fidelity=0.2, spoilt_fidelity=0.7)))
    made = own.upscale(picture, (128, 96))
    share = own.settings.fidelity_for(hidden_in(picture, 0.0), followed=False)
    assert made.denoised == 0 and 0.65 < share <= 0.7 and made.fidelity == share
    same = load(str(make_model()), fidelity=share).upscale(picture, (128, 96))
    assert np.array_equal(made.color, same.color) and same.fidelity == share
