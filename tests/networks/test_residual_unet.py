"""The embedded network: shapes, what it is told, how far it looks, and that half precision is near."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from upscale.networks.residual_unet import build, laid_out, onednn
from upscale.networks.residual_unet.network import (
    Block,
    Conv2d,
    Features,
    LevelEmbedding,
    ResidualUNet,
    ResidualUNetConfig,
)

TINY = ResidualUNetConfig(
    scale=4,
    width=8,
    inner_width=12,
    encoder_blocks=1,
    encoder_inner_blocks=1,
    outer_blocks=1,
    inner_blocks=1,
    embedding=8,
)
REACH = 19  # LR pixels that one step of TINY looks around itself, at most


def shaken(config: ResidualUNetConfig = TINY) -> ResidualUNet:
    """A network whose every weight is random, also those that training starts at zero."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = ResidualUNet(config).eval()
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


@pytest.fixture(scope="module")
def network() -> ResidualUNet:
    return shaken()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(scale: int, batch: int) -> None:
    network = ResidualUNet(replace(TINY, scale=scale))
    features = network.encode(draw(batch, 3, 10, 6), torch.zeros(1))
    assert features.outer.shape == (batch, 8, 10, 6) and features.inner.shape == (batch, 12, 5, 3)
    x = draw(batch, 3 * scale**2, 10, 6)
    assert network(x, torch.full((1,), 0.5), features).shape == x.shape


@torch.no_grad()
def test_it_starts_by_predicting_nothing() -> None:
    network = ResidualUNet(TINY)
    out = network(draw(1, 48, 4, 4), torch.full((1,), 0.5), network.encode(draw(1, 3, 4, 4), torch.zeros(1)))
    assert torch.allclose(out, network.head.bias[None, :, None, None].expand_as(out))  # whatever it is given


@torch.no_grad()
def test_examples_with_their_own_levels_are_as_alone(network: ResidualUNet) -> None:
    """In training every example has its level; in use one level is folded into the convolutions."""
    lr, x = draw(3, 3, 8, 8), draw(3, 48, 8, 8, seed=1)
    levels, aug = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.0, 0.3, 0.6])
    together = network(x, levels, network.encode(lr, aug))
    for i in range(3):
        alone = network(x[i : i + 1], levels[i : i + 1], network.encode(lr[i : i + 1], aug[i : i + 1]))
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)
    shared = network(x, levels[:1], network.encode(lr, aug[:1]))
    same = network(x, levels[:1].expand(3), network.encode(lr, aug[:1].expand(3)))
    assert torch.allclose(shared, same, atol=1e-5)


@torch.no_grad()
def test_everything_that_it_is_given_matters(network: ResidualUNet) -> None:
    lr, x, level, aug = draw(1, 3, 8, 8), draw(1, 48, 8, 8), torch.tensor([0.5]), torch.zeros(1)
    out = network(x, level, network.encode(lr, aug))
    features = network.encode(lr, aug)
    for other in (
        network(x + 0.1, level, features),
        network(x, level + 0.01, features),
        network(x, level, network.encode(lr + 0.1, aug)),
        network(x, level, network.encode(lr, aug + 0.01)),
        network(x, level, Features(features.outer + 0.1, features.inner)),
        network(x, level, Features(features.outer, features.inner + 0.1)),
    ):
        assert not torch.allclose(out, other, atol=1e-6)


@pytest.mark.parametrize("of", ["x", "lr"])
def test_a_pixel_depends_on_its_neighbourhood_only(of: str, network: ResidualUNet) -> None:
    """No statistics over pixels: the reason why tiles do not show."""
    side = 2 * REACH + 12
    inputs = {"x": draw(1, 48, side, side), "lr": draw(1, 3, side, side)}
    inputs[of].requires_grad_()
    out = network(inputs["x"], torch.tensor([0.5]), network.encode(inputs["lr"], torch.zeros(1)))
    middle = side // 2
    out[..., middle, middle].sum().backward()
    gradient = inputs[of].grad
    assert gradient is not None
    seen = gradient.abs().amax(dim=(0, 1)).nonzero()
    assert (seen - middle).abs().max() <= REACH
    assert (seen - middle).abs().max() >= 5  # and it does look around


