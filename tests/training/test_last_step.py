"""The last step has weights of its own, trained on runs as they will be used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from upscale.diffusion.schedule import sigma_to_time, trigonometric_grid
from upscale.errors import UsageError, WeightsError
from upscale.models.restorer import Restorer
from upscale.training import objectives
from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.export import export
from upscale.training.loop.begin import begin, start
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.objectives import last_step
from upscale.training.objectives.last_step import loss_of, make_batch
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.runs import draw_levels
from upscale.training.recipe import Data, LastStep, Recipe


@pytest.fixture
def base(recipe_file: Callable[..., Path]) -> Recipe:
    return recipes.load(str(recipe_file()))


@pytest.fixture(params=[False, True], ids=["one encoder", "the first step has its own"])
def recipe(base: Recipe, request: pytest.FixtureRequest) -> Recipe:
    network = {**base.network, "first_step": True, "last_step": True, "first_encoder": request.param}
    return replace(base, objective="last_step", network=network, last_step=LastStep(steps=(2, 3), told=0.7))


@pytest.fixture
def hr(images: Photos) -> torch.Tensor:
    return images.crops(48, Data(batch=3, shrink=0.0), torch.Generator().manual_seed(0))


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_picture_has_two_runs_with_other_noise(hr: torch.Tensor, recipe: Recipe) -> None:
    batch = make_batch(hr, recipe, draws())
    assert [len(each) for each in (batch.lr, batch.aug_level, batch.target)] == [3, 3, 3]
    assert batch.noise.shape == (6, *batch.target.shape[1:])
    assert (
        abs(torch.corrcoef(torch.stack([batch.noise[:3].flatten(), batch.noise[3:].flatten()]))[0, 1]) < 0.05
    )
    assert batch.level.shape == (6,) and math.tan(math.pi / 2 * batch.level[0]) == pytest.approx(
        batch.sigmas[-1], rel=1e-4
    )
    again = make_batch(hr, recipe, draws())
    assert torch.equal(again.noise, batch.noise) and again.sigmas == batch.sigmas
    others = [make_batch(hr, recipe, draws(seed)) for seed in range(12)]
    assert {len(other.sigmas) for other in others} == {2, 3}
    assert len({other.offset for other in others}) > 6  # or a pattern of the grid's period is never seen
    assert all(0 <= side < last_step.UNSEEN_PX for other in others for side in other.offset)


def test_the_power_of_the_grid_is_drawn_as_far_apart_as_is_said(recipe: Recipe) -> None:
    how = LastStep(steps=(3, 4), power=1.5, power_spread=1.4)
    generator = draws()
    drawn = [draw_levels(replace(recipe, last_step=how), generator) for _ in range(200)]
    powers = []
    for sigmas in drawn:
        t_max, *_, last = map(sigma_to_time, sigmas)
        steps = len(sigmas)
        powers.append(math.log(1 - last / t_max) / math.log((steps - 1) / steps))
    assert {len(sigmas) for sigmas in drawn} == {3, 4}
    assert 1.5 / 1.4 <= min(powers) < 1.1 and 2.05 < max(powers) <= 1.5 * 1.4
    assert sum(power < 1.5 for power in powers) == pytest.approx(100, abs=25)
    alone = [draw_levels(replace(recipe, last_step=LastStep(steps=(3, 4))), generator) for _ in range(20)]
    assert set(alone) == {tuple(trigonometric_grid(n, power=2.0)) for n in (3, 4)}


@pytest.mark.parametrize("learn", [False, True], ids=["", "between learns"])
@pytest.mark.parametrize("steps", [2, 4])
def test_the_steps_before_are_as_at_use(
    steps: int, learn: bool, hr: torch.Tensor, recipe: Recipe, seen: VGGFeatures
) -> None:
    """Told less noise than there is, and not by the last step's weights."""
    recipe = replace(recipe, last_step=LastStep(steps=(steps,), told=0.7, between=learn))
    network: Any = start(recipe, "cpu").network
    batch = make_batch(hr, recipe, draws())
    calls: list[tuple[str, bool, float]] = []
    for name, part in (("first", network.first), ("between", network), ("last", network.last)):
        part.register_forward_pre_hook(
            lambda _, given, name=name: calls.append((name, torch.is_grad_enabled(), float(given[1][0])))
        )
    loss = loss_of(network, batch, recipe, torch.float32, seen)
    assert loss.shape == (6,) and loss.isfinite().all()
    factor = 0.7 ** (1 / steps)
    levels = [2 / math.pi * math.atan(s * (factor if k else 1)) for k, s in enumerate(batch.sigmas)]
    between = [("between", learn)] * (steps - 2)
    assert [call[:2] for call in calls] == [("first", False), *between, ("last", True)]
    assert [call[2] for call in calls] == pytest.approx(levels, abs=1e-5)


