"""Teachers: what a first step learns from beside photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from upscale.errors import UsageError
from upscale.training.examples.photos import Photos
from upscale.training.loop.begin import load_teachers, start
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.first_step import make_batch
from upscale.training.objectives.teachers import Teachers
from upscale.training.recipe import Data, FirstStep, Recipe


@pytest.fixture
def recipe(recipe: Recipe) -> Recipe:
    return replace(
        recipe, objective="first_step", network={**recipe.network, "first_step": True, "first_encoder": True}
    )


@pytest.fixture
def batch(images: Photos, recipe: Recipe) -> Batch:
    hr = images.crops(48, Data(batch=4, shrink=0.0), torch.Generator().manual_seed(0))
    return make_batch(hr, recipe, torch.Generator().manual_seed(1))


class Answering(torch.nn.Module):
    """A network whose first step says the same of every picture, whichever way up it is."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer, self.first, self.encoder = answer, self, self

    def encode(self, lr: torch.Tensor, level: torch.Tensor) -> None:
        """See nothing."""

    def forward(self, x: torch.Tensor, level: torch.Tensor, features: Any) -> torch.Tensor:
        assert not x.any() and level > 0.99  # out of pure noise, whose mean is nothing
        return -self.answer.expand_as(x)


def taught(batch: Batch, recipe: Recipe, *teachers: torch.nn.Module, share: float = 1.0) -> torch.Tensor:
    return Teachers(teachers, share).teach(batch, recipe, torch.float32).target


def test_each_example_hears_the_teacher_that_is_nearest_to_its_photo(batch: Batch, recipe: Recipe) -> None:
    dark, bright = Answering(torch.tensor(-1.0)), Answering(torch.tensor(1.0))
    target = torch.tensor([-0.2, 0.3, 2.0, -5.0])[:, None, None, None].expand_as(batch.target)
    heard = taught(replace(batch, target=target), recipe, dark, bright)
    assert heard.mean((1, 2, 3)).tolist() == pytest.approx([-1.0, 1.0, 1.0, -1.0], rel=1e-3)
    assert heard.std((1, 2, 3)).max() < 1e-6


def test_photographs_say_the_rest(batch: Batch, recipe: Recipe) -> None:
    heard = taught(batch, recipe, Answering(torch.tensor(1.0)), share=0.25)
    assert torch.allclose(heard, 0.75 * batch.target + 0.25, atol=1e-3)
    assert torch.equal(taught(batch, recipe, Answering(torch.tensor(1.0)), share=0.0), batch.target)


def test_a_teacher_is_asked_four_ways_up(batch: Batch, recipe: Recipe) -> None:
    """Its answer is wrong by something that turns with the picture's frame: the mean is not."""
    side = 4 * batch.lr.shape[2]
    slope = torch.linspace(-1, 1, side).expand(1, 3, side, side)  # dark on the left, whatever is shown
    level = replace(batch, target=torch.full_like(batch.target, 0.1))
    heard = taught(level, recipe, Answering(F.pixel_unshuffle(slope, 4)))
    assert heard.abs().max() < 1e-4

    left = replace(batch, target=F.pixel_unshuffle(slope, 4).expand_as(batch.target))
    heard = taught(left, recipe, Answering(F.pixel_unshuffle(slope, 4)))  # right as the picture is
    assert torch.allclose(heard, left.target, atol=1e-3)


def test_what_is_taught_is_learnt(images: Photos, recipe: Recipe, tmp_path: Path) -> None:
    """Told by itself alone what it knows already, a first step has nothing to learn from photographs."""
    made = train(replace(recipe, seed=5), images, tmp_path / "made", steps=5)
    made.save(tmp_path / "made.pt")

    def learnt(share: float) -> float:
        recipe_ = replace(recipe, first_step=FirstStep(taught=share))
        teachers = load_teachers([str(tmp_path / "made.pt")], recipe_, "cpu")
        run = tmp_path / f"{share}"
        state = train(recipe_, images, run, steps=1, begin_with=tmp_path / "made.pt", teachers=teachers)
        return state.norms[-1]

    assert learnt(1.0) < 0.5 * learnt(0.0)


def test_the_same_command_goes_on_where_it_stopped(
    recipe: Recipe, whole_and_parts: Any, assert_equal: Any, tmp_path: Path
) -> None:
    start(recipe, "cpu").save(tmp_path / "teacher.pt")
    teachers = load_teachers([str(tmp_path / "teacher.pt")], recipe, "cpu")
    whole: State
    parts: State
    whole, parts = whole_and_parts(recipe, 4, teachers=teachers)
    assert assert_equal(whole.content(), parts.content()) > 100


def test_only_a_first_step_has_teachers(images: Photos, recipe: Recipe, tmp_path: Path) -> None:
    start(recipe, "cpu").save(tmp_path / "teacher.pt")
    teachers = load_teachers([str(tmp_path / "teacher.pt")], recipe, "cpu")
    with pytest.raises(UsageError, match="'residual_v' has no teachers"):
        train(replace(recipe, objective="residual_v"), images, tmp_path / "run", steps=1, teachers=teachers)


def test_a_teacher_is_of_the_recipes_network(recipe: Recipe, tmp_path: Path) -> None:
    wider = replace(recipe, network={**recipe.network, "width": 12})
    start(wider, "cpu").save(tmp_path / "wide.pt")
    with pytest.raises(UsageError, match="does not fit the recipe"):
        load_teachers([str(tmp_path / "wide.pt")], recipe, "cpu")
