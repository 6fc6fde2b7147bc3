"""Which noise levels to visit in N steps: a search on held-out photographs, as SR3's authors chose theirs.

Training is over when this runs: the same weights serve any schedule (arXiv 2104.07636, section 2.4 and
appendix). Points of a low-discrepancy sequence cover the space, then the best one's neighbourhood is drawn
from, ever closer. Photographs that are reported on must not be among those searched on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from upscale.diffusion.noise import Field
from upscale.diffusion.samplers import Noise
from upscale.diffusion.schedule import Float64, trigonometric_grid
from upscale.errors import InputError, UsageError
from upscale.images.picture import Pixels
from upscale.images.pixels import from_float, to_float
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.models.conditioned import Conditioned
from upscale.models.restorer import Restorer
from upscale.training.evaluation.evaluate import distance, pair_of, paths_of
from upscale.training.examples.decode import opened

MIN_SIDE_PX = 64  # of a crop: less shows no texture, and LPIPS wants 31
FIRST_WIDTH, LAST_WIDTH = 0.15, 0.03  # of the neighbourhoods drawn from: shares of an axis' length


@dataclass(frozen=True)
class Schedule:
    """A trigonometric grid, and what a config's `told` says of the sigma that the network is told."""

    power: float
    sigma_max: float
    sigma_last: float
    told: float

    def sigmas(self, steps: int) -> list[float]:
        """Return the falling noise levels."""
        return trigonometric_grid(
            steps, power=self.power, sigma_max=self.sigma_max, sigma_last=self.sigma_last
        )


@dataclass(frozen=True)
class Axis:
    """A number to be searched for between two bounds; equal bounds fix it."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, u: float) -> float:
        """Return the number at u in [0, 1], to four digits."""
        if self.low == self.high:
            return self.low
        if self.logarithmic:
            return float(f"{self.low * (self.high / self.low) ** u:.4g}")
        return float(f"{self.low + (self.high - self.low) * u:.4g}")


SPACE: dict[str, Axis] = {
    "power": Axis(0.5, 4.0, logarithmic=True),
    "sigma_max": Axis(10.0, 150.0, logarithmic=True),
    "sigma_last": Axis(0.03, 2.0, logarithmic=True),
    "told": Axis(0.5, 1.0),
}
"""The fields of `Schedule` and where they are looked for."""


def parse_axis(name: str, text: str) -> Axis:
    """Return the axis that `LOW:HIGH` or a single number says, on the scale `SPACE` has for it.

    Raises:
        UsageError: It is no such text, or makes no sense for that number.
    """
    try:
        low, _, high = text.partition(":")
        axis = Axis(float(low), float(high or low), SPACE[name].logarithmic)
    except ValueError:
        axis = Axis(math.nan, math.nan)
    if not 0 < axis.low <= axis.high < 1e4:
        option = name.replace("_", "-")
        raise UsageError(f"--{option} {text} is no range.", hint=f"Write --{option} 0.8:1, or one number.")
    return axis


@dataclass(frozen=True)
class Trial:
    """A schedule's means over the crops; `schedule` None is the model's own."""

    schedule: Schedule | None
    psnr_y: float
    lpips: float | None
    score: float


@dataclass(frozen=True)
class Goal:
    """What is to be large: `psnr` times PSNR-Y in dB minus `lpips` times LPIPS."""

    psnr: float
    lpips: float

    def of(self, psnr_y: float, lpips: float | None) -> float:
        """Return the score."""
        return self.psnr * psnr_y - (self.lpips * lpips if lpips is not None else 0.0)


class Crops:
    """Crops of photographs, each encoded once: the schedule changes only what comes after.

    Args:
        restorer: The model.
        folder: Of the photographs.
        count: How many crops, each from another photograph, spread over the sorted list.
        side_px: Of a crop, in pixels of the photograph; rounded down to what the model can take.
        seed: Decides where the crops lie, and their noise.
        lpips: The metric, or None.

    Attributes:
        names: What they are: photograph@column,row.

    Raises:
        UsageError: Crops so small show nothing.
        InputError: There are fewer photographs that large, or one cannot be opened.
    """

    @torch.inference_mode()
    def __init__(
        self, restorer: Restorer, folder: Path, count: int, side_px: int, seed: int, lpips: LPIPS | None
    ) -> None:
        self._restorer = restorer
        self._fidelity = torch.tensor(restorer.config.fidelity, device=restorer.device).reshape(1, 1, 1, 1)
        self._lpips, self._scale, multiple = lpips, restorer.config.scale, restorer.multiple_of
        side = side_px // self._scale // multiple * multiple  # of the LR crop
        if side * self._scale < MIN_SIDE_PX:
            raise UsageError(
                f"Crops of {side_px} pixels are too small.", hint=f"Take {MIN_SIDE_PX} pixels or more."
            )
        large = [path for path in paths_of(folder) if _shorter_side(path) >= side * self._scale]
        if len(large) < count:
            raise InputError(
                f"{folder} has {len(large)} photographs of at least {side * self._scale} pixels a side.",
                hint="Ask for fewer or smaller crops.",
            )
        rng = np.random.default_rng(seed)
        self.names: list[str] = []
        self._crops: list[tuple[Conditioned, Noise, Pixels]] = []
        for index in range(count):
            path = large[index * len(large) // count]
            lr, hr = pair_of(path, self._scale)
            y, x = (int(rng.integers(0, length - side + 1)) for length in lr.shape[:2])
            top, left, fine = y * self._scale, x * self._scale, side * self._scale
            self.names.append(f"{path.name}@{left},{top}")
            x_lr = torch.from_numpy(to_float(lr[y : y + side, x : x + side])).permute(2, 0, 1)[None]
            conditioned = restorer.condition(x_lr.to(restorer.device))
            noise = _noise_of(
                conditioned,
                restorer.noise_field(seed, index),
                side * restorer.noise_fineness,
                restorer.device,
            )
            self._crops.append((conditioned, noise, hr[top : top + fine, left : left + fine]))

    @torch.inference_mode()
    def try_out(self, sampler: str, sigmas: Sequence[float], told: float) -> tuple[float, float | None]:
        """Return the mean PSNR-Y in dB and LPIPS along those noise levels, with the model's fidelity."""
        psnrs, distances = [], []
        for conditioned, noise, hr in self._crops:
            made = self._restorer.run(
                conditioned, noise, sigmas, sampler=sampler, told=told, fidelity=self._fidelity
            )
            image = made[0].permute(1, 2, 0).float().cpu().numpy()
            out = from_float(image, np.uint8)
            psnrs.append(psnr_y(out, hr, border=self._scale))
            if self._lpips is not None:
                distances.append(distance(self._lpips, out, hr))
        return float(np.mean(psnrs)), float(np.mean(distances)) if distances else None