def test_a_run_is_taken_as_the_recipe_says(hr: torch.Tensor, recipe: Recipe, seen: VGGFeatures) -> None:
    """As second order as at use: of three steps on, where there are two estimates before the last."""
    network: Any = start(recipe, "cpu").network
    losses = {}
    for steps in (2, 3):
        for sampler in ("ddim", "dpmpp_2m"):
            how = replace(recipe, last_step=LastStep(steps=(steps,), sampler=sampler))
            losses[steps, sampler] = loss_of(network, make_batch(hr, how, draws()), how, torch.float32, seen)
    assert torch.equal(losses[2, "ddim"], losses[2, "dpmpp_2m"])
    assert not torch.allclose(losses[3, "ddim"], losses[3, "dpmpp_2m"], rtol=1e-3)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ('sampler = "ddpm"', "sampler ddpm"),
        ('sampler = "ddim@0.5"', "sampler ddim@0.5"),
        ('sampler = "no_such"', "sampler 'no_such'"),
        ("power = 0.0", "power is '0.0', where a number from 0.01 to 10 is needed"),
        ("power_spread = 0.9", "power_spread is '0.9', where a number from 1 to 10"),
    ],
)
def test_what_runs_cannot_be_practised_with(how: str, says: str, recipe_file: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=f"toml does not fit: .*{says}"):
        recipes.load(str(recipe_file(more=f"[last_step]\n{how}")))


def test_runs_that_end_at_the_photo_have_no_loss(hr: torch.Tensor, recipe: Recipe, seen: VGGFeatures) -> None:
    batch = make_batch(hr, recipe, draws())

    def knows(answer: torch.Tensor) -> Any:
        # v such that x0 is the answer, whatever x: v = (cos x - x0) / sin
        class Known:
            encoder = first = None
            encode = staticmethod(lambda lr, level: (lr, lr))

            def __call__(self, x: torch.Tensor, level: torch.Tensor, features: Any) -> torch.Tensor:
                angle = math.pi / 2 * level
                return (angle.cos() * x - answer) / angle.sin()

            @property
            def last(self) -> Any:
                return self

        return Known()

    photos = torch.cat([batch.target] * 2)
    assert loss_of(knows(photos), batch, recipe, torch.float32, seen).max() < 0.03
    assert loss_of(knows(photos + 0.5), batch, recipe, torch.float32, seen).min() > 0.3


