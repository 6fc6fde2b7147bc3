"""Batches are made ahead by another thread, or by processes, and are the same as if they were not."""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from upscale.training.examples.photos import Photos
from upscale.training.loop.ahead import Batches, Made, draws
from upscale.training.loop.begin import start
from upscale.training.loop.state import State
from upscale.training.objectives.residual_v import make_batch
from upscale.training.recipe import Data, Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # where there is one core
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def state(recipe: Recipe) -> State:
    return start(recipe, "cpu")


class Watched(Photos):
    """Photographs that note which thread took crops, and for which seed."""

    def __init__(self, images: Photos) -> None:
        super().__init__(images.images)
        self.taken: list[tuple[str, int]] = []

    def crops(self, side: int, data: Data, generator: torch.Generator) -> torch.Tensor:
        self.taken.append((threading.current_thread().name, generator.initial_seed()))
        return super().crops(side, data, generator)


def by_hand(recipe: Recipe, images: Photos, place: tuple[int, int]) -> Any:
    generator = draws(recipe, place)
    hr = images.crops(recipe.data.patch * recipe.scale, recipe.data, generator)
    return make_batch(hr, recipe, generator)


def assert_same(one: Any, other: Any) -> None:
    parts = {name: part for name, part in vars(one).items() if part is not None}
    assert all(torch.equal(part, getattr(other, name)) for name, part in parts.items())


@pytest.mark.parametrize("workers", [0, 2])
def test_every_step_gets_its_own_batch(recipe: Recipe, images: Photos, state: State, workers: int) -> None:
    """In order, behind a jump, and behind a return to an earlier step."""
    places = [(0, 0), (1, 0), (2, 0), (7, 0), (3, 1), (4, 1)]
    with Batches(recipe, images, workers) as batches:
        for state.step, state.detours in places:
            assert_same(batches.of(state), by_hand(recipe, images, (state.step, state.detours)))
    assert len({draws(recipe, place).initial_seed() for place in places}) == len(places)


def test_the_next_one_is_made_meanwhile_by_another_thread(
    recipe: Recipe, images: Photos, state: State
) -> None:
    watched = Watched(images)
    with Batches(recipe, watched) as batches:
        batches.of(state)
        end = time.monotonic() + 30
        while len(watched.taken) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(watched.taken) == 2  # though nobody has asked for it yet
        state.step = 1
        batches.of(state)
    assert not any(name.startswith("MainThread") for name, _ in watched.taken)
    seeds = [seed for _, seed in watched.taken]
    assert seeds[:2] == [draws(recipe, (step, 0)).initial_seed() for step in (0, 1)]  # each once
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_processes_end_with_the_run(recipe: Recipe, images: Photos, state: State) -> None:
    with Batches(recipe, images, workers=2) as batches:
        batches.of(state)
        assert len(multiprocessing.active_children()) == 2
    end = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_there_is_said_here(
    recipe: Recipe, images: Photos, state: State, workers: int
) -> None:
    class Failing(Photos):
        def crops(self, *_: Any) -> torch.Tensor:
            raise MemoryError("no room for crops")

    with (
        Batches(recipe, Failing(images.images), workers) as batches,
        pytest.raises(MemoryError, match="no room"),
    ):
        batches.of(state)


@pytest.mark.parametrize("workers", [0, 1])
def test_some_crops_are_of_pages_and_not_spoilt(
    recipe: Recipe, images: Photos, state: State, workers: int
) -> None:
    """Of 7 in 8 crops a quarter; photographs come first, and there is at least one."""
    page = torch.zeros(3, 64, 64, dtype=torch.uint8)
    page[0] = 255  # as red as no photograph
    pages = Photos([page])
    chosen = replace(
        recipe,
        data=replace(recipe.data, batch=8, pages=0.25),
        degradation=replace(recipe.degradation, share=1.0, noise_share=0.0),
    )
    found = []
    with Batches(chosen, images, workers, pages=pages) as batches:
        for state.step in range(40):
            lr = batches.of(state).lr
            red = ((lr - torch.tensor([1.0, -1.0, -1.0])[:, None, None]).abs() < 1e-6).all(3).all(2).all(1)
            assert not red[0] and red.tolist() == sorted(red.tolist())
            found.append(int(red.sum()))
    assert 0.15 < sum(found) / (40 * 7) < 0.35 and len(set(found)) > 2


def test_without_pages_nothing_changes(recipe: Recipe, images: Photos, state: State) -> None:
    chosen = replace(recipe, data=replace(recipe.data, pages=0.25))
    with Batches(chosen, images) as batches:
        assert_same(batches.of(state), by_hand(recipe, images, (0, 0)))
    with Batches(recipe, images, pages=images) as batches:
        assert_same(batches.of(state), by_hand(recipe, images, (0, 0)))


def test_pages_have_the_share_that_a_recipe_says(recipe: Recipe, images: Photos) -> None:
    taken: list[int] = []

    class Counting(Photos):
        def crops(self, side: int, data: Data, generator: torch.Generator) -> torch.Tensor:
            taken.append(data.batch)
            return super().crops(side, data, generator)

    chosen = replace(recipe, data=replace(recipe.data, batch=8, pages=0.5))
    made = Made(chosen, images, Counting(images.images))
    for step in range(150):
        made[step, 0]
    assert 560 < sum(taken) < 640 and max(taken) < 8
