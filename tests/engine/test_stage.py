"""Tiles do not show; running out of memory or of precision is survived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from upscale.diffusion.noise import NoiseField
from upscale.engine import stage
from upscale.engine.beside import Beside
from upscale.engine.progress import Progress
from upscale.engine.upscaler import Upscaler
from upscale.errors import DeviceError, ExitCode
from upscale.images.picture import Picture
from upscale.images.resize import resize

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]


@pytest.fixture(autouse=True, params=[False, True], ids=["in turn", "beside"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the host has to do as on a CPU, and as it is done beside a GPU."""
    monkeypatch.setattr(stage, "Beside", lambda *, threaded: Beside(threaded=request.param))


def levels_apart(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference in 8-bit levels."""
    assert a.shape == b.shape and a.dtype == b.dtype
    return float(np.abs(a.astype(np.int64) - b).max()) / (np.iinfo(a.dtype).max / 255)


@pytest.mark.parametrize("tile_px", [32, 40, 64, 500])
def test_a_network_that_is_known_comes_through_tiling(
    tile_px: int, silent: str, load: Load, draw: Draw
) -> None:
    """v = 0 in one step leaves bicubic interpolation, which is known from elsewhere."""
    picture = draw(84, 60)  # even: at an odd border the edge is repeated, which Pillow does not do
    result = load(silent, tile_px=tile_px).upscale(picture, (336, 240))
    smooth = resize(picture.color.astype(np.float32), (336, 240), resample="bicubic")
    assert levels_apart(result.color, np.clip(smooth, 0, 255).round().astype(np.uint8)) <= 1


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_tiled_is_untiled(scale: int, dtype: str, tiny: str, load: Load, draw: Draw) -> None:
    width, height = (101, 77) if scale == 4 else (61, 45)
    picture, size = draw(width, height), (width * scale, height * scale)
    whole = load(tiny, dtype=dtype, tile_px=1000).upscale(picture, size)
    assert levels_apart(whole.color, resize(picture.color, size, resample="bicubic")) > 5  # something to see
    for tile_px in (32, 50, 64) if scale == 4 else (32, 64):
        tiled = load(tiny, dtype=dtype, tile_px=tile_px).upscale(picture, size)
        assert levels_apart(tiled.color, whole.color) <= 1, tile_px


def test_tiles_of_a_relay_agree(make_model: Callable[..., Any], load: Load, draw: Draw) -> None:
    """Its block noise reaches over pixels, its blur over patches: neither may show where tiles meet."""
    model = str(make_model(process="relay", relay={"block": 1.0, "blur_max": 2.0}, sampler="relay"))
    picture = draw(77, 45)
    one, other = (load(model, tile_px=px).upscale(picture, (308, 180)).color for px in (32, 1000))
    assert levels_apart(one, other) <= 1


class Watched(Beside):
    """Keeps a list of how much was held whenever something was taken, and of what was taken."""

    def __init__(self) -> None:
        super().__init__(threaded=True)
        self.held: list[int] = []
        self.ahead: list[bool] = []

    def take(self, make: Any) -> Any:
        self.held.append(len(self._made))
        self.ahead.append(make in self._made)
        return super().take(make)

    def left(self) -> int:
        return len(self._made)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    beside = Watched()
    monkeypatch.setattr(stage, "Beside", lambda *, threaded: beside)
    return beside


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({"samples": 12, "steps": 1}, 12),
        ({"samples": 3, "steps": 4, "sampler": "ddim"}, 3),
        ({"samples": 3, "steps": 4, "sampler": "ddpm"}, 3 * 4),
        ({"samples": 2, "steps": 6, "sampler": "relay"}, 2 * 4),
        ({"samples": 2, "steps": 5, "sampler": "ddim@0.5"}, 2 * 5),
    ],
    ids=str,
)
def test_all_noise_is_made_ahead_a_few_at_a_time(
    options: dict[str, Any],
    each: int,
    watched: Watched,
    tiny: str,
    load: Load,
    draw: Draw,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of 64 samples at once would take gigabytes; none is made twice, none in vain."""
    made: list[Any] = []
    real = NoiseField.window
    monkeypatch.setattr(NoiseField, "window", lambda *key: (made.append(key), real(*key))[1])
    upscaler = load(tiny, tile_px=32, shrink=1, **options)
    upscaler._models[0].room.together_px = 1  # one tile at a time
    upscaler.upscale(draw(96, 32), (384, 128))
    assert len(made) == len(set(made)) == len(watched.held) == 3 * each
    assert all(watched.ahead) and max(watched.held) == stage.AHEAD + 1 and not watched.left()


def test_no_noise_is_left_over_when_memory_runs_out(
    watched: Watched, tiny: str, load: Load, draw: Draw
) -> None:
    """What is made ahead is for the tiles to come as they are cut then."""
    upscaler = load(tiny, tile_px=128, steps=1, shrink=1)
    scarce(upscaler, 15_000, OUT_OF_MEMORY[0])
    result = upscaler.upscale(draw(300, 130), (1200, 520))
    assert "memory" in result.notes[0] and not watched.left()


@pytest.mark.parametrize("pixels", [None, 100], ids=["enough memory", "too little"])
def test_tiles_cannot_be_smaller_than_what_the_network_needs(
    pixels: int | None, make_model: Callable[..., Any], load: Load, draw: Draw
) -> None:
    deep = {
        "inner_channel": 4,
        "norm_groups": 2,
        "channel_multipliers": [1] * 8,
        "attn_res": [],
        "res_blocks": 1,
    }
    upscaler = load(str(make_model("sr3_unet", network=deep, scale=2, halo_px=0)), tile_px=32, steps=1)
    assert upscaler._models[0].restorer.multiple_of == 64
    if pixels is None:
        assert upscaler.upscale(draw(70, 40), (140, 80)).size == (140, 80)
        return
    scarce(upscaler, pixels, OUT_OF_MEMORY[0])
    with pytest.raises(DeviceError, match="even with tiles of 64 pixels"):
        upscaler.upscale(draw(70, 40), (140, 80))


def test_a_halo_that_is_too_small_shows(make_model: Callable[..., Any], load: Load, draw: Draw) -> None:
    """The test above can fail: the same network without its halo."""
    model = str(make_model(halo_px=0))
    picture = draw(101, 77)
    one, other = (load(model, tile_px=px).upscale(picture, (404, 308)).color for px in (32, 1000))
    assert levels_apart(one, other) > 2


def test_conditioning_noise_of_later_stages_has_its_place_too(
    make_model: Callable[..., Any], load: Load, draw: Draw
) -> None:
    plain, noisy = str(make_model()), str(make_model(stage_noise=0.05))
    picture = draw(45, 37)
    size = (360, 296)
    whole = load(noisy, tile_px=1000).upscale(picture, size).color
    assert levels_apart(load(noisy, tile_px=32).upscale(picture, size).color, whole) <= 1
    assert levels_apart(load(plain, tile_px=32).upscale(picture, size).color, whole) > 2


def scarce(upscaler: Upscaler, pixels: int, error: Exception) -> None:
    """Let an upscaler run out of memory where a tile, halo included, has more than so many pixels."""
    restorer = upscaler._models[0].restorer
    condition = restorer.condition

    def limited(lr: torch.Tensor, sigma_aug: float = 0.0) -> Any:
        if lr.shape[-2] * lr.shape[-1] > pixels:
            raise error
        return condition(lr, sigma_aug)

    restorer.condition = limited  # type: ignore[method-assign]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_out_of_memory_halves_the_tile(error: Exception, tiny: str, load: Load, draw: Draw) -> None:
    picture, seen = draw(131, 70), []
    expected = load(tiny).upscale(picture, (524, 280))
    upscaler = load(tiny)
    scarce(upscaler, 9000, error)
    result = upscaler.upscale(picture, (524, 280), progress=seen.append)
    assert levels_apart(result.color, expected.color) <= 1
    assert any("memory" in note and "tiles of" in note for note in result.notes)
    assert [p.message for p in seen if p.message] == list(result.notes)
    assert_sound(seen)
    assert 1 < seen[0].tiles <= seen[-1].tiles  # planned anew at once


def test_out_of_memory_in_the_middle_of_a_tile(tiny: str, load: Load, draw: Draw) -> None:
    """Steps of a tile that is begun again are not counted twice, and nothing is taken back."""
    picture, seen, calls = draw(90, 90), [], 0
    upscaler = load(tiny, steps=3)
    restorer = upscaler._models[0].restorer
    network = restorer.network
    restorer.bound = replace(restorer.bound, runner=network)  # not what is faster, which has no hooks
    forward = network.forward

    def failing(*args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise torch.OutOfMemoryError("out of memory")
        out: torch.Tensor = forward(*args)
        return out

    network.forward = failing
    result = upscaler.upscale(picture, (360, 360), progress=seen.append)
    assert levels_apart(result.color, load(tiny, steps=3).upscale(picture, (360, 360)).color) <= 1
    assert_sound(seen)


def assert_sound(seen: list[Progress]) -> None:
    """Done never falls, never exceeds the total, and reaches it; tiles and stages count up."""
    assert len({p.total for p in seen}) == 1
    assert all(a.done <= b.done for a, b in pairwise(seen))
    assert seen[-1].done == seen[-1].total and all(p.done <= p.total for p in seen)
    assert all(0 <= p.tile <= p.tiles and 1 <= p.stage <= p.stages for p in seen)
    assert (seen[-1].tile, seen[-1].stage) == (seen[-1].tiles, seen[-1].stages)
    assert all(a.stage <= b.stage for a, b in pairwise(seen))


def test_out_of_memory_for_good(tiny: str, load: Load, draw: Draw) -> None:
    upscaler = load(tiny)
    scarce(upscaler, 10, OUT_OF_MEMORY[0])
    with pytest.raises(DeviceError, match="cpu ran out of memory even with tiles") as caught:
        upscaler.upscale(draw(80, 80), (320, 320))
    assert caught.value.exit_code is ExitCode.DEVICE and caught.value.hint


def test_other_errors_are_not_taken_for_it(tiny: str, load: Load, draw: Draw) -> None:
    upscaler = load(tiny)
    scarce(upscaler, 10, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        upscaler.upscale(draw(80, 80), (320, 320))


def overflow(upscaler: Upscaler, dtypes: tuple[torch.dtype, ...]) -> None:
    """Let the network give values that are no numbers when it computes in one of these dtypes."""

    def spoil(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out * torch.nan if out.dtype in dtypes else out

    restorer = upscaler._models[0].restorer
    # Not what is faster, which has no hooks.
    restorer.bound = replace(restorer.bound, runner=restorer.network)
    restorer.network.register_forward_hook(spoil)


def test_overflow_in_half_precision_is_done_again_in_fp32(tiny: str, load: Load, draw: Draw) -> None:
    picture, seen = draw(50, 40), []
    upscaler = load(tiny, dtype="bf16", tile_px=32)
    overflow(upscaler, (torch.bfloat16,))
    result = upscaler.upscale(picture, (400, 320), progress=seen.append)
    assert levels_apart(result.color, load(tiny, tile_px=32).upscale(picture, (400, 320)).color) <= 2
    assert len(result.notes) == 1 and "fp32" in result.notes[0]  # said once, not for each stage
    assert_sound(seen)


def test_overflow_in_fp32_is_an_error(tiny: str, load: Load, draw: Draw) -> None:
    upscaler = load(tiny)
    overflow(upscaler, (torch.float32,))
    with pytest.raises(DeviceError, match="not a number"):
        upscaler.upscale(draw(10, 10), (40, 40))


@pytest.mark.parametrize("local", [True, False])
def test_tiles_of_networks_that_are_not_local_are_blended(
    local: bool, make_model: Callable[..., Any], load: Load, draw: Draw
) -> None:
    """A network that answers a tile's mean everywhere: as far from local as can be."""
    upscaler = load(str(make_model("sr3_unet", halo_px=8)), tile_px=32)
    upscaler._models[0].restorer.local = local
    upscaler._models[0].restorer.samples = (  # type: ignore[method-assign]
        lambda lr, noises, **_: iter([lr.mean().expand(1, 3, 4 * lr.shape[2], 4 * lr.shape[3])])
    )
    levels = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (32, 96, 3))
    row = upscaler.upscale(Picture(levels), (384, 128)).color[64, :, 0].astype(int)
    assert row[0] < 60 and row[-1] > 195  # the three tiles differ
    steps = np.diff(row)
    if local:
        assert steps[[127, 255]].min() > 50 and np.count_nonzero(steps) == 2
    else:
        assert steps.min() >= 0 and steps.max() <= 2  # 64 columns of ramp for some 75 levels


@pytest.mark.parametrize("channels", [1, 3])
def test_one_tile_of_a_network_that_is_not_local(
    channels: int, make_model: Callable[..., Any], load: Load, draw: Draw
) -> None:
    """Odd sizes through a cascade: every pixel is filled, the same for every tile that holds the picture."""
    model = str(make_model("sr3_unet"))
    picture = draw(9, 7, channels)
    one, other = (load(model, tile_px=px).upscale(picture, (72, 56)).color for px in (40, 1000))
    assert one.shape == (56, 72, channels) and np.array_equal(one, other)


def test_out_of_memory_while_blending(make_model: Callable[..., Any], load: Load, draw: Draw) -> None:
    picture = draw(80, 70)
    upscaler = load(str(make_model("sr3_unet", halo_px=4)), tile_px=80)
    scarce(upscaler, 4000, OUT_OF_MEMORY[0])
    result = upscaler.upscale(picture, (320, 280))
    assert result.color.shape == (280, 320, 3) and any("memory" in note for note in result.notes)
