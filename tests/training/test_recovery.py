"""Training that goes astray: skipped batches, returns to a good state, resuming across them, the end."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from upscale.errors import DeviceError, ExitCode
from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.loop import recovery
from upscale.training.loop.ahead import draws
from upscale.training.loop.begin import start
from upscale.training.loop.state import State, read
from upscale.training.loop.train import train
from upscale.training.recipe import Data, Recipe

SHORT = "[recovery]\nkeep_every = 4\npatience = 3\nsmoothing = 4\nreturns = 2"


@pytest.fixture
def recipe(recipe_file: Callable[..., Path]) -> Recipe:
    return recipes.load(str(recipe_file(more=SHORT)))


class Poisoned(Photos):
    """Photographs whose crops are no numbers where the generator has one of some seeds."""

    def __init__(self, images: Photos, seeds: set[int]) -> None:
        super().__init__(images.images)
        self.seeds = seeds

    def crops(self, side: int, data: Data, generator: torch.Generator) -> Tensor:
        crops = super().crops(side, data, generator)
        return crops * math.nan if generator.initial_seed() in self.seeds else crops


def poisoned(recipe: Recipe, images: Photos, steps: range, detours: range) -> Poisoned:
    seeds = {draws(recipe, place).initial_seed() for place in itertools.product(steps, detours)}
    assert len(seeds) == len(steps) * len(detours)
    return Poisoned(images, seeds)


def finite(state: State) -> bool:
    return all(bool(p.isfinite().all()) for p in state.network.parameters())


def test_a_few_bad_batches_are_only_skipped(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    state = train(recipe, poisoned(recipe, images, range(5, 7), range(1)), tmp_path, steps=10)
    assert (state.step, state.skipped, state.detours, state.outliers) == (10, 2, 0, 0) and finite(state)


def test_outliers_that_persist_lead_back_and_on_with_other_batches(
    recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    steps: list[tuple[int, int, float]] = []

    def note(state: State) -> None:
        steps.append((state.step, state.detours, state.optimizer.param_groups[0]["lr"]))

    bad = poisoned(recipe, images, range(6, 100), range(1))
    state = train(recipe, bad, tmp_path, steps=14, on_step=note)
    # Three outliers after step 6, then back to step 4, the last multiple of keep_every.
    assert [s[:2] for s in steps] == [(n, 0) for n in range(1, 9)] + [(n, 1) for n in range(4, 15)]
    assert (state.skipped, state.detours, state.returned) == (3, 1, 0) and finite(state)
    rate = {(step, detours): lr for step, detours, lr in steps}
    assert rate[6, 0] == pytest.approx(1e-3)
    assert [rate[n, 1] for n in (5, 8, 9)] == pytest.approx([5e-4, 5e-4, 1e-3])  # 8 is a good state again


@pytest.mark.parametrize("stop_at", [6, 7, 8], ids=["before", "among outliers", "one before the return"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_resuming_across_a_return_is_exact(
    kind: str,
    stop_at: int,
    recipe: Recipe,
    images: Photos,
    tmp_path: Path,
    assert_equal: Callable[[Any, Any], int],
) -> None:
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, kind=kind))
    bad = poisoned(recipe, images, range(6, 100), range(1))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(recipe, bad, whole, steps=10)
    train(recipe, bad, parts, steps=stop_at)
    assert read(parts / "state.pt")["outliers"] == stop_at - 6
    train(recipe, bad, parts, steps=10)
    one, other = read(whole / "state.pt"), read(parts / "state.pt")
    assert one["detours"] == 1 and one["good"]["step"] == 8
    assert_equal(one, other)


def test_the_good_state_is_brought_back_whole_and_again(
    recipe: Recipe, images: Photos, tmp_path: Path, assert_equal: Callable[[Any, Any], int]
) -> None:
    state = train(recipe, images, tmp_path, steps=4)
    good = read(tmp_path / "state.pt")["good"]
    assert good["step"] == 4 and len(good["losses"]) == 4
    for _ in range(2):  # what was brought back is changed again; what is kept must not be
        for module in (state.network, state.ema):
            for p in module.parameters():
                p.data.fill_(math.nan)
        for values in state.optimizer.state_dict()["state"].values():
            values["exp_avg"].fill_(math.nan)
        state.step, state.norms, state.outliers = 7, [math.nan], 3
        recovery.watch(recipe, state)
        assert_equal(state.content(), good)
    assert (state.detours, state.returned, state.outliers) == (2, 2, 0)


@pytest.mark.parametrize(("loss", "back"), [(0.74, False), (0.76, True), (math.nan, True)])
def test_a_loss_that_has_risen_leads_back(loss: float, back: bool, recipe: Recipe) -> None:
    state = start(recipe, "cpu")
    state.losses = [0.4, 0.6, 0.5, 0.5]
    state.keep()
    state.step, state.losses = 3, [0.5, 0.5, loss, 2 * loss - 1 + loss]
    recovery.watch(recipe, state)
    assert (state.step, state.detours) == ((0, 1) if back else (3, 0))


@pytest.mark.parametrize(
    ("good", "now"),
    [([0.1], [0.5] * 4), ([0.1] * 4, [0.5] * 3), ([], [0.5] * 4), ([-0.5] * 4, [-0.4] * 4)],
    ids=["good one not settled", "not settled", "none known", "an energy score below 0"],
)
def test_losses_that_say_nothing(good: list[float], now: list[float], recipe: Recipe) -> None:
    state = start(recipe, "cpu")
    state.losses = good
    state.keep()
    state.step, state.losses = 3, now
    recovery.watch(recipe, state)
    assert (state.step, state.detours) == (3, 0)


def test_weights_that_were_spoilt_are_noticed_by_the_loss(
    recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    """Gradients of this size are let through here: what is left is the smoothed loss."""
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, skip_above=1e9))

    def spoil(state: State) -> None:
        if (state.step, state.detours) == (10, 0):
            for p in state.network.parameters():
                p.data.add_(1)

    state = train(recipe, images, tmp_path, steps=16, on_step=spoil)
    assert state.step == 16 and state.detours >= 1 and state.skipped == 0
    assert state.loss is not None and state.loss < 2 and finite(state)


def test_a_state_is_not_good_while_batches_are_outliers(recipe: Recipe) -> None:
    state = start(recipe, "cpu")
    state.keep()
    state.step, state.outliers = 8, 1
    recovery.watch(recipe, state)
    assert state.good is not None and state.good["step"] == 0
    state.step, state.outliers = 9, 0
    recovery.watch(recipe, state)
    assert state.good["step"] == 0  # no multiple of keep_every
    state.step = 12
    recovery.watch(recipe, state)
    assert state.good["step"] == 12


def test_it_gives_up_with_the_good_state_saved(
    recipe: Recipe, images: Photos, tmp_path: Path, assert_equal: Callable[[Any, Any], int]
) -> None:
    hopeless = poisoned(recipe, images, range(6, 100), range(9))
    for detours in (3, 6):  # a second call tries as often again
        with pytest.raises(DeviceError, match="2 returns to step 4 did not help.*3 outlying") as caught:
            train(recipe, hopeless, tmp_path, steps=30)
        assert caught.value.exit_code is ExitCode.DEVICE and "rate" in (caught.value.hint or "")
        saved = read(tmp_path / "state.pt")
        assert (saved["step"], saved["detours"], saved["returned"]) == (4, detours, 0)
        assert_equal({key: saved[key] for key in saved["good"]}, saved["good"])
    assert train(recipe, images, tmp_path, steps=10).step == 10  # the photographs were mended


def test_states_of_earlier_versions_are_read(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    train(recipe, images, tmp_path / "new", steps=5)
    content = read(tmp_path / "new" / "state.pt")
    old = {key: content[key] for key in ("step", "skipped", "norms", "network", "ema", "optimizer")}
    (tmp_path / "old").mkdir()
    torch.save(old, tmp_path / "old" / "state.pt")
    one = train(recipe, images, tmp_path / "new", steps=7)
    other = train(recipe, images, tmp_path / "old", steps=7)
    assert other.good is not None and other.good["step"] == 5 and other.detours == 0
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_returns_are_in_the_log(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    bad = poisoned(recipe, images, range(6, 100), range(1))
    train(recipe, bad, tmp_path, steps=50)
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["step"], row["skipped"], row["detours"]) == ("50", "3", "1")
