"""Optimisers: what Muon's step is, which weights it takes, and that its state is carried on exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from upscale import networks
from upscale.errors import UsageError
from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.loop import optimizers
from upscale.training.loop.begin import start
from upscale.training.loop.muon import Muon, orthogonalized
from upscale.training.loop.optimizers import OPTIMIZERS, Together
from upscale.training.loop.state import State, read
from upscale.training.loop.train import train
from upscale.training.recipe import Recipe


def with_kind(recipe: Recipe, kind: str) -> Recipe:
    return replace(recipe, optimizer=replace(recipe.optimizer, kind=kind))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- Muon -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (24, 24)], ids=["wide", "tall", "square"])
def test_directions_stay_and_lengths_become_one(shape: tuple[int, int]) -> None:
    """Newton-Schulz keeps the singular vectors: u^T f(x) v is near the identity."""
    u, s, vt = torch.linalg.svd(normal(*shape), full_matrices=False)
    s = torch.linspace(1, 0.05, len(s))
    found = orthogonalized(((u * s) @ vt)[None])[0]
    assert found.shape == shape and found.dtype == torch.bfloat16
    turned = u.T @ found.float() @ vt.T
    assert turned.diagonal().min() > 0.6 and turned.diagonal().max() < 1.3
    assert (turned - turned.diagonal().diag()).abs().max() < 0.1


def test_the_scale_of_a_gradient_does_not_matter_and_none_gives_none() -> None:
    x = normal(2, 8, 20)
    torch.testing.assert_close(orthogonalized(x), orthogonalized(1e-6 * x), atol=0.03, rtol=0)
    assert torch.equal(orthogonalized(torch.zeros(1, 8, 20)), torch.zeros(1, 8, 20, dtype=torch.bfloat16))


def test_matrices_of_one_shape_are_stacked_without_touching_each_other() -> None:
    x = normal(3, 8, 20)
    alone = torch.cat([orthogonalized(m[None]) for m in x])
    torch.testing.assert_close(orthogonalized(x), alone, atol=0.02, rtol=0)


def test_one_step_by_hand() -> None:
    weight = nn.Parameter(normal(8, 4, 3, 3))
    optimizer = Muon([weight], 0.01, momentum=0.9, rms=0.3, weight_decay=0.1)
    momentum = torch.zeros_like(weight)
    for seed in (1, 2):
        gradient = weight.grad = normal(8, 4, 3, 3, seed=seed)
        momentum = 0.9 * momentum + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * momentum
        update = orthogonalized(ahead.reshape(1, 8, 36)).float().reshape(weight.shape)
        expected = weight.detach() * (1 - 0.01 * 0.1) - 0.01 * 0.3 * 36**0.5 * update
        optimizer.step()
        torch.testing.assert_close(weight.detach(), expected, atol=1e-5, rtol=0)


def test_updates_are_as_large_as_said() -> None:
    """Moonlight's scaling: whatever the shape, the elements' root mean square is `rms` times the rate."""
    for shape in [(64, 64, 3, 3), (64, 16, 1, 1), (16, 64, 1, 1)]:
        weight = nn.Parameter(torch.zeros(shape))
        weight.grad = normal(*shape)
        Muon([weight], 1.0).step()
        assert 0.15 < float(weight.detach().square().mean().sqrt()) < 0.22


def test_relative_updates_scale_with_the_weight() -> None:
    """A weight a hundred times as large is moved a hundred times as far; zeros are moved, too."""
    gradient, before = normal(8, 20), normal(8, 20, seed=1)
    moved = {}
    for scale in (0.0, 0.05, 5.0):
        weight = nn.Parameter(scale * before)
        weight.grad = gradient.clone()
        Muon([weight], 0.1, rms=0.2, relative=True).step()
        moved[scale] = weight.detach() - scale * before
    torch.testing.assert_close(moved[5.0], 100 * moved[0.05])
    size = float((0.05 * before).square().mean().sqrt())
    assert float(moved[0.05].square().mean().sqrt()) == pytest.approx(0.1 * 0.2 * size, rel=0.15)
    assert float(moved[0.0].square().mean().sqrt()) == pytest.approx(0.1 * 0.2 * 1e-3, rel=0.15)


def test_weights_without_a_gradient_are_left_alone() -> None:
    weight, still = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    weight.grad = normal(4, 4)
    optimizer = Muon([weight, still], 0.1, weight_decay=0.5)
    optimizer.step()
    assert torch.equal(still.detach(), torch.ones(4, 4)) and still not in optimizer.state
    assert not torch.equal(weight.detach(), torch.ones(4, 4))


# --- who gets what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        (
            "sr3-photo-4x",
            {f"{step}{part}.weight" for step in ("", "first.") for part in ("encoder.stem", "stem", "head")},
        ),
        ("sr3-paper-4x", {"downs.0.weight", "final_conv.block.3.weight"}),
    ],
)
def test_muon_takes_the_convolutions_between_features(name: str, ends: set[str]) -> None:
    recipe = recipes.load(name)
    network = networks.get(recipe.arch).build(recipe.network)
    optimizer = optimizers.of(with_kind(recipe, "muon"), network)
    assert isinstance(optimizer, Together)
    names = {id(p): n for n, p in network.named_parameters()}
    inside, others = (
        {names[id(p)] for group in optimizer.parts[part].param_groups for p in group["params"]}
        for part in ("muon", "adamw")
    )
    assert inside | others == set(names.values()) and not inside & others
    convolutions = {n for n, p in network.named_parameters() if p.ndim == 4}
    assert inside == convolutions - ends and ends <= convolutions
    assert sum(p.numel() for n, p in network.named_parameters() if n in inside) > 0.8 * sum(
        p.numel() for p in network.parameters()
    )


def test_unknown_kinds(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no optimizer 'sgd'") as caught:
        train(with_kind(recipe, "sgd"), images, tmp_path / "run", steps=1)
    assert "muon" in (caught.value.hint or "") and not (tmp_path / "run" / "state.pt").exists()


# --- in a run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_six_steps_are_three_and_three(
    kind: str, recipe: Recipe, whole_and_parts: Callable[..., tuple[State, State]]
) -> None:
    recipe = with_kind(recipe, kind)
    whole, parts = whole_and_parts(recipe, 6)
    for one, other in ((whole.network, parts.network), (whole.ema, parts.ema)):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    assert whole.norms == parts.norms


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_loss_falls(kind: str, recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    recipe = with_kind(recipe, kind)
    fast = replace(
        recipe, optimizer=replace(recipe.optimizer, lr=5e-3), noise=replace(recipe.noise, power=0.3)
    )
    losses: list[float] = []
    train(fast, images, tmp_path, steps=150, on_report=lambda report: losses.append(report.loss))
    assert losses[-1] < 0.95 * losses[0]


def test_the_rate_reaches_all_parts(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    state = train(with_kind(recipe, "muon"), images, tmp_path, steps=2)  # of 3 steps of warm-up
    assert [group["lr"] for group in state.optimizer.param_groups] == [pytest.approx(2 / 3 * 1e-3)] * 2


@pytest.mark.parametrize(("first", "then"), [("adamw", "muon"), ("muon", "adamw")])
def test_another_optimizer_begins_with_a_run(
    first: str, then: str, recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    begun = train(with_kind(recipe, first), images, tmp_path / "one", steps=3)
    kept = (tmp_path / "one" / "state.pt").read_bytes()
    with pytest.raises(UsageError, match="another kind of optimizer") as caught:
        train(with_kind(recipe, then), images, tmp_path / "one", steps=4)
    assert "--begin-with" in (caught.value.hint or "")
    assert (tmp_path / "one" / "state.pt").read_bytes() == kept
    begin_with = tmp_path / "one" / "state.pt"
    state = start(with_kind(recipe, then), "cpu")
    assert not torch.equal(next(state.network.parameters()), next(begun.ema.parameters()))
    train(with_kind(recipe, then), images, tmp_path / "two", steps=0, begin_with=begin_with)
    for name, value in read(tmp_path / "two" / "state.pt")["network"].items():
        assert torch.equal(value, begun.ema.state_dict()[name])
    assert train(with_kind(recipe, then), images, tmp_path / "two", steps=2).step == 2
