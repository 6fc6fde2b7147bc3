"""Scores of a model on a folder of photographs, beside bicubic on the same ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from upscale.diffusion import samplers
from upscale.errors import InputError, UsageError
from upscale.images.picture import Pixels
from upscale.images.pixels import from_float, to_float
from upscale.images.resize import resize
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.models.config import ModelConfig
from upscale.models.restorer import Restorer
from upscale.training.averaged import usable
from upscale.training.examples.decode import decoded

MIN_SIDE = 3  # of a small picture: a pixel beside those at its edges, which are not scored


@dataclass(frozen=True)
class Setting:
    """A way of sampling to be scored; `sampler` None stands for bicubic interpolation."""

    sampler: str | None
    steps: int = 0
    fidelity: float | None = None  # None: the model's

    def __str__(self) -> str:
        if self.sampler is None:
            return "bicubic"
        return f"{self.sampler} {self.steps}" + ("" if self.fidelity is None else f" f={self.fidelity:g}")


def parse_settings(text: str, own: str) -> list[Setting]:
    """Return the settings of a list such as `1,4,ddim:4,dpmpp_2m:4:0.5` (fidelity 0.5).

    Args:
        text: The list.
        own: The model's sampler, for those that name none.

    Raises:
        UsageError: It is no such list, or names an unknown sampler.
    """
    chosen = []
    for part in text.split(","):
        name, _, numbers = (part if not part[:1].isdigit() else f"{own}:{part}").partition(":")
        samplers.get(name)
        steps, _, fidelity = numbers.partition(":")
        try:
            setting = Setting(name, int(steps), float(fidelity) if fidelity else None)
        except ValueError:
            setting = Setting(name)
        if setting.steps < 1 or not 0 <= (setting.fidelity or 0) <= 1:
            raise UsageError(
                f"--settings {part!r} says no number of steps.", hint="Write 4, ddim:4, or ddim:4:0.5."
            )
        chosen.append(setting)
    return chosen


def with_levels(config: ModelConfig, told: float | None = None, **levels: float | None) -> ModelConfig:
    """Return the config with another `told` and other entries of its grid; None leaves them as they are.

    Raises:
        UsageError: Its grid has no such entries, or nothing can be sampled along it.
    """
    given = {name: value for name, value in levels.items() if value is not None}
    if given and config.grid["name"] != "trigonometric":
        raise UsageError(
            f"The noise levels of {config.name} are a {config.grid['name']} grid, without {', '.join(given)}."
        )
    grid = {**config.grid, **given}
    return usable(replace(config, grid=grid, told=config.told if told is None else told))


@dataclass(frozen=True)
class Score:
    """Means over the photographs (`drift`: the largest).

    Attributes:
        psnr_y: PSNR in dB of the luma, a border of `scale` pixels left out.
        lpips: LPIPS (AlexNet), lower is better; None without its weights.
        drift: Largest difference of a channel's mean to bicubic's, in 8-bit levels.
    """

    psnr_y: float
    lpips: float | None
    drift: float


def paths_of(folder: Path) -> list[Path]:
    """Return the photographs of a folder, sorted.

    Raises:
        InputError: There is no PNG, JPEG or WebP file in the folder.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not paths:
        raise InputError(f"No photographs in {folder}.")
    return paths


def pair_of(path: Path, scale: int) -> tuple[Pixels, Pixels]:
    """Return (LR, HR) uint8 [H, W, 3] of a picture; HR cropped, LR by Pillow's bicubic.

    Raises:
        InputError: It is no picture, a damaged one, or too small.
    """
    hr = decoded(path)
    if min(hr.shape[:2]) < MIN_SIDE * scale:
        raise InputError(
            f"{path} is too small to be scored at {scale}x.",
            hint=f"Take photographs of {MIN_SIDE * scale} pixels a side or more.",
        )
    height, width = (side // scale * scale for side in hr.shape[:2])
    hr = hr[:height, :width]
    return resize(hr, (width // scale, height // scale), resample="bicubic"), hr


def photographs(folder: Path, scale: int) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Yield (name, LR, HR) for each photograph of a folder, as `paths_of` and `pair_of` say."""
    for path in paths_of(folder):
        yield path.name, *pair_of(path, scale)


Restore = Callable[[Pixels, Setting], Pixels]
"""(LR uint8 [h, w, 3], how) -> HR uint8, `scale` times as large."""


def untiled(restorer: Restorer, seed: int = 0) -> Restore:
    """Return a function that restores whole pictures at once."""
    scale, fine = restorer.config.scale, restorer.noise_fineness
    field = restorer.noise_field(seed)

    def restore(lr: Pixels, setting: Setting) -> Pixels:
        height, width = lr.shape[:2]
        if setting.sampler is None:
            return resize(lr, (width * scale, height * scale), resample="bicubic")
        beyond = ((0, -height % restorer.multiple_of), (0, -width % restorer.multiple_of), (0, 0))
        x_lr = torch.from_numpy(np.pad(to_float(lr), beyond, mode="edge")).permute(2, 0, 1)[None]

        def noise(step: int) -> torch.Tensor:
            window = field.window(step, 0, 0, x_lr.shape[2] * fine, x_lr.shape[3] * fine)
            return torch.from_numpy(window)[None].to(restorer.device)

        x_lr = x_lr.to(restorer.device)
        fidelity = restorer.config.fidelity if setting.fidelity is None else setting.fidelity
        image = restorer.restore(
            x_lr, noise, sampler=setting.sampler, steps=setting.steps, fidelity=fidelity
        )[0]
        inside = image[:, : height * scale, : width * scale].permute(1, 2, 0)
        return from_float(inside.float().cpu().numpy(), np.uint8)

    return restore


def evaluate(
    restore: Restore,
    scale: int,
    folder: Path,
    settings: Sequence[Setting],
    lpips: LPIPS | None = None,
    limit: int | None = None,
) -> dict[Setting, Score]:
    """Return the mean scores of each setting over the photographs of a folder (the first `limit`).

    Raises:
        InputError: There are none, or one that cannot be used.
    """
    rows: dict[Setting, list[tuple[float, float, float]]] = {setting: [] for setting in settings}
    for _, lr, hr in itertools.islice(photographs(folder, scale), limit):
        smooth = restore(lr, Setting(None)).mean((0, 1))
        for setting in settings:
            out = restore(lr, setting)
            apart = float("nan") if lpips is None else distance(lpips, out, hr)
            drift = float(np.abs(out.mean((0, 1)) - smooth).max())
            rows[setting].append((psnr_y(out, hr, border=scale), apart, drift))
    scores = {}
    for setting, row in rows.items():
        psnr, distances, drifts = zip(*row, strict=True)
        scores[setting] = Score(
            float(np.mean(psnr)), None if lpips is None else float(np.mean(distances)), max(drifts)
        )
    return scores


@torch.inference_mode()
def distance(lpips: LPIPS, a: Pixels, b: Pixels) -> float:
    """Return the LPIPS distance of two pictures, uint8 [H, W, 3]."""
    return float(
        lpips(*(torch.from_numpy(p.astype(np.float32) / 255).permute(2, 0, 1)[None] for p in (a, b)))
    )
