"""Deeper networks begin as those that their weights come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from upscale.errors import UsageError
from upscale.networks.residual_unet import ResidualUNet, build
from upscale.training.examples.photos import Photos
from upscale.training.loop.begin import begin
from upscale.training.loop.growth import grown
from upscale.training.loop.train import train
from upscale.training.recipe import Recipe

DEEPER = {"encoder_blocks": 4, "encoder_inner_blocks": 2, "outer_blocks": 3, "inner_blocks": 2}
ENDS = {"first_step": True, "first_encoder": True, "last_step": True}


def shaken(table: dict[str, Any]) -> ResidualUNet:
    network = build(table)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.1, generator=generator)
    return network


def seen(network: ResidualUNet, step: Any, encoder: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(2, 3, 12, 12, generator=generator) * 2 - 1
    x = torch.randn(2, 48, 12, 12, generator=generator)
    level = torch.tensor([0.3, 0.8])
    result: torch.Tensor = step(x, level, encoder.encode(lr, level))
    return result


def test_it_computes_the_same(recipe: Recipe) -> None:
    small = shaken({**recipe.network, **ENDS})
    table = {**recipe.network, **ENDS, **DEEPER, "first_sizes": {"encoder_blocks": 2}}
    large = build(table)
    weights = grown(small.state_dict(), large.state_dict())
    large.load_state_dict(weights)
    for of in (lambda n: (n, n), lambda n: (n.first, n.first), lambda n: (n.last, n)):
        assert torch.allclose(seen(large, *of(large)), seen(small, *of(small)), rtol=1e-4, atol=1e-4)
    blocks = [weights[f"encoder.outer.{i}.conv1.weight"] for i in range(4)]
    assert not torch.equal(blocks[1], blocks[2])  # of different halves
    assert weights["encoder.outer.3.conv2.weight"].square().mean() > 0.005


def test_what_is_there_stays(recipe: Recipe) -> None:
    weights = shaken(recipe.network).state_dict()
    assert grown(weights, weights).keys() == weights.keys()
    none = {name: w for name, w in weights.items() if not name.startswith("inner.")}
    assert grown(none, weights).keys() == none.keys()  # nothing to grow from


def test_new_blocks_learn(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    train(recipe, images, tmp_path / "small", steps=4)
    small = str(tmp_path / "small" / "state.pt")
    deeper = replace(recipe, network={**recipe.network, "encoder_blocks": 3})
    begun = begin(deeper, tmp_path / "none.pt", "cpu", small).network.state_dict()
    before = {name: w.clone() for name, w in begun.items()}
    after = train(deeper, images, tmp_path / "deep", steps=5, begin_with=small).network.state_dict()
    for block in ("encoder.outer.1.", "encoder.outer.2."):
        effect = after[f"{block}conv2.weight"]
        assert not torch.equal(effect, before[f"{block}conv2.weight"])
        ours, theirs = effect.chunk(2, dim=1)
        assert (ours + theirs).abs().max() > 1e-6  # no longer cancel


def test_a_narrower_one_does_not_fit(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    deep = replace(recipe, network={**recipe.network, "encoder_blocks": 3})
    train(deep, images, tmp_path / "deep", steps=1)
    with pytest.raises(UsageError, match="does not fit the recipe"):
        begin(recipe, tmp_path / "none.pt", "cpu", str(tmp_path / "deep" / "state.pt"))