def test_only_the_last_step_is_trained(
    base: Recipe,
    recipe: Recipe,
    images: Photos,
    seen: VGGFeatures,
    tmp_path: Path,
    whole_and_parts: Callable[..., tuple[State, State]],
) -> None:
    """It begins as a copy of the other steps; a run goes on as if it had not been stopped."""
    train(base, images, tmp_path / "base", steps=3)
    begun = begin(recipe, tmp_path / "none.pt", "cpu", str(tmp_path / "base" / "state.pt")).network
    before = {name: w.clone() for name, w in begun.state_dict().items()}
    for own in ("first", "last"):
        assert all(
            torch.equal(before[f"{own}.{name}"], before[name]) for name in ("stem.weight", "head.bias")
        )
    eyes = {name: w for name, w in before.items() if name.startswith("first.encoder.")}
    assert bool(eyes) == recipe.network["first_encoder"]
    assert all(torch.equal(w, before[name.removeprefix("first.")]) for name, w in eyes.items())
    how: Any = {"begin_with": tmp_path / "base" / "state.pt", "vgg": seen}
    whole, parts = whole_and_parts(recipe, 4, **how)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, before[name]) == (not name.startswith("last.")), name
        assert torch.equal(weight, parts.network.state_dict()[name]), name
    for kind in ("adamw", "muon"):
        other = replace(recipe, optimizer=replace(recipe.optimizer, kind=kind))
        groups = start(other, "cpu").optimizer.param_groups
        trained = sum(p.numel() for group in groups for p in group["params"])
        assert trained == sum(w.numel() for name, w in before.items() if name.startswith("last."))


@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_the_steps_between_learn_with_it(
    sampler: str, steps: int, recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path
) -> None:
    """Where a recipe says so, and a run has any; the first estimate stays what it was.

    Their encoder learns, too, unless the first step sees by it.
    """
    recipe = replace(recipe, last_step=LastStep(steps=(steps,), sampler=sampler, between=True))
    before = {name: w.clone() for name, w in start(recipe, "cpu").network.state_dict().items()}
    after = train(recipe, images, tmp_path / "run", steps=3, vgg=seen).network.state_dict()
    changed = {name for name, w in after.items() if not torch.equal(w, before[name])}
    eyes = {name for name in before if name.startswith("encoder.")}
    first = {name for name in before if name.startswith("first.")}
    last = {name for name in before if name.startswith("last.")}
    assert not changed & first
    assert len(changed & last) > 0.9 * len(last)
    assert len(changed & eyes) > 0.9 * len(eyes) if recipe.network["first_encoder"] else not changed & eyes
    between = set(before) - eyes - first - last
    assert len(changed & between) > 0.9 * len(between) if steps > 2 else not changed & between


def test_what_is_exported_runs_as_it_was_trained(
    recipe: Recipe, images: Photos, seen: VGGFeatures, tmp_path: Path
) -> None:
    recipe = replace(recipe, last_step=replace(recipe.last_step, sampler="dpmpp_2m"))
    train(recipe, images, tmp_path / "run", steps=1, vgg=seen)
    export(recipe, tmp_path / "run", tmp_path / "model", steps=3)
    restorer = Restorer.load(str(tmp_path / "model"), torch.float32, torch.device("cpu"))
    assert restorer.config.told == 0.7 and restorer.config.sampler == "dpmpp_2m"
    assert restorer.network.first is not None and restorer.network.last is not None


def test_it_needs_features(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sees with VGG") as caught:
        train(recipe, images, tmp_path / "run", steps=1)
    assert "--vgg" in str(caught.value.hint) and not (tmp_path / "run").exists()
    assert [name for name, row in objectives.OBJECTIVES.items() if row.sees] == ["last_step"]


# --- the features -----------------------------------------------------------------------------------------


def test_features_are_of_unit_length(seen: VGGFeatures, hr: torch.Tensor) -> None:
    features = seen(hr)
    assert [tuple(f.shape) for f in features] == [(3, 4, 48 >> k, 48 >> k) for k in range(4)]
    for f in features:
        length = torch.linalg.vector_norm(f, dim=1)
        assert length.max() <= 1 and length.median() > 0.95
    assert not any(torch.equal(f[0], f[1]) for f in features)


def test_weights_that_are_not_vgg(tmp_path: Path, make_model: Callable[..., Path]) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    other = make_model() / "model.safetensors"
    for path in (tmp_path / "none.safetensors", tmp_path / "x.safetensors", other):
        with pytest.raises(WeightsError, match="cannot be used as VGG weights"):
            VGGFeatures(path)
