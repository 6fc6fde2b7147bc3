"""The search for a schedule: its space, what it finds, and what it prints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from upscale.diffusion.schedule import make_grid
from upscale.errors import InputError, UsageError
from upscale.metrics.lpips import LPIPS
from upscale.models.restorer import Restorer
from upscale.training.__main__ import app
from upscale.training.evaluation.search import SPACE, Axis, Crops, Goal, Schedule, Trial, parse_axis, search

PSNR = Goal(1.0, 0.0)


@pytest.fixture
def restorer(make_model: Callable[..., Path]) -> Restorer:
    return Restorer.load(str(make_model()), torch.float32, torch.device("cpu"))


class Bowl(Crops):
    """Pictures whose score is known: best at one schedule, worse with the distance from it."""

    def __init__(self, best: Schedule, steps: int) -> None:
        self.best, self.steps = best, steps

    def try_out(self, sampler: str, sigmas: Sequence[float], told: float) -> tuple[float, float | None]:
        apart = [math.log(a / b) for a, b in zip(sigmas, self.best.sigmas(self.steps), strict=True)]
        return 30 - sum(a * a for a in apart) - 100 * (told - self.best.told) ** 2, None


def test_the_best_schedule_is_found(restorer: Restorer) -> None:
    best = Schedule(power=1.4, sigma_max=60.0, sigma_last=0.3, told=0.93)
    seen: list[Trial] = []
    found = search(Bowl(best, 5), restorer, steps=5, sampler="ddim", goal=PSNR, on_trial=seen.append)
    assert len(found) == len(seen) == 1 + 64 + 32
    assert seen[0].schedule is None and {id(t) for t in seen} == {id(t) for t in found}
    scores = [trial.score for trial in found]
    assert scores == sorted(scores, reverse=True)
    covered = max(trial.score for trial in seen[:65])
    assert found[0].score > 29.9 and found[0].score > covered  # refining has made it better
    assert found[0].schedule is not None
    assert found[0].schedule.told == pytest.approx(0.93, abs=0.02)
    again = search(Bowl(best, 5), restorer, steps=5, sampler="ddim", goal=PSNR)
    assert again == found


def test_trials_are_runs_of_the_model(restorer: Restorer, photos: Path) -> None:
    crops = Crops(restorer, photos, count=2, side_px=64, seed=1, lpips=None)
    assert len(crops.names) == 2 and crops.names[0].startswith("0.png@")
    own = crops.try_out("ddim", restorer.config.sigmas(2), 1.0)
    assert own == crops.try_out("ddim", restorer.config.sigmas(2), 1.0)
    assert own != crops.try_out("ddpm", restorer.config.sigmas(2), 1.0)
    assert own != crops.try_out("ddim", restorer.config.sigmas(2), 0.9)
    assert own != crops.try_out("ddim", restorer.config.sigmas(3), 1.0)
    fixed = {**SPACE, "told": Axis(0.9, 0.9), "sigma_max": Axis(50.0, 50.0)}
    found = search(crops, restorer, steps=2, sampler="ddim", goal=PSNR, space=fixed, trials=2, refine=1)
    assert [trial.psnr_y for trial in found if trial.schedule is None] == [own[0]]
    for trial in found:
        if trial.schedule is not None:
            s = trial.schedule
            assert (s.told, s.sigma_max) == (0.9, 50.0)
            assert crops.try_out("ddim", s.sigmas(2), s.told)[0] == trial.psnr_y == trial.score


def test_what_is_tried_is_of_the_models_fidelity(restorer: Restorer, photos: Path) -> None:
    scores = {}
    for fidelity in (0.0, 0.6, 1.0):
        restorer.bound = replace(restorer.bound, config=replace(restorer.config, fidelity=fidelity))
        crops = Crops(restorer, photos, count=1, side_px=64, seed=0, lpips=None)
        scores[fidelity] = crops.try_out("ddim", restorer.config.sigmas(3), restorer.config.told)
    assert len(set(scores.values())) == 3
    first = crops.try_out("ddim", restorer.config.sigmas(3)[:1], restorer.config.told)
    assert scores[1.0][0] == pytest.approx(first[0], abs=1e-3)


def test_crops_that_cannot_be(restorer: Restorer, photos: Path) -> None:
    with pytest.raises(UsageError, match="Crops of 63 pixels are too small"):
        Crops(restorer, photos, count=1, side_px=63, seed=0, lpips=None)
    with pytest.raises(InputError, match="has 1 photographs of at least 80 pixels"):
        Crops(restorer, photos, count=2, side_px=80, seed=0, lpips=None)


def test_a_schedule_is_a_grid_of_the_models() -> None:
    schedule = Schedule(power=1.5, sigma_max=50.0, sigma_last=0.2, told=0.9)
    parameters = {"power": 1.5, "sigma_max": 50.0, "sigma_last": 0.2}
    assert schedule.sigmas(4) == make_grid("trigonometric", 4, **parameters)


def test_axes() -> None:
    assert Axis(1.0, 3.0).at(0.5) == 2.0
    assert Axis(1.0, 4.0, logarithmic=True).at(0.5) == 2.0
    assert Axis(2.0, 2.0, logarithmic=True).at(0.7) == 2.0
    assert parse_axis("told", "0.8:0.9") == Axis(0.8, 0.9)
    assert parse_axis("power", "2") == Axis(2.0, 2.0, logarithmic=True)


@pytest.mark.parametrize("text", ["", "a:b", "2:1", "0:1", "-1", "nan", "1:inf", "1:2:3"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--sigma-max .*is no range"):
        parse_axis("sigma_max", text)


def test_goals() -> None:
    assert Goal(1.0, 20.0).of(28.0, 0.3) == pytest.approx(22.0)
    assert Goal(0.0, 1.0).of(28.0, 0.3) == pytest.approx(-0.3)
    assert PSNR.of(28.0, None) == 28.0


def test_the_command(make_model: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file({name: w.abs() for name, w in LPIPS().state_dict().items()}, tmp_path / "lpips.safetensors")
    args = ["search-schedule", str(make_model()), str(photos), "--steps", "2", "--crops", "1", "--side", "64"]
    args += ["--trials", "2", "--refine", "1", "--told", "0.9:1", "--power", "2", "--dtype", "fp32"]
    result = CliRunner().invoke(app, [*args, "--lpips", str(tmp_path / "lpips.safetensors")])
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    assert len(line["trials"]) == 4 and line["best"] in line["trials"] and line["own"] in line["trials"]
    assert line["best"]["schedule"]["power"] == 2 and 0.9 <= line["best"]["schedule"]["told"] <= 1
    assert line["best"]["score"] == pytest.approx(line["best"]["psnr_y"] - 20 * line["best"]["lpips"])
    assert "sigma_last" in result.stderr and "own" in result.stderr