@torch.no_grad()
def test_bfloat16_is_near(network: ResidualUNet) -> None:
    lr, x, level = draw(1, 3, 16, 16).clamp(-1, 1), draw(1, 48, 16, 16), torch.tensor([0.5])
    exact = network(x, level, network.encode(lr, torch.zeros(1)))
    half: Any = copy.deepcopy(network).bfloat16()
    out = half(x.bfloat16(), level, half.encode(lr.bfloat16(), torch.zeros(1)))
    assert out.dtype == torch.bfloat16
    assert (out - exact).abs().mean() < 0.02 * exact.abs().mean() + 0.01


@torch.no_grad()
def test_weights_in_float32_compute_in_the_dtype_of_their_input(network: ResidualUNet) -> None:
    """How training does without autocast."""
    features = network.encode(draw(1, 3, 8, 8).bfloat16(), torch.zeros(1))
    assert features.outer.dtype == torch.bfloat16
    assert network(draw(1, 48, 8, 8).bfloat16(), torch.tensor([0.5]), features).dtype == torch.bfloat16


def test_every_parameter_is_trained(network: ResidualUNet) -> None:
    network = copy.deepcopy(network).train()
    out = network(
        draw(2, 48, 8, 8), torch.tensor([0.2, 0.7]), network.encode(draw(2, 3, 8, 8), torch.zeros(2))
    )
    out.square().mean().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_modulation_scales_and_shifts_what_the_convolution_gives(batch: int) -> None:
    conv = Conv2d(4, 6)
    x, scale, shift = draw(2, 4, 5, 5), draw(batch, 6, seed=1), draw(batch, 6, seed=2)
    expected = conv(x) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    assert torch.allclose(conv.modulated(x, scale, shift), expected, atol=1e-5)


@torch.no_grad()
def test_blocks_start_near_the_identity() -> None:
    x = draw(1, 16, 8, 8)
    change = Block(16, 8)(x.clone(), torch.zeros(1, 8)) - x
    assert 0 < change.std() < 0.2 * x.std()


@torch.no_grad()
def test_close_levels_are_told_apart() -> None:
    """Also in half precision, whose numbers are 1/256 apart near 1."""
    embed: Any = LevelEmbedding(8).bfloat16()
    one, other = embed(torch.tensor([0.990])), embed(torch.tensor([0.991]))
    assert one.shape == (1, 8) and not torch.equal(one, other)


