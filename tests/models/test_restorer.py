"""The adapter between networks and samplers, for either target."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from upscale import networks
from upscale.diffusion.block_noise import BlockNoiseField
from upscale.diffusion.conditioning import augmentation_level, upsample_bicubic
from upscale.diffusion.mixture import USUAL, mix
from upscale.diffusion.noise import INITIAL, NoiseField
from upscale.diffusion.orientation import turned, turned_back
from upscale.diffusion.relay import Relay
from upscale.diffusion.samplers import SAMPLERS
from upscale.errors import UsageError, WeightsError
from upscale.models.config import PROCESSES
from upscale.models.restorer import How, Restorer

MakeModel = Callable[..., Path]
CPU = torch.device("cpu")


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Restorer:
    return Restorer.load(str(folder), dtype, CPU)


def noise(scale: int, seed: int = 0) -> Callable[[int], torch.Tensor]:
    def of(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed + step - INITIAL)
        return torch.randn(1, 3, 8 * scale, 6 * scale, generator=generator)

    return of


@pytest.fixture
def lr() -> torch.Tensor:
    return torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("arch", networks.names())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_architecture_restores(
    arch: str, dtype: torch.dtype, make_model: MakeModel, lr: torch.Tensor
) -> None:
    restorer = load(make_model(arch), dtype)
    steps: list[int] = []
    fine = restorer.noise_fineness
    assert fine == (1 if arch == "latent_unet2d" else 4)
    hr = restorer.restore(lr, noise(fine), sampler="ddpm", steps=3, on_step=steps.append)
    assert hr.shape == (1, 3, 32, 24) and hr.dtype == torch.float32 and hr.isfinite().all()
    assert steps == [0, 1, 2]
    assert torch.equal(hr, restorer.restore(lr, noise(fine), sampler="ddpm", steps=3))
    assert not torch.equal(hr, restorer.restore(lr, noise(fine, seed=9), sampler="ddpm", steps=3))
    assert not torch.equal(hr, restorer.restore(lr.flip(2), noise(fine), sampler="ddpm", steps=3))


@pytest.mark.parametrize("arch", networks.names())
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("sampler", [*SAMPLERS, "ddim@0.5"])
def test_every_sampler_samples_every_architecture_and_process(
    arch: str, process: str, sampler: str, make_model: MakeModel, lr: torch.Tensor
) -> None:
    if process == "relay" and arch != "residual_unet":
        pytest.skip("relays are on the residual")
    restorer = load(make_model(arch, process=process))
    for count in (1, 2, 5):
        steps: list[int] = []
        hr = restorer.restore(
            lr, noise(restorer.noise_fineness), sampler=sampler, steps=count, on_step=steps.append
        )
        assert hr.shape == (1, 3, 32, 24) and hr.isfinite().all()
        assert steps == list(range(count))  # a step is a network evaluation, for progress too


def test_a_relay_blurs_and_has_block_noise(make_model: MakeModel, lr: torch.Tensor) -> None:
    """A silent v network makes gamma x of x: two steps of ddim by hand."""
    grid = {"name": "trigonometric", "sigma_max": 1.7, "sigma_last": 0.3}
    restorer = load(make_model(silent=True, process="relay", relay={"block": 0.5}, grid=grid))
    field = restorer.noise_field(seed=3, stage=1)
    assert field == BlockNoiseField(seed=3, stage=1, side=4, weight=0.5)
    assert load(make_model()).noise_field(3, 1) == NoiseField(3, 1)
    start = torch.from_numpy(field.window(INITIAL, 0, 0, 32, 24))[None]
    hr = restorer.restore(lr, lambda _: start, sampler="ddim", steps=2)
    conditioned, relay = restorer.condition(lr), Relay(block=0.5)
    x = 1.7 * conditioned.pack(start)
    x0 = x / (1 + 1.7**2)
    x = relay.blur(x0, 0.3) + 0.3 / 1.7 * (x - relay.blur(x0, 1.7))
    assert torch.allclose(hr, conditioned.image(x / (1 + 0.3**2)), atol=1e-5)


def test_the_residual_is_added_to_bicubic(make_model: MakeModel, lr: torch.Tensor) -> None:
    conditioned = load(make_model(residual_std=0.5)).condition(lr)
    hr = torch.randn(1, 3, 32, 24)
    packed = conditioned.pack(hr)
    assert packed.shape == (1, 48, 8, 6)
    assert torch.allclose(conditioned.image(packed), upsample_bicubic(lr, 4) + 0.5 * hr, atol=1e-6)
    assert torch.equal(F.pixel_shuffle(packed, 4), hr)


def test_a_silent_v_network_leaves_gamma_x(make_model: MakeModel, lr: torch.Tensor) -> None:
    conditioned = load(make_model(silent=True)).condition(lr)
    x = conditioned.pack(torch.randn(1, 3, 32, 24))
    assert torch.allclose(conditioned(x, 2.0), x / 5)


def test_images_stay_in_range(make_model: MakeModel, lr: torch.Tensor) -> None:
    """SR3's own target has bounds, which its estimates are held to."""
    conditioned = load(make_model("sr3_unet")).condition(lr)
    x = torch.randn(1, 3, 32, 24)
    assert torch.equal(conditioned.image(conditioned.pack(x)), x)
    assert conditioned(x * 50, 50.0).abs().max() == 1


