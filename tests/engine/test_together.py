"""Small pictures of one size go through the network together, and come out as each does alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from upscale.engine.upscaler import MOST_TOGETHER, Upscaler
from upscale.images.picture import Picture

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


def levels_apart(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference in 8-bit levels."""
    assert a.shape == b.shape and a.dtype == b.dtype
    return float(np.abs(a.astype(np.int64) - b).max()) / (np.iinfo(a.dtype).max / 255)


@pytest.fixture
def mixed(draw: Draw) -> list[Picture]:
    """Colour, grey, 16 bits, transparent, and transparent without a shape: all 21x17 pixels."""
    plain, grey, deep, shaped, flat = (
        draw(21, 17, channels, dtype, seed)
        for seed, (channels, dtype) in enumerate(
            [(3, np.uint8), (1, np.uint8), (3, np.uint16), (3, np.uint8), (3, np.uint8)]
        )
    )
    alpha = np.zeros((17, 21), np.uint8)
    alpha[4:12, 5:15] = 255
    return [
        plain,
        grey,
        deep,
        replace(shaped, alpha=alpha, notes=("a note of its own",)),
        replace(flat, alpha=np.full((17, 21), 9, np.uint8)),
    ]


def watched(upscaler: Upscaler) -> torch.nn.Module:
    """Return the network, and let it be called instead of what is faster, which has no hooks."""
    restorer = upscaler._models[0].restorer
    restorer.bound = replace(restorer.bound, runner=restorer.network)
    return restorer.network


def batches(upscaler: Upscaler) -> list[int]:
    """Return a list that fills with the number of pictures in each evaluation."""
    seen: list[int] = []
    watched(upscaler).register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    return seen


@pytest.mark.parametrize("scale", [3, 8])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_together_is_alone(scale: int, dtype: str, tiny: str, load: Load, mixed: list[Picture]) -> None:
    upscaler = load(tiny, dtype=dtype)
    size = (21 * scale, 17 * scale)
    alone = [upscaler.upscale(picture, size) for picture in mixed]
    assert levels_apart(alone[0].color, alone[3].color) > 20  # the pictures differ
    for one, other in zip(alone, upscaler.upscale_many(mixed, size), strict=True):
        assert levels_apart(one.color, other.color) <= 1
        assert (one.alpha is None) == (other.alpha is None) and one.notes == other.notes
        if one.alpha is not None and other.alpha is not None:
            assert levels_apart(one.alpha, other.alpha) <= 1
    seen = batches(upscaler)
    upscaler.upscale_many(mixed, size)
    assert set(seen) == {5, 1}  # all colours at once; one has an alpha with a shape


def test_models_on_the_large_picture_too(
    make_model: Callable[..., Any], load: Load, mixed: list[Picture]
) -> None:
    """This one looks at the whole tile: nothing of a batch mate may leak in."""
    upscaler = load(str(make_model("sr3_unet")))
    seen = batches(upscaler)
    together = upscaler.upscale_many(mixed, (84, 68))
    assert max(seen) > 1
    for picture, result in zip(mixed, together, strict=True):
        assert levels_apart(upscaler.upscale(picture, (84, 68)).color, result.color) <= 1


def test_conditioning_noise_is_the_same(
    make_model: Callable[..., Any], load: Load, mixed: list[Picture]
) -> None:
    upscaler = load(str(make_model(stage_noise=0.05)))
    together = upscaler.upscale_many(mixed, (168, 136))
    for picture, result in zip(mixed, together, strict=True):
        assert levels_apart(upscaler.upscale(picture, (168, 136)).color, result.color) <= 1


def test_no_more_pixels_at_once_than_one_tile_has(tiny: str, load: Load, draw: Draw) -> None:
    """Of 32 pixels and a halo of 32 on each side: 96x96, which is 9 pictures of 32x32."""
    upscaler = load(tiny, tile_px=32)
    assert upscaler.together((32, 32), (128, 128)) == 9
    assert upscaler.together((32, 32), (256, 256)) == 2  # the second stage makes four times as many
    assert upscaler.together((33, 32), (132, 128)) == 1  # two tiles
    assert upscaler.together((8, 8), (32, 32)) == MOST_TOGETHER
    seen = batches(upscaler)
    upscaler.upscale_many([draw(32, 32, seed=seed) for seed in range(11)], (128, 128))
    assert seen == [9, 9, 2, 2]


def scarce(upscaler: Upscaler, pixels: int) -> list[tuple[int, ...]]:
    """Let an upscaler run out of memory with more than so many pixels at once; return the sizes asked for."""
    restorer = upscaler._models[0].restorer
    condition, asked = restorer.condition, []

    def limited(lr: torch.Tensor, sigma_aug: float = 0.0) -> Any:
        asked.append((lr.shape[0], lr.shape[2], lr.shape[3]))
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return condition(lr, sigma_aug)

    restorer.condition = limited  # type: ignore[method-assign]
    return asked


def test_out_of_memory_halves_their_number_before_the_tile(tiny: str, load: Load, draw: Draw) -> None:
    pictures = [draw(160, 32, seed=seed) for seed in range(5)]
    size = (640, 128)
    expected = load(tiny).upscale_many(pictures, size)
    upscaler, told = load(tiny), []
    asked = scarce(upscaler, 160 * 32 - 1)
    together = upscaler.upscale_many(pictures, size, progress=told.append)
    assert asked[:4] == [(5, 32, 160), (2, 32, 160), (1, 32, 160), (1, 32, 112)]
    for one, other in zip(expected, together, strict=True):
        assert levels_apart(one.color, other.color) <= 1
        assert len(other.notes) == 3 and "2 of 5 tiles at once" in other.notes[0]
        assert "tiles of 80 pixels" in other.notes[2]
    assert told[-1].done == told[-1].total and told[-1].tile == told[-1].tiles == 10


def test_what_memory_taught_is_remembered(tiny: str, load: Load, draw: Draw) -> None:
    upscaler = load(tiny)
    asked = scarce(upscaler, 3 * 32 * 32)
    pictures = [draw(32, 32, seed=seed) for seed in range(4)]
    assert upscaler.upscale_many(pictures, (128, 128))[0].notes
    asked.clear()
    assert not upscaler.upscale_many(pictures, (128, 128))[0].notes
    assert asked == [(2, 32, 32)] * 2 and upscaler.together((32, 32), (128, 128)) == 2


def test_one_that_overflows_takes_all_to_float32(tiny: str, load: Load, draw: Draw) -> None:
    upscaler = load(tiny, dtype="bf16")
    pictures = [draw(20, 20, seed=seed) for seed in range(3)]

    def spoil(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        if out.dtype is torch.bfloat16 and len(out) > 1:
            out[1, 0, 3, 3] = torch.nan
        return out

    watched(upscaler).register_forward_hook(spoil)
    together = upscaler.upscale_many(pictures, (80, 80))
    expected = load(tiny).upscale_many(pictures, (80, 80))
    for one, other in zip(expected, together, strict=True):
        assert levels_apart(one.color, other.color) <= 1 and "fp32" in other.notes[0]