@pytest.mark.parametrize(
    "table", [{"width": 0}, {"scale": -1}, {"embedding": 0}, {"inner_width": -5}], ids=str
)
def test_sizes_that_make_no_network(table: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build(table)


def test_an_encoder_belongs_to_a_step() -> None:
    with pytest.raises(ValueError, match="first_encoder needs first_step"):
        build({"first_encoder": True})


def test_the_names_of_parameters_stay() -> None:
    """Weights out in the world use them."""
    tops = {name.split(".")[0] for name in ResidualUNet(TINY).state_dict()}
    assert tops == {"encoder", "embed", "stem", "before", "down", "inner", "up", "after", "head"}
    assert "encoder.outer.0.film.weight" in ResidualUNet(TINY).state_dict()
    assert len(ResidualUNet(ResidualUNetConfig()).state_dict()) == 150
    for own in ("first", "last"):
        whole = ResidualUNet(replace(TINY, **{f"{own}_step": True})).state_dict()
        names = {name.removeprefix(f"{own}.").split(".")[0] for name in whole if name.startswith(f"{own}.")}
        assert names == tops - {"encoder"}
    whole = ResidualUNet(replace(TINY, first_step=True, first_encoder=True)).state_dict()
    assert {name.split(".")[1] for name in whole if name.startswith("first.")} == tops


@pytest.mark.parametrize("own", ["first", "last"])
@torch.no_grad()
def test_the_ends_of_a_run_have_weights_of_their_own(own: str) -> None:
    network = shaken(replace(TINY, **{f"{own}_step": True}))
    step = getattr(network, own)
    assert step is not None and getattr(shaken(), own) is None
    x, level = draw(1, 48, 8, 8), torch.tensor([0.5])
    features = network.encode(draw(1, 3, 8, 8), torch.zeros(1))
    assert not torch.equal(network(x, level, features), step(x, level, features))
    shared = {n: w for n, w in network.state_dict().items() if not n.startswith(("encoder.", f"{own}."))}
    step.load_state_dict(shared)
    assert torch.equal(network(x, level, features), step(x, level, features))


@torch.no_grad()
def test_the_first_step_may_look_for_itself() -> None:
    lr, level = draw(1, 3, 8, 8), torch.zeros(1)
    assert (shares := shaken(replace(TINY, first_step=True)).first) is not None and shares.encoder is None
    network = shaken(replace(TINY, first_step=True, first_encoder=True))
    assert network.encoder is not None and network.first is not None and network.first.encoder is not None
    assert not torch.equal(network.encode(lr, level).inner, network.first.encode(lr, level).inner)
    network.first.encoder.load_state_dict(network.encoder.state_dict())
    assert all(map(torch.equal, network.encode(lr, level), network.first.encode(lr, level)))


def tuned(network: ResidualUNet) -> Any:
    """The network as a CPU runs it."""
    runner = laid_out(network)
    if runner is network:
        pytest.skip("this torch, or this processor, has no fused convolutions in that dtype")
    return runner


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)], ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_cpu_computes_the_same_in_its_own_way(dtype: torch.dtype, apart: float, batch: int) -> None:
    """Every step of it, at several levels and sizes: weights laid out for one serve the others."""
    network = shaken(replace(TINY, first_step=True, first_encoder=True, last_step=True))
    network.to(dtype, memory_format=torch.channels_last)
    runner = tuned(network)
    for parts in ((network, runner), (network.first, runner.first), (network.last, runner.last)):
        for level, width in ((0.5, 12), (0.9, 12), (0.5, 6)):
            x, lr = (draw(batch, c, 8, width).to(dtype, memory_format=torch.channels_last) for c in (48, 3))
            told, aug = torch.tensor([level]), torch.tensor([level / 5])
            with torch.inference_mode():
                plain, fast = (
                    step(x, told, (step if step.encoder else whole).encode(lr, aug))
                    for step, whole in zip(parts, (network, runner), strict=True)
                )
            assert (fast - plain).abs().max() <= apart * plain.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_it_is_given_stays_as_it_is(network: ResidualUNet, dtype: torch.dtype) -> None:
    """Blocks add in place; features serve every step of a run, and samplers need x again."""
    runner = tuned(copy.deepcopy(network).to(dtype, memory_format=torch.channels_last))
    x, lr = (draw(1, c, 8, 8).to(dtype, memory_format=torch.channels_last) for c in (48, 3))
    with torch.inference_mode():
        features = runner.encode(lr, torch.zeros(1))
        given = (lr, x, features.outer, features.inner)
        before = [t.clone() for t in given]
        runner(x, torch.tensor([0.5]), features)
    assert all(map(torch.equal, given, before))


def test_more_levels_than_are_kept_come_out_the_same(network: ResidualUNet) -> None:
    runner = tuned(copy.deepcopy(network))
    x, lr = (draw(1, c, 8, 8).contiguous(memory_format=torch.channels_last) for c in (48, 3))
    levels = [torch.tensor([0.05 * n]) for n in range(1, onednn.LEVELS_KEPT + 3)]
    with torch.inference_mode():
        features = runner.encode(lr, torch.zeros(1))
        once, again = ([runner(x, level, features) for level in levels] for _ in range(2))
    assert all(map(torch.equal, once, again))
    assert not torch.equal(once[0], once[-1])


@pytest.mark.parametrize("lacking", ["_convolution_pointwise", "_reorder_convolution_weight"])
def test_without_these_operators_the_network_runs_itself(
    lacking: str, network: ResidualUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not part of torch's public interface, and other versions may have others or none."""

    def missing(*_: Any) -> Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(torch.ops.mkldnn, lacking, missing)
    onednn.serves.cache_clear()
    try:
        assert laid_out(network) is network
    finally:
        onednn.serves.cache_clear()
