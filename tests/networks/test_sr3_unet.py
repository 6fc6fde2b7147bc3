"""SR3's U-Net against recordings of the public implementation (tests/golden/janspiry_tiny/README.md)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from upscale.networks.sr3_unet import FeatureWiseAffine, SR3UNet, SR3UNetConfig

GOLDEN = Path(__file__).parents[1] / "golden"
PREFIX = "denoise_fn."
TINY = SR3UNetConfig(
    inner_channel=16, norm_groups=8, channel_multipliers=(1, 2, 4), attn_res=(8,), res_blocks=1, image_size=32
)
MICRO = SR3UNetConfig(
    inner_channel=8, norm_groups=4, channel_multipliers=(1, 2), attn_res=(), res_blocks=1, image_size=16
)


def trained(config: SR3UNetConfig, folder: str) -> SR3UNet:
    net = SR3UNet(config).eval()
    weights = load_file(GOLDEN / folder / "I8_E1_gen.safetensors")
    net.load_state_dict({k.removeprefix(PREFIX): w for k, w in weights.items() if k.startswith(PREFIX)})
    return net


@pytest.fixture(scope="module")
def tiny() -> SR3UNet:
    return trained(TINY, "janspiry_tiny")


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(GOLDEN / "janspiry_tiny" / "unet_io.safetensors")


def largest_error(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@torch.no_grad()
def test_output_is_the_recorded_one(tiny: SR3UNet, io: dict[str, Tensor]) -> None:
    out = tiny(io["noisy"], io["noise_level"], io["cond"])
    assert largest_error(out, io["output"]) < 1e-5
    # The condition goes in front.
    joined = tiny(torch.cat([io["cond"], io["noisy"]], dim=1), io["noise_level"].flatten())
    assert torch.equal(joined, out)


@torch.no_grad()
def test_output_in_float64_is_the_recorded_one(io: dict[str, Tensor]) -> None:
    net = trained(TINY, "janspiry_tiny").double()
    out = net(*(io[name].double() for name in ("noisy", "noise_level", "cond")))
    assert largest_error(out, io["output_f64"]) < 1e-7  # the recorded level went through float32 sines


@torch.no_grad()
def test_every_layer_gives_the_recorded_features(tiny: SR3UNet, io: dict[str, Tensor]) -> None:
    recorded = load_file(GOLDEN / "janspiry_tiny" / "unet_trace.safetensors")
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
        for name, module in tiny.named_modules()
        if name in recorded
    ]
    tiny(io["noisy"], io["noise_level"], io["cond"])
    for hook in hooks:
        hook.remove()
    assert seen.keys() == recorded.keys()
    for name, expected in recorded.items():
        out = seen[name][:1] if expected.ndim == 2 else seen[name][0, : len(expected)]
        assert largest_error(out, expected) < 1e-5, name


@torch.no_grad()
def test_a_picture_that_is_not_square(tiny: SR3UNet) -> None:
    io = load_file(GOLDEN / "janspiry_micro" / "unet_io_16x24.safetensors")
    out = trained(MICRO, "janspiry_micro")(io["noisy"], io["noise_level"], io["cond"])
    assert largest_error(out, io["output"]) < 1e-5


def test_training_loss_and_gradients_are_the_recorded_ones() -> None:
    net = trained(TINY, "janspiry_tiny")
    data = load_file(GOLDEN / "janspiry_tiny" / "train_loss.safetensors")
    level = data["sqrt_gamma"][:, :, None, None]
    noisy = level * data["HR"] + (1 - level**2).sqrt() * data["noise"]
    assert largest_error(noisy, data["x_noisy"]) < 1e-6
    loss = (data["noise"] - net(noisy, data["sqrt_gamma"], data["SR"])).abs().sum()
    assert loss.item() == pytest.approx(float(data["loss_sum"]), rel=1e-6)
    assert loss.item() / noisy.numel() == pytest.approx(float(data["loss_per_element"]), rel=1e-6)
    loss.backward()
    grads = {PREFIX + name: p.grad for name, p in net.named_parameters()}
    checked = 0
    for name, expected in data.items():
        if name.startswith("grad."):
            checked += 1
            error = largest_error(grads[name.removeprefix("grad.")], expected)
            assert error < 1e-5 * float(expected.abs().max()), name
    assert checked == 4
    norms = json.loads((GOLDEN / "janspiry_tiny" / "train_grad_norms.json").read_text())
    assert norms.keys() == grads.keys()
    assert {k: float(g.norm()) for k, g in grads.items()} == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("name", ["16_128", "64_512", "sample_128"])
def test_full_models_have_the_public_names_shapes_and_order(name: str) -> None:
    keys = json.loads((GOLDEN / "janspiry_keys" / f"{name}.json").read_text())
    unet = keys["unet"]
    config = SR3UNetConfig(
        in_channel=unet["in_channel"],
        out_channel=unet["out_channel"],
        inner_channel=unet["inner_channel"],
        channel_multipliers=unet["channel_multiplier"],
        res_blocks=unet["res_blocks"],
        attn_res=unet["attn_res"],
        image_size=keys["image_size"],
        norm_groups=unet["norm_groups"],
        dropout=unet["dropout"],
    )
    with torch.device("meta"):
        net = SR3UNet(config)
    ours = [(PREFIX + key, list(w.shape)) for key, w in net.state_dict().items()]
    public = [(k, e["shape"]) for k, e in keys["entries"].items() if k.startswith(PREFIX)]
    assert ours == public
    assert sum(p.numel() for p in net.parameters()) == keys["n_params"]


def test_defaults_are_the_public_16_to_128_model() -> None:
    unet = json.loads((GOLDEN / "janspiry_keys" / "16_128.json").read_text())["unet"]
    config = SR3UNetConfig()
    assert (config.inner_channel, config.norm_groups) == (unet["inner_channel"], unet["norm_groups"])
    assert (list(config.channel_multipliers), config.res_blocks) == (
        unet["channel_multiplier"],
        unet["res_blocks"],
    )
    assert config.multiple_of == 16


def test_affine_level_scales_first_and_shifts_second() -> None:
    layer = FeatureWiseAffine(embedding=2, channels=3, affine=True)
    linear = layer.noise_func[0]
    assert linear.weight.shape == (6, 2)
    linear.weight.data.zero_()
    linear.bias.data = torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    out = layer(torch.full((1, 3, 2, 2), 5.0), torch.zeros(1, 2))
    assert out[0, :, 0, 0].tolist() == [20.0, 35.0, 50.0]  # (1 + scale) x + shift


@torch.no_grad()
def test_affine_with_zero_scale_is_the_additive_network(tiny: SR3UNet, io: dict[str, Tensor]) -> None:
    net = SR3UNet(dataclasses.replace(TINY, use_affine_level=True)).eval()
    weights = {
        name: torch.cat([torch.zeros_like(w), w]) if "noise_func" in name else w
        for name, w in tiny.state_dict().items()
    }
    net.load_state_dict(weights)
    out = net(io["noisy"], io["noise_level"], io["cond"])
    assert largest_error(out, io["output"]) < 1e-5


@torch.no_grad()
def test_one_level_serves_the_whole_batch(tiny: SR3UNet, io: dict[str, Tensor]) -> None:
    one = tiny(io["noisy"], torch.tensor([0.4]), io["cond"])
    each = tiny(io["noisy"], torch.tensor([0.4, 0.4]), io["cond"])
    assert largest_error(one, each) < 1e-5


@torch.no_grad()
def test_without_noise_level_it_is_a_regression_network() -> None:
    net = SR3UNet(dataclasses.replace(MICRO, in_channel=3, with_noise_level_emb=False)).eval()
    assert not any("noise" in name for name in net.state_dict())
    assert net(torch.zeros(1, 3, 16, 8)).shape == (1, 3, 16, 8)


@torch.no_grad()
def test_skip_scale_scales_each_residual_sum() -> None:
    torch.manual_seed(0)
    plain = SR3UNet(MICRO).eval()
    scaled = SR3UNet(dataclasses.replace(MICRO, skip_scale=0.5**0.5)).eval()
    scaled.load_state_dict(plain.state_dict())
    x, e = torch.randn(1, 8, 4, 4), torch.randn(1, 8)
    torch.testing.assert_close(scaled.downs[1].res_block(x, e), plain.downs[1].res_block(x, e) * 0.5**0.5)


@torch.no_grad()
def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    net = SR3UNet(dataclasses.replace(MICRO, dropout=0.5))
    x, level = torch.randn(1, 6, 8, 8), torch.tensor([0.5])
    assert not torch.equal(net.train()(x, level), net(x, level))
    assert torch.equal(net.eval()(x, level), net(x, level))


@torch.no_grad()
def test_bfloat16_weights_are_told_the_level_exactly(tiny: SR3UNet, io: dict[str, Tensor]) -> None:
    net = SR3UNet(TINY).eval()
    net.load_state_dict(tiny.state_dict())
    net.bfloat16()
    out = net(io["noisy"].bfloat16(), io["noise_level"], io["cond"].bfloat16())
    assert out.dtype is torch.bfloat16
    assert largest_error(out.float(), io["output"]) < 0.15


@pytest.mark.parametrize(
    "wrong",
    [
        {"norm_groups": 7},
        {"inner_channel": 33, "norm_groups": 1},
        {"channel_multipliers": []},
        {"res_blocks": 0},
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SR3UNetConfig(**wrong)
