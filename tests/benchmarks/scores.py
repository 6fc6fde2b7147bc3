"""Scores of ways of sampling on photographs, noted in a file: a long benchmark can be stopped and resumed."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from upscale import Upscaler
from upscale.engine.plan import plan_cascade
from upscale.engine.settings import joined, settle_stages
from upscale.errors import InputError
from upscale.images.picture import Picture, Pixels
from upscale.images.resize import resize
from upscale.metrics.consistency import consistency
from upscale.metrics.lpips import LPIPS
from upscale.metrics.psnr import psnr_y
from upscale.metrics.spectrum import texture_surplus_db
from upscale.metrics.ssim import ssim_y
from upscale.models import catalog
from upscale.models.digest import sha256_of_all
from upscale.options import EngineOptions
from upscale.training.evaluation.evaluate import distance, photographs

INTERPOLATIONS = ("bicubic", "lanczos")


@dataclass(frozen=True)
class Way:
    """How a picture is made: the arguments of `Upscaler`, or an interpolation. None is the model's own.

    The photographs are clean, so nothing is denoised unless that is asked for (None: what `Upscaler` finds).
    `stage_noise` is the one of the model's config, None as that has it.
    """

    model: str
    sampler: str | None = None
    steps: int | None = None
    fidelity: float | None = None
    start: float = 1.0
    samples: int = 1
    consistency: bool = False
    color_fix: str = "auto"
    denoise: float | None = 0.0
    stage_noise: float | None = None

    def upscaler(self) -> Upscaler:
        """Load the model."""
        arguments = asdict(self)
        noise = arguments.pop("stage_noise")
        with tempfile.TemporaryDirectory() as folder:
            if noise is not None:
                made = [_with_noise(n, noise, Path(folder)) for n in catalog.stages(self.model)]
                arguments["model"] = ",".join(made)
            return Upscaler(**arguments)

    def settled(self, scale: int = 1) -> Way:
        """Return the same with the settings of the model, or of a cascade's first, for a scale filled in.

        All samplers are one at a single step, and so are all fidelities.

        Raises:
            UsageError: The model has no such way.
        """
        options = EngineOptions(**{k: v for k, v in asdict(self).items() if k != "stage_noise"})
        models = [catalog.read_config(catalog.locate(name)) for name in catalog.stages(self.model)]
        settings = settle_stages(models, options)
        first = settings[0]
        cascade = len(plan_cascade((1, 1), (scale, scale), [model.scale for model in models]).stages) > 1
        return replace(
            self,
            model=joined(own.model for own in settings),
            sampler="any" if first.steps == 1 else first.sampler,
            steps=first.steps,
            fidelity=1.0 if first.steps == 1 else first.cascade_fidelity if cascade else first.fidelity,
        )


@dataclass(frozen=True)
class Scores:
    """Of one picture, or their means (`drift`: the largest).

    Attributes:
        psnr_y: dB, a border of `scale` pixels left out.
        ssim_y: The same border.
        lpips: AlexNet's; nan without its weights.
        consistency: MSE between the input and the result brought down to its size, on 0 to 1, times 1e5.
        texture: Power of fine structures beside what photographs have, in dB (`metrics.spectrum`).
        drift: Largest difference of a channel's mean to bicubic's, in 8-bit levels.
        seconds: Time of the picture: on the clock, or of the processor if that is less, since other programs
            may have run as well.
    """

    psnr_y: float
    ssim_y: float
    lpips: float
    consistency: float
    texture: float
    drift: float
    seconds: float


class Scorer:
    """Scores ways on the first photographs of a folder."""

    def __init__(
        self,
        photos: Path,
        scale: int,
        lpips: Path | None,
        limit: int | None = None,
        log: Path | None = None,
        least_lr_px: int = 1,
    ) -> None:
        """Read the photographs, and what the log has from earlier runs; leave out those reduced to less.

        Raises:
            InputError: None is left.
        """
        self.scale = scale
        pairs = itertools.islice(photographs(photos, scale), limit)
        self.pairs = [pair for pair in pairs if min(pair[1].shape[:2]) >= least_lr_px]
        if not self.pairs:
            raise InputError(f"No photograph in {photos} is large enough to be scored at {scale}x.")
        self._metric = LPIPS.from_file(lpips) if lpips else None
        self._log = log
        lines = log.read_text().splitlines() if log is not None and log.exists() else ()
        self._known = {line["key"]: Scores(**line["scores"]) for line in map(json.loads, lines)}

    def truth(self) -> Scores:
        """Return what can be said of the photographs themselves: their texture."""
        nan = float("nan")
        return _mean(
            Scores(nan, nan, nan, nan, texture_surplus_db(hr, self.scale), 0.0, 0.0)
            for _, _, hr in self.pairs
        )

    def interpolated(self, resample: str) -> Scores:
        """Return the mean scores of a plain interpolation."""
        return _mean(
            self._scored(lr, hr, resize(lr, _size(hr), resample=resample)) for _, lr, hr in self.pairs
        )

    def of(self, way: Way) -> tuple[Way, Scores]:
        """Return what a way comes to with its model's own settings, and its mean scores.

        Raises:
            UsageError: The model has no such way.
        """
        settled = way.settled(self.scale)
        load = cache(way.upscaler)  # only if something is missing
        usual = asdict(Way(""))
        how = {k: v for k, v in asdict(settled).items() if v != usual[k]}  # so a new setting keeps old scores
        how["model"] = _identity(way.model)

        def each() -> Iterator[Scores]:
            for name, lr, hr in self.pairs:
                photo = [name, zlib.crc32(hr.tobytes()), self.scale, self._metric is not None]
                key = json.dumps([how, photo])
                if key not in self._known:
                    upscaler = load()
                    began = time.perf_counter(), time.process_time()
                    result = upscaler.upscale(Picture(lr), _size(hr)).color
                    seconds = min(time.perf_counter() - began[0], time.process_time() - began[1])
                    self._note(key, self._scored(lr, hr, result, seconds))
                yield self._known[key]

        scores = _mean(each())
        print(f"{settled}: {scores.psnr_y:.2f} dB, LPIPS {scores.lpips:.3f}", file=sys.stderr)
        return settled, scores

    def _note(self, key: str, scores: Scores) -> None:
        self._known[key] = scores
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(json.dumps({"key": key, "scores": asdict(scores)}) + "\n")

    def _scored(self, lr: Pixels, hr: Pixels, result: Pixels, seconds: float = 0.0) -> Scores:
        bicubic = resize(lr, _size(hr), resample="bicubic")
        return Scores(
            psnr_y=psnr_y(result, hr, border=self.scale),
            ssim_y=ssim_y(result, hr, border=self.scale),
            lpips=float("nan") if self._metric is None else distance(self._metric, result, hr),
            consistency=consistency(lr, result) * 1e5,
            texture=texture_surplus_db(result, self.scale),
            drift=float(np.abs(result.mean((0, 1)) - bicubic.mean((0, 1))).max()),
            seconds=seconds,
        )


def _mean(scores: Iterator[Scores]) -> Scores:
    rows = [asdict(score) for score in scores]
    means: dict[str, Any] = {name: fmean(row[name] for row in rows) for name in rows[0]}
    return Scores(**means | {"drift": max(row["drift"] for row in rows)})


def _size(pixels: Pixels) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]


def _with_noise(model: str, level: float, folder: Path) -> str:
    """Return a model folder with the same weights and another `stage_noise`."""
    location = catalog.locate(model)
    config = catalog.read_config(location)
    made = Path(tempfile.mkdtemp(dir=folder))
    (made / "config.json").write_text(replace(config, stage_noise=level).to_json())
    (made / "model.safetensors").write_bytes(location.weights.read_bytes())
    return str(made)


def _identity(model: str) -> str:
    """Return what makes the weights and config of a model, or of several, what they are."""
    locations = [catalog.locate(name) for name in catalog.stages(model)]
    configs = "".join(catalog.read_config(location).to_json() for location in locations)
    digests = [sha256_of_all(location.files)[:16] for location in locations]
    return f"{','.join(digests)}/{zlib.crc32(configs.encode()):08x}"
