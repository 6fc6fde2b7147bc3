"""The Python API: sizes, kinds of pictures, seeds, progress, metadata."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import upscale
from upscale.diffusion.samplers import SAMPLERS
from upscale.engine.progress import Progress
from upscale.engine.upscaler import Upscaler
from upscale.errors import DeviceError, InputError, UsageError, WeightsError
from upscale.images import scratch
from upscale.images.picture import Picture
from upscale.images.pil import to_pil
from upscale.images.resize import resize
from upscale.models.restorer import Restorer
from upscale.options import EngineOptions

Load = Callable[..., Upscaler]
Draw = Callable[..., Picture]
ORIENTATION, MAKE = 0x0112, 0x010F


def test_the_package_offers_it() -> None:
    assert upscale.Upscaler is Upscaler


@pytest.mark.parametrize("scale", [1, 2.5, 3, 4, 8, 16])
@pytest.mark.parametrize("size", [(13, 9), (1, 1), (1, 7)], ids=str)
def test_output_is_exactly_as_large_as_asked(
    scale: float, size: tuple[int, int], silent: str, load: Load, draw: Draw
) -> None:
    big = load(silent)(to_pil(draw(*size)), scale=scale)
    assert big.size == tuple(round(scale * side) for side in size) and big.mode == "RGB"


def test_four_times_is_the_default_and_a_box_keeps_proportions(silent: str, load: Load, draw: Draw) -> None:
    photo, upscaler = to_pil(draw(13, 9)), load(silent)
    assert upscaler(photo).size == (52, 36)
    assert upscaler(photo, size=(26, 1000)).size == (26, 18)


def test_words_and_things_of_python_and_the_command_line(tiny: str, load: Load, draw: Draw) -> None:
    usual = load(tiny, tile_px=None, denoise=None, shrink=None)
    same = Upscaler(
        Path(tiny), device=torch.device("cpu"), dtype="fp32", tile_px="auto", denoise="auto", shrink="auto"
    )
    assert same.settings == usual.settings


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda upscaler: pickle.loads(pickle.dumps(upscaler))], ids=["copy", "pickle"]
)
def test_copies_and_pickles_do_the_same(
    again: Callable[[Upscaler], Upscaler], tiny: str, load: Load, draw: Draw
) -> None:
    upscaler = load(tiny, samples=2, map_uncertainty=True, seed=3)
    other = again(upscaler)
    assert other.settings == upscaler.settings
    one, two = (each.upscale(draw(9, 7), (36, 28)) for each in (upscaler, other))
    assert np.array_equal(one.color, two.color) and two.uncertainty is not None


def test_the_map_of_uncertainty_is_in_the_info(tiny: str, load: Load, draw: Draw) -> None:
    picture = draw(9, 7)
    upscaler = load(tiny, samples=2, map_uncertainty=True)
    expected = upscaler.upscale(picture, (18, 14)).uncertainty
    spread = upscaler(to_pil(picture), scale=2).info["uncertainty"]
    assert expected is not None and expected.any() and np.array_equal(np.asarray(spread), expected)


def test_sizes_that_cannot_be(silent: str, load: Load, draw: Draw) -> None:
    upscaler, photo = load(silent), to_pil(draw(13, 9))
    for scale in (0, -1, 0.5, float("nan"), 1000):
        with pytest.raises(UsageError, match="out of range"):
            upscaler(photo, scale=scale)
    with pytest.raises(UsageError, match="exclude"):
        upscaler(photo, scale=2, size=(26, 18))
    with pytest.raises(UsageError, match="down to"):
        upscaler.upscale(draw(13, 9), (12, 40))
    with pytest.raises(UsageError, match="not a width and height"):
        upscaler(photo, size=26)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="several sizes"):
        upscaler.upscale_many([draw(13, 9), draw(13, 8)], (26, 18))
    with pytest.raises(InputError, match="no pixels"):
        upscaler(Image.new("RGB", (0, 3)))
    with pytest.raises(InputError, match="not a Pillow image but str"):
        upscaler("photo.jpg")  # type: ignore[arg-type]


def smooth(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    levels = resize(pixels.astype(np.float32), size, resample="bicubic")
    return np.clip(levels, 0, np.iinfo(pixels.dtype).max)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey_and_depth_is_kept(
    channels: int, dtype: Any, silent: str, load: Load, draw: Draw
) -> None:
    picture = draw(22, 14, channels, dtype)
    result = load(silent).upscale(picture, (88, 56))
    assert result.color.shape == (56, 88, channels) and result.color.dtype == dtype
    one_level = np.iinfo(dtype).max / 255
    assert np.abs(result.color - smooth(picture.color, (88, 56))).max() <= one_level + 0.5
    if dtype == np.uint16:  # really 16 bits, not 8 of them spread out
        assert len(np.unique(result.color)) > 256


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(42, 28), (84, 56), (168, 112)], ids=["2x", "4x", "8x"])
def test_uniform_alpha_stays(level: int, size: tuple[int, int], tiny: str, load: Load, draw: Draw) -> None:
    color = draw(21, 14).color
    picture = Picture(color, np.full(color.shape[:2], level, np.uint8))
    upscaler = load(tiny)
    result = upscaler.upscale(picture, size)
    assert result.alpha is not None and (result.alpha == level).all() and result.alpha.shape == size[::-1]
    assert np.array_equal(result.color, upscaler.upscale(Picture(color), size).color)


def cut_out(dtype: Any = np.uint8) -> Picture:
    """A white disc; black where it is transparent, as many programs store it."""
    y, x = np.mgrid[:40, :40] - 19.5
    full = np.iinfo(dtype).max
    disc = np.where(np.hypot(x, y) < 12, full, 0).astype(dtype)
    return Picture(np.repeat(disc[:, :, None], 3, axis=2), disc)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [3, 4, 8])
def test_cut_outs_have_no_dark_fringe(dtype: Any, scale: int, silent: str, load: Load) -> None:
    result = load(silent).upscale(cut_out(dtype), (40 * scale, 40 * scale))
    assert result.alpha is not None and result.alpha.dtype == dtype
    full = np.iinfo(dtype).max
    assert result.color[result.alpha > 0].min() >= 0.99 * full


def test_transparent_stays_transparent_and_opaque_opaque(tiny: str, load: Load) -> None:
    """Even with a network that draws texture everywhere."""
    alpha = load(tiny, steps=3).upscale(cut_out(), (160, 160)).alpha
    assert alpha is not None
    y, x = np.mgrid[:160, :160] - 79.5
    radius = np.hypot(x, y) / 4
    assert (alpha[radius > 16] == 0).all() and (alpha[radius < 8] == 255).all()
    assert len(np.unique(alpha)) > 10  # and an edge in between


def test_alpha_of_a_model_that_predicts_noise_is_interpolated(
    make_model: Callable[..., Path], load: Load
) -> None:
    """One step from pure noise says nothing there."""
    upscaler, picture = load(str(make_model("sr3_unet"))), cut_out()
    result = upscaler.upscale(picture, (160, 160))
    assert picture.alpha is not None and result.alpha is not None
    assert np.array_equal(
        result.alpha, resize(picture.alpha[:, :, None], (160, 160), resample="bicubic")[:, :, 0]
    )


def test_the_original_sr3_works_too(make_model: Callable[..., Path], load: Load, draw: Draw) -> None:
    upscaler = load(str(make_model("sr3_unet")))
    assert (upscaler.settings.sampler, upscaler.settings.steps) == ("ddpm", 3)
    result = upscaler.upscale(draw(9, 7), (36, 28))
    assert result.color.shape == (28, 36, 3) and result.color.std() > 1
    assert result.notes == ()


def test_tiles_of_models_that_look_at_everything_are_told(
    make_model: Callable[..., Path], tiny: str, load: Load, draw: Draw
) -> None:
    sr3, local = load(str(make_model("sr3_unet")), tile_px=32), load(tiny, tile_px=32)
    assert any("may still be visible" in note for note in sr3.upscale(draw(40, 7), (160, 28)).notes)
    assert local.upscale(draw(40, 7), (160, 28)).notes == ()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds(sampler: str, tiny: str, load: Load, draw: Draw) -> None:
    picture = draw(40, 30)
    first = load(tiny, sampler=sampler, seed=7)
    one = first.upscale(picture, (160, 120)).color
    first.upscale(draw(10, 10), (40, 40))  # what was done before does not matter
    again = first.upscale(picture, (160, 120)).color
    other = load(tiny, sampler=sampler, seed=8).upscale(picture, (160, 120)).color
    assert np.array_equal(one, again)
    assert np.abs(one.astype(int) - other).max() > 5


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_threads_do_not_matter(dtype: str, tiny: str, load: Load, draw: Draw) -> None:
    picture, upscaler = draw(50, 40), load(tiny, dtype=dtype)
    one = upscaler.upscale(picture, (200, 160)).color.astype(int)
    torch.set_num_threads(2)
    assert np.abs(upscaler.upscale(picture, (200, 160)).color - one).max() <= 1


@pytest.mark.parametrize("scale", [3, 8, 20])
def test_progress_counts_every_evaluation(scale: int, tiny: str, load: Load) -> None:
    """Odd sizes and alpha included: what is reported as the total is what is done."""
    color = np.random.default_rng(0).integers(0, 256, (35, 43, 3), dtype=np.uint8)
    seen: list[Progress] = []
    upscaler = load(tiny, tile_px=32 if scale < 20 else 256, steps=2)
    upscaler.upscale(Picture(color, color[:, :, 0]), (43 * scale, 35 * scale), progress=seen.append)
    done = [p.done for p in seen]
    assert done == sorted(done) and done[0] > 0 and done[-1] == seen[-1].total
    stages = {3: 1, 8: 2, 20: 3}[scale]
    assert {p.stage for p in seen} == set(range(1, 2 * stages + 1)) and seen[0].stages == 2 * stages
    assert all(p.message is None for p in seen)


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("error", [Cancelled(), KeyboardInterrupt(), RuntimeError("stop")], ids=repr)
def test_progress_may_cancel(error: BaseException, tiny: str, load: Load, draw: Draw) -> None:
    calls = 0

    def cancel(_: Progress) -> None:
        nonlocal calls
        calls += 1
        raise error

    upscaler = load(tiny)
    with pytest.raises(type(error)):
        upscaler.upscale(draw(30, 20), (120, 80), progress=cancel)
    assert calls == 1
    assert upscaler.upscale(draw(30, 20), (120, 80)).size == (120, 80)  # and is as good as new


def test_metadata_is_kept_and_orientation_applied(silent: str, load: Load, draw: Draw) -> None:
    photo = to_pil(draw(20, 10))
    exif = photo.getexif()
    exif[ORIENTATION], exif[MAKE] = 6, "Camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.info.update(exif=exif.tobytes(), icc_profile=profile, dpi=(300, 300))
    big = load(silent)(photo, scale=2)
    assert big.size == (20, 40)
    assert big.info["icc_profile"] == profile and big.info["dpi"] == (300, 300)
    kept = Image.Exif()
    kept.load(big.info["exif"])
    assert kept.get(MAKE) == "Camera" and kept.get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_any_pillow_image(mode: str, silent: str, load: Load) -> None:
    big = load(silent)(Image.new(mode, (7, 5)), scale=2)
    assert big.size == (14, 10)
    assert big.mode == {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}.get(mode, mode)


def test_settings_say_what_was_resolved(tiny: str, load: Load) -> None:
    settings = load(tiny, dtype="auto", sampler=None).settings
    assert (settings.model, settings.device, settings.sampler, settings.steps) == ("tiny", "cpu", "ddim", 2)
    assert settings.dtype in ("fp32", "bf16") and settings.tile_px >= 32
    chosen = load(tiny, dtype="bf16", sampler="ddpm", steps=5, seed=3, tile_px=48).settings
    assert (chosen.dtype, chosen.sampler, chosen.steps, chosen.seed, chosen.tile_px) == (
        "bf16",
        "ddpm",
        5,
        3,
        48,
    )


def test_the_arguments_are_those_of_the_options() -> None:
    import inspect

    parameters = dict(inspect.signature(Upscaler.__init__).parameters)
    del parameters["self"]
    assert {name: p.default for name, p in parameters.items()} == vars(EngineOptions())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"device": "gpu"}, UsageError, "device gpu"),
        ({"dtype": "fp16"}, UsageError, "not for CPUs"),
        ({"dtype": "int8"}, UsageError, "dtype int8"),
        ({"sampler": "dimm"}, UsageError, "no sampler 'dimm'. Did you mean ddim"),
        ({"steps": 0}, UsageError, "steps 0"),
        ({"seed": -1}, UsageError, "seed -1"),
        ({"tile_px": 8}, UsageError, "tile 8"),
        ({"color_fix": "sepia"}, UsageError, "color-fix sepia"),
        ({"model": "nonsense"}, WeightsError, "no model 'nonsense'"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_arguments_are_checked(
    arguments: dict[str, Any], error: type[Exception], says: str, tiny: str
) -> None:
    with pytest.raises(error, match=says):
        Upscaler(**{"model": tiny, "device": "cpu", **arguments})


def test_more_steps_than_the_model_has(make_model: Callable[..., Path], load: Load) -> None:
    with pytest.raises(UsageError, match="21 steps are more than the 20"):
        load(str(make_model("sr3_unet")), steps=21)


def test_no_memory_for_the_weights(tiny: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(DeviceError, match="not enough memory for the model"):
        load(tiny)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "CUDA error: no kernel image is available for execution\nCompile with TORCH_USE_CUDA_DSA"
        ),
        NotImplementedError("The operator 'x' is not currently implemented for the MPS device."),
    ],
    ids=str,
)
def test_devices_that_cannot_run_the_model(
    error: Exception, tiny: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Restorer, "condition", fail)
    first, _, rest = str(error).partition("\n")
    with pytest.raises(DeviceError, match=re.escape(f"cpu cannot run the model {tiny} ({first}).")) as caught:
        load(tiny)
    assert "--device cpu" in (caught.value.hint or "") and (not rest or rest not in str(caught.value))


@pytest.mark.parametrize(
    ("arch", "scale"), [("residual_unet", 2), ("residual_unet", 8), ("sr3_unet", 4)], ids=str
)
def test_canvases_on_disk_give_the_same_picture(
    arch: str,
    scale: int,
    make_model: Callable[..., Path],
    load: Load,
    draw: Draw,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    color = draw(40, 34).color
    picture = Picture(color, np.where(color[:, :, 0] > 99, color[:, :, 1], 0).astype(np.uint8))
    upscaler = load(str(make_model(arch)), tile_px=32, steps=1)
    memory = upscaler.upscale(picture, (40 * scale, 34 * scale))
    monkeypatch.setattr(scratch, "DISK_FROM_BYTES", 1)
    disk = upscaler.upscale(picture, (40 * scale, 34 * scale))
    assert memory.alpha is not None and disk.alpha is not None
    assert scratch.is_mapped(disk.color) and scratch.is_mapped(disk.alpha)
    assert np.array_equal(disk.color, memory.color) and np.array_equal(disk.alpha, memory.alpha)