def search(
    crops: Crops,
    restorer: Restorer,
    *,
    steps: int,
    sampler: str,
    goal: Goal,
    space: Mapping[str, Axis] = SPACE,
    trials: int = 64,
    refine: int = 32,
    seed: int = 0,
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Return all trials, best first; the model's own schedule (`schedule` None) is one of them.

    Args:
        crops: What to try on.
        restorer: The model, whose own schedule is tried first.
        steps: Network evaluations.
        sampler: Name of a sampler.
        goal: What is to be large.
        space: An axis for each field of `Schedule`.
        trials: Points that cover the space.
        refine: Points drawn near the best one so far, from a neighbourhood that shrinks.
        seed: Of those draws.
        on_trial: Told of each trial.

    Raises:
        UsageError: There is no such sampler, the model's own grid cannot have so many steps, or no trial is
            possible in that space.
    """

    def run(schedule: Schedule | None) -> Trial:
        if schedule is None:
            scores = crops.try_out(sampler, restorer.config.sigmas(steps), restorer.config.told)
        else:
            scores = crops.try_out(sampler, schedule.sigmas(steps), schedule.told)
        trial = Trial(schedule, *scores, goal.of(*scores))
        if on_trial is not None:
            on_trial(trial)
        return trial

    done = [run(None)]
    rng = np.random.default_rng(seed)
    best: tuple[Trial, Float64] | None = None
    for u in _cover(len(space), trials, seed):
        trial = run(_schedule(space, u))
        done.append(trial)
        if best is None or trial.score > best[0].score:
            best = trial, u
    for k in range(refine if best is not None else 0):
        assert best is not None
        width = FIRST_WIDTH * (LAST_WIDTH / FIRST_WIDTH) ** (k / refine)
        u = np.clip(best[1] + width * rng.standard_normal(len(space)), 0, 1)
        trial = run(_schedule(space, u))
        done.append(trial)
        if trial.score > best[0].score:
            best = trial, u
    return sorted(done, key=lambda trial: trial.score, reverse=True)


def _schedule(space: Mapping[str, Axis], u: Float64) -> Schedule:
    return Schedule(**{name: axis.at(float(x)) for (name, axis), x in zip(space.items(), u, strict=True)})


def _cover(dimensions: int, count: int, seed: int) -> Float64:
    points: Float64 = SobolEngine(dimensions, scramble=True, seed=seed).draw(count).double().numpy()
    return points


def _shorter_side(path: Path) -> int:
    with opened(path) as image:
        return min(image.size)


def _noise_of(conditioned: Conditioned, field: Field, side: int, device: torch.device) -> Noise:
    """Return the noise of a crop in sampling space; made once for each step, as every trial asks for it."""

    @functools.cache
    def noise(step: int) -> Tensor:
        return conditioned.pack(torch.from_numpy(field.window(step, 0, 0, side, side))[None].to(device))

    return noise
