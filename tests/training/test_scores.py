"""Scores during a run: when, what is kept of them, and a run's folder where a model could be."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from upscale.models.restorer import Restorer
from upscale.training import recipe as recipes
from upscale.training.__main__ import app
from upscale.training.averaged import restorer_at
from upscale.training.evaluation.evaluate import Setting, evaluate, untiled
from upscale.training.examples.photos import Photos
from upscale.training.export import export
from upscale.training.loop.state import read
from upscale.training.loop.train import train
from upscale.training.recipe import Recipe


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def run(recipe: Recipe, photos: Path, tmp_path: Path) -> Path:
    train(recipe, Photos.load([photos], min_side=48), tmp_path / "run", steps=2)
    return tmp_path / "run"


def test_scores_are_those_of_the_averaged_weights_at_their_step(
    recipe_file: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    file, run = recipe_file(), tmp_path / "run"
    args = ["--evaluate-on", photos, "--evaluate-settings", "ddim:1,ddim:2", "--evaluate-limit", "2"]
    result = call("train", file, photos, "--run", run, "--steps", "3", "--evaluate-every", "2", *args)
    assert result.exit_code == 0, result.output
    assert "step 2  ddim 1: " in result.stderr
    assert (
        call("train", file, photos, "--run", run, "--steps", "4", "--evaluate-every", "2", *args).exit_code
        == 0
    )
    with (run / "scores.csv").open() as rows:
        table = list(csv.DictReader(rows))
    assert [(row["step"], row["setting"]) for row in table] == [
        ("2", "ddim 1"),
        ("2", "ddim 2"),
        ("4", "ddim 1"),
        ("4", "ddim 2"),
    ]
    settings = [Setting("ddim", 1), Setting("ddim", 2)]
    found = evaluate(untiled(restorer_at(run, torch.float32)), 4, photos, settings, limit=2)
    for row, setting in zip(table[2:], settings, strict=True):
        assert float(row["psnr_y"]) == found[setting].psnr_y and row["lpips"] == ""


def test_scoring_changes_nothing(recipe_file: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    file = recipe_file()
    scored = ["--evaluate-every", "1", "--evaluate-on", photos, "--evaluate-settings", "ddpm:2"]
    assert call("train", file, photos, "--run", tmp_path / "one", "--steps", "3").exit_code == 0
    assert call("train", file, photos, "--run", tmp_path / "two", "--steps", "3", *scored).exit_code == 0
    one, other = (read(tmp_path / name / "state.pt")["network"] for name in ("one", "two"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_is_the_model_that_it_would_be_exported_as(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    export(recipe, run, tmp_path / "model")
    model = Restorer.load(str(tmp_path / "model"), torch.float32, torch.device("cpu"))
    mine = restorer_at(run, torch.float32)
    assert mine.config.grid == model.config.grid and mine.config.residual_std == model.config.residual_std
    for name, weight in model.network.state_dict().items():
        assert torch.equal(weight, mine.network.state_dict()[name].half().float())


def test_evaluating_a_run(run: Path, photos: Path) -> None:
    result = call("evaluate", run, photos, "--settings", "ddim:1", "--dtype", "fp32", "--limit", "1")
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)) == ["bicubic", "ddim 1"]


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"arch": "residual_unet"}'])
def test_runs_without_a_recipe(content: str | None, run: Path, photos: Path) -> None:
    (run / "recipe.json").unlink()
    if content is not None:
        (run / "recipe.json").write_text(content)
    result = call("evaluate", run, photos)
    assert result.exit_code == 3 and "recipe.json cannot be read" in result.stderr
    assert "Traceback" not in result.output


def test_a_state_that_is_none(run: Path, photos: Path) -> None:
    torch.save({"step": 1}, run / "state.pt")
    result = call("evaluate", run, photos)
    assert result.exit_code == 3 and "is no training state" in result.stderr


def test_recipes_survive_a_run(recipe: Recipe, run: Path) -> None:
    kept = recipes.of_run(run)
    assert json.dumps(recipes.as_table(kept)) == json.dumps(recipes.as_table(recipe))


@pytest.mark.parametrize("args", [["--evaluate-every", "2"], ["--evaluate-on", "."]])
def test_one_option_without_the_other(
    args: list[str], recipe_file: Callable[..., Path], photos: Path
) -> None:
    result = call("train", recipe_file(), photos, "--run", "nowhere", *args)
    assert result.exit_code == 2 and "go together" in result.stderr