def test_the_augmentation_level_is_told(make_model: MakeModel, lr: torch.Tensor) -> None:
    restorer = load(make_model())
    x = restorer.condition(lr).pack(torch.randn(1, 3, 32, 24))
    plain, told = (restorer.condition(lr, sigma)(x, 1.0) for sigma in (0.0, 0.1))
    assert not torch.allclose(plain, told)


def test_the_network_is_told_what_the_config_says(make_model: MakeModel, lr: torch.Tensor) -> None:
    """A silent v network makes gamma x of x: with half the sigma told, that of half the sigma.

    Each of two evaluations takes the root of the config's factor; pure noise is told as it is.
    """
    restorer = load(make_model(silent=True, told=0.25))
    conditioned = restorer.condition(lr)
    hr = restorer.restore(lr, noise(4), sampler="ddim", steps=2)
    high, low = restorer.config.sigmas(2)
    x = conditioned.pack(noise(4)(INITIAL)) * high
    x = (x / (1 + high**2)).lerp(x, low / high)
    assert torch.allclose(hr, conditioned.image(x / (1 + (low / 2) ** 2)), atol=1e-5)


@pytest.mark.parametrize("arch", ["residual_unet", "sr3_unet"])
def test_fidelity_leads_to_the_first_estimate(arch: str, make_model: MakeModel, lr: torch.Tensor) -> None:
    restorer = load(make_model(arch, told=0.7, prediction="v"))

    def of(steps: int, fidelity: float) -> torch.Tensor:
        return restorer.restore(lr, noise(4), sampler="ddim", steps=steps, fidelity=fidelity)

    first, last, between = of(1, 0.0), of(3, 0.0), of(3, 0.3)
    assert (first - last).abs().max() > 0.01
    unit = restorer.config.residual_std if restorer.config.target == "residual" else USUAL
    ends = (F.pixel_unshuffle(x / unit, 4) for x in (last, first))
    expected = unit * F.pixel_shuffle(mix(*ends, torch.full((1, 1, 1, 1), 0.3), 4, torch.float32), 4)
    assert torch.allclose(between, expected, atol=1e-5)
    assert torch.allclose(of(3, 1.0), first, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_ends_of_a_run_are_evaluated_by_steps_of_their_own(
    sampler: str, make_model: MakeModel, lr: torch.Tensor
) -> None:
    """The first out of nothing, so it is the same for every noise; a run that starts lower has none."""
    with_ends = {**load(make_model()).config.network, "first_step": True, "last_step": True}
    restorer = load(make_model(network=with_ends))
    calls: list[str] = []
    network = restorer.network
    restorer.bound = replace(restorer.bound, runner=network)  # not what is faster, which has no hooks
    for name, step in (("first", network.first), ("between", network), ("last", network.last)):
        step.register_forward_pre_hook(
            lambda _, given, name=name: calls.append(name if given[0].any() else f"{name} of nothing")
        )

    def of(steps: int, start: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
        calls.clear()
        hr = restorer.restore(lr, noise(4, seed), sampler=sampler, steps=steps, start=start)
        return hr, list(calls)

    one, called = of(1)
    assert called == ["first of nothing"] and torch.equal(one, of(1, seed=9)[0])
    assert of(2)[1] == ["first of nothing", "last"]
    assert of(4)[1] == ["first of nothing", "between", "between", "last"]
    assert of(1, start=0.6)[1] == ["between"]
    assert of(3, start=0.6)[1] == ["between", "between", "last"]
    assert not torch.equal(of(2)[0], of(2, seed=9)[0])


def test_the_first_step_may_look_for_itself(make_model: MakeModel, lr: torch.Tensor) -> None:
    """Each encoder is asked once for all runs of an image, told its level; none that no step needs."""
    own = {**load(make_model()).config.network, "first_step": True, "first_encoder": True}
    restorer = load(make_model(network=own))
    network = restorer.network
    restorer.bound = replace(restorer.bound, runner=network)  # not what is faster, which has no hooks
    asked: list[tuple[str, float]] = []
    for name, encoder in (("own", network.first.encoder), ("shared", network.encoder)):
        encoder.register_forward_pre_hook(lambda _, given, name=name: asked.append((name, float(given[1]))))

    def of(steps: int, sigma_aug: float | list[float], times: int = 1, start: float = 1.0) -> torch.Tensor:
        asked.clear()
        images = lr.expand(len(sigma_aug), -1, -1, -1) if isinstance(sigma_aug, list) else lr
        noises = [lambda step: noise(4)(step).expand(len(images), -1, -1, -1)] * times
        how: How = {"sampler": "ddim", "steps": steps, "sigma_aug": sigma_aug, "start": start}
        return torch.stack(list(restorer.samples(images, noises, **how)))

    one, level = of(1, 0.1), pytest.approx(augmentation_level(0.1))
    assert asked == [("own", level)]
    of(2, 0.1, start=0.6)
    assert asked == [("shared", level)]
    some, more = of(2, 0.0), of(2, 0.1, times=3)
    assert sorted(asked) == [("own", level), ("shared", level)]
    assert torch.allclose(of(2, [0.1, 0.0, 0.1]), torch.cat([more[:1], some, more[:1]], dim=1), atol=1e-5)
    assert sorted(level for name, level in asked if name == "own") == pytest.approx(
        [0.0, augmentation_level(0.1)]
    )
    with torch.no_grad():
        network.encoder.stem.bias.add_(1.0)
    assert torch.equal(of(1, 0.1), one) and not torch.equal(of(2, 0.0), some)


STARTED = [("residual_unet", {}), ("sr3_unet", {}), ("unet2d", {})]


@pytest.mark.parametrize(("arch", "changes"), STARTED)
def test_a_start_at_pure_noise_changes_nothing(
    arch: str, changes: dict[str, Any], make_model: MakeModel, lr: torch.Tensor
) -> None:
    restorer = load(make_model(arch, **changes))
    how: How = {"sampler": "ddpm", "steps": 3}
    assert torch.equal(
        restorer.restore(lr, noise(4), **how), restorer.restore(lr, noise(4), **how, start=1.0)
    )


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("arch", "changes"), STARTED)
def test_a_start_above_the_grid_is_pure_noise(
    steps: int, arch: str, changes: dict[str, Any], make_model: MakeModel, lr: torch.Tensor
) -> None:
    """A grid ends at some sigma: of trigonometric ones 100, which is t = 0.9936."""
    if arch == "residual_unet":
        changes = {"network": {**load(make_model()).config.network, "first_step": True}}
    restorer = load(make_model(arch, **changes))
    how: How = {"sampler": "ddim", "steps": steps}
    top = math.atan(restorer.config.sigmas(steps)[0]) * 2 / math.pi
    noisy, above, below = (
        restorer.restore(lr, noise(4), **how, start=start) for start in (1.0, (top + 1) / 2, top - 0.05)
    )
    assert torch.equal(above, noisy) and not torch.equal(below, noisy)


def test_a_start_is_the_upsampled_picture_under_noise(make_model: MakeModel, lr: torch.Tensor) -> None:
    """Networks that say nothing leave gamma x of x (v), or x itself (epsilon)."""
    sigma, grain = math.tan(math.pi / 2 * 0.3), noise(4)(INITIAL)
    residual = load(make_model(silent=True, residual_std=0.5))
    hr = residual.restore(lr, noise(4), sampler="ddim", steps=1, start=0.3)
    expected = upsample_bicubic(lr, 4) + 0.5 * sigma / (1 + sigma**2) * grain
    assert torch.allclose(hr, expected, atol=1e-5)
    grid = {"name": "edm", "sigma_max": 50.0}
    image = load(make_model("sr3_unet", silent=True, grid=grid))
    hr = image.restore(lr, noise(4), sampler="ddim", steps=1, start=0.3)
    assert torch.allclose(hr, (upsample_bicubic(lr, 4) + sigma * grain).clamp(-1, 1), atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("arch", "changes"), STARTED)
def test_every_sampler_starts_below_pure_noise(
    sampler: str, arch: str, changes: dict[str, Any], make_model: MakeModel, lr: torch.Tensor
) -> None:
    restorer = load(make_model(arch, **changes))
    for count in (1, 2, 5):
        steps: list[int] = []
        hr = restorer.restore(lr, noise(4), sampler=sampler, steps=count, start=0.6, on_step=steps.append)
        assert hr.isfinite().all() and steps == list(range(count))
        assert not torch.equal(hr, restorer.restore(lr, noise(4), sampler=sampler, steps=count))


def test_the_lower_the_start_the_closer_to_the_upsampled_picture(
    make_model: MakeModel, lr: torch.Tensor
) -> None:
    """For Gaussian residuals ddim follows the flow, which leaves s / sqrt(s^2 + sigma^2) of the noise.

    A silent v network is the best estimate for residuals of standard deviation 1.
    """
    restorer = load(make_model(silent=True, residual_std=0.5))
    base, grain = upsample_bicubic(lr, 4), noise(4)(INITIAL)
    for start in (0.8, 0.5, 0.2):
        sigma = math.tan(math.pi / 2 * start)
        hr = restorer.restore(lr, noise(4), sampler="ddim", steps=600, start=start)
        assert torch.allclose(hr - base, 0.5 * math.sin(math.pi / 2 * start) * grain, rtol=0.02, atol=2e-3)
        assert math.sin(math.pi / 2 * start) == pytest.approx(sigma / math.hypot(1, sigma))


def test_samples_are_those_of_each_noise(make_model: MakeModel, lr: torch.Tensor) -> None:
    restorer = load(make_model())
    noises = [noise(4, seed=seed) for seed in range(3)]
    together = list(restorer.samples(lr, noises, sampler="ddpm", steps=2))
    alone = [restorer.restore(lr, one, sampler="ddpm", steps=2) for one in noises]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("ways_up", [1, 2, 8])
@pytest.mark.parametrize("start", [1.0, 0.7])
def test_samples_see_the_picture_in_all_ways_up_that_its_model_knows(
    ways_up: int, start: float, make_model: MakeModel, lr: torch.Tensor
) -> None:
    restorer = load(make_model(ways_up=ways_up))
    how = How(sampler="ddpm", steps=2, start=start, fidelity=0.3)
    noises = [noise(4, seed=seed) for seed in range(9)]

    def as_seen(way: int, of: Callable[[int], torch.Tensor]) -> torch.Tensor:
        hr = restorer.restore(turned(lr, way), lambda step: turned(of(step), way), **how)
        return turned_back(hr, way)

    made = list(restorer.samples(lr, noises, **how))
    for i, (sample, of) in enumerate(zip(made, noises, strict=True)):
        assert torch.equal(sample, as_seen(i % ways_up, of))
        assert ways_up == 1 or i % ways_up == 0 or not torch.equal(sample, as_seen(0, of))


@pytest.mark.parametrize(("scale", "levels", "multiple_of"), [(4, 2, 1), (8, 5, 2), (2, 5, 8), (3, 2, 2)])
def test_sides_that_networks_on_the_image_can_take(
    scale: int, levels: int, multiple_of: int, make_model: MakeModel
) -> None:
    """They halve the HR image `levels` - 1 times; 3 LR pixels at 3x are 9, which nothing halves."""
    network = {
        "inner_channel": 8,
        "norm_groups": 4,
        "channel_multipliers": [1] * levels,
        "attn_res": [],
        "res_blocks": 1,
    }
    restorer = load(make_model("sr3_unet", network=network, scale=scale))
    assert restorer.multiple_of == multiple_of


def test_the_embedded_architecture_is_local_and_sr3_is_not(make_model: MakeModel) -> None:
    assert load(make_model()).local and not load(make_model("sr3_unet")).local
    assert load(make_model()).multiple_of == 2


def test_a_copy_in_float32(make_model: MakeModel, lr: torch.Tensor) -> None:
    folder = make_model()
    narrow = load(folder, torch.bfloat16)
    wide = narrow.in_float32()
    assert {p.dtype for p in wide.network.parameters()} == {torch.float32}
    assert {p.dtype for p in narrow.network.parameters() if p.ndim == 4} == {torch.bfloat16}
    assert {p.dtype for p in narrow.network.parameters() if p.ndim < 4} == {torch.float32}  # see `narrow`
    one, other = (r.restore(lr, noise(4), sampler="ddim", steps=2) for r in (wide, load(folder)))
    assert (one - other).abs().max() < 0.05  # its weights have passed through bfloat16


def test_more_steps_than_the_chain_has(make_model: MakeModel) -> None:
    restorer = load(make_model("sr3_unet"))
    assert len(restorer.config.sigmas(20)) == 20
    with pytest.raises(UsageError, match="21 steps"):
        restorer.config.sigmas(21)


@pytest.mark.parametrize(
    "changes",
    [{"scale": 2}, {"target": "image"}, {"target": "image", "scale": 2}],
    ids=str,
)
def test_configs_that_promise_what_the_network_does_not(
    changes: dict[str, Any], make_model: MakeModel
) -> None:
    folder = make_model()
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="does not fit its network"):
        load(folder)


def test_sr3_has_no_residual_target(make_model: MakeModel) -> None:
    with pytest.raises(WeightsError, match="does not fit its network"):
        load(make_model("sr3_unet", target="residual"))
    with pytest.raises(WeightsError, match="does not fit its network"):  # an unconditional network
        network = {"inner_channel": 4, "norm_groups": 4, "channel_multipliers": [1, 1], "in_channel": 3}
        load(make_model("sr3_unet", network=network))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        NotImplementedError("The operator 'x' is not currently implemented for the MPS device."),
    ],
    ids=str,
)
def test_a_failing_device_is_not_taken_for_a_wrong_config(
    error: Exception, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Restorer, "condition", fail)
    with pytest.raises(type(error)) as caught:
        load(make_model())
    assert caught.value is error
