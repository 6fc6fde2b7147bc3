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
from upscale.training.precision import DTYPES

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
        ("magic = 1", "does not fit: there is no entry magic"),
        ('arch = "residual_unet"', "does not fit.*scale"),
        ("[data]\nsize = 3", "does not fit: there is no entry size"),
        ("[data]\nbatsch = 3", "no entry batsch.*Did you mean batch"),
        ("[optimiser]\nlr = 1.0", "no entry optimiser.*Did you mean optimizer"),
        ("data = 3", "does not fit"),
        ('frozen = "first."', "does not fit: frozen is 'first.', where a list, each text, is needed"),
        ("frozen = [1]", "does not fit: frozen"),
        ('dtype = "fp16"', "does not fit: dtype fp16 is unknown"),
        ("seed = true", "does not fit: seed"),
        ("network = 3", "does not fit: network is '3', where a table is needed"),
        ('[data]\nbatch = "4"', "does not fit: batch is '4', where a whole number from 1 on is needed"),
        ("[data]\npatch = 12.5", "does not fit: patch"),
        ("[data]\npatch = 8", "does not fit: patch is '8', where a whole number from 12 on is needed"),
        ("[data]\npatch = 30", "does not fit: .*patch 30 is no multiple of 4"),
        ("[data]\nshrink_max = 0.9", "does not fit: shrink_max"),
        ("[degradation]\nshare = nan", "does not fit: share is 'nan', where a number from 0 to 1 is needed"),
        ("[degradation]\nshare = -0.5", "does not fit: share"),
        ("[degradation]\nshare = 1.5", "does not fit: share is '1.5', where a number from 0 to 1 is needed"),
        ("[degradation]\npages_quality = 96", "does not fit: pages_quality"),
        ("[optimizer]\nlr = inf", "does not fit: lr"),
        ("[optimizer]\nbetas = [0.9, 1.0]", "each a number from 0 to 0.999999, is needed"),
        (f"[optimizer]\nlr = {10**400}", "does not fit: lr"),
        ("[optimizer]\nbetas = [0.9]", "does not fit: betas is '.0.9.', where a list of 2"),
        ("[optimizer]\nrelative = 1", "does not fit: relative"),
        ("[recovery]\nkeep_every = 0", "does not fit: keep_every"),
        ("[relay]\nlength = 1.0", "does not fit: length"),
        ("[last_step]\nsteps = []", "no number of steps"),
        ("[last_step]\nsteps = [0]", "does not fit: steps"),
        ("[last_step]\nspread = 1.1", "does not fit: spread"),
    ],
)
def test_recipes_that_do_not_fit(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    # Everything that a recipe must have, so that only what is given is wrong.
    whole = 'arch = "residual_unet"\nscale = 4\nresidual_std = 0.1\n'
    needed = whole + ("" if text.startswith("network") else "network = {}\n")
    path.write_text(text if text.startswith(("=", "magic", "arch")) else needed + text)
    with pytest.raises(UsageError, match=says) as caught:
        recipes.load(str(path))
    assert "bad.toml" in caught.value.message


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    for name, says in (("bytes", "not valid TOML"), ("folder", "cannot be read")):
        with pytest.raises(UsageError, match=says):
            recipes.load(str(tmp_path / f"{name}.toml"))


def test_whole_numbers_are_numbers(recipe_file: Callable[..., Path]) -> None:
    recipe = recipes.load(str(recipe_file(more="clip = 1\n[last_step]\nsteps = [1, 2]")))
    assert recipe.optimizer.clip == 1
    assert recipes.from_table(recipes.as_table(recipe), "here") == recipe


def test_what_a_recipe_freezes(recipe_file: Callable[..., Path]) -> None:
    recipe = replace(recipes.load(str(recipe_file())), frozen=("encoder.", "first"))
    assert recipe.freezes("encoder.stem.weight") and recipe.freezes("first.")
    assert not recipe.freezes("stem.weight") and not recipe.freezes("last.stem.weight")
    assert not replace(recipe, frozen=()).freezes("first.")
