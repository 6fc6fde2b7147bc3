"""Recipes are read completely or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from upscale import networks
from upscale.errors import ExitCode, UsageError
from upscale.models.config import ModelConfig
from upscale.training import objectives
from upscale.training import recipe as recipes
from upscale.training.loop.step import DTYPES

COMMITTED = sorted(path.stem for path in recipes.RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_recipes_can_be_trained(name: str) -> None:
    recipe = recipes.load(name)
    network = networks.get(recipe.arch).build(recipe.network)
    assert recipe.network.get("scale", recipe.scale) == recipe.scale and recipe.dtype in DTYPES
    assert recipe.data.patch * recipe.scale % network.multiple_of == 0
    assert recipe.data.patch % network.multiple_of == 0 or recipe.arch != "residual_unet"
    ModelConfig(
        recipe.arch, recipe.arch, recipe.network, recipe.scale, **objectives.of(recipe).config(recipe)
    )
    assert recipes.as_table(recipe)["optimizer"]["lr"] == recipe.optimizer.lr


def test_there_are_some() -> None:
    assert "sr3-photo-4x" in COMMITTED


def test_a_file(recipe_file: Callable[..., Path]) -> None:
    recipe = recipes.load(str(recipe_file("bf16")))
    assert (recipe.dtype, recipe.data.patch, recipe.optimizer.warmup) == ("bf16", 12, 3)
    assert recipe.data.shrink == recipes.Data().shrink and recipe.last_step == recipes.LastStep()
    other = recipes.load(str(recipe_file(more="[last_step]\npixels = 0.25")))
    assert other.last_step == recipes.LastStep(pixels=0.25)


def test_unknown_recipes() -> None:
    with pytest.raises(UsageError, match="no recipe 'x'") as caught:
        recipes.load("x")
    assert caught.value.exit_code is ExitCode.USAGE and "sr3-photo-4x" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no recipe 'x.toml'"):
        recipes.load("x.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("= 3", "not valid TOML"),
        ("magic = 1", "does not fit.*magic"),
        ('arch = "residual_unet"', "does not fit.*scale"),
        ("[data]\nsize = 3", "does not fit.*size"),
        ("data = 3", "does not fit"),
    ],
)
def test_recipes_that_do_not_fit(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        recipes.load(str(path))
    assert "bad.toml" in caught.value.message


def test_what_a_recipe_freezes(recipe_file: Callable[..., Path]) -> None:
    recipe = replace(recipes.load(str(recipe_file())), frozen=("encoder.", "first"))
    assert recipe.freezes("encoder.stem.weight") and recipe.freezes("first.")
    assert not recipe.freezes("stem.weight") and not recipe.freezes("last.stem.weight")
    assert not replace(recipe, frozen=()).freezes("first.")
