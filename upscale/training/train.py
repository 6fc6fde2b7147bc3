"""The training loop. Running the same command again goes on exactly where the last one was stopped."""

from __future__ import annotations

import copy
import csv
import json
import math
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from upscale import networks
from upscale.errors import DeviceError, UsageError
from upscale.models import catalog, checkpoint
from upscale.networks.residual_unet import ResidualUNet
from upscale.training import objectives, optimizers
from upscale.training.data import Photos
from upscale.training.objective import Batch
from upscale.training.perceptual import VGGFeatures
from upscale.training.recipe import Recipe, as_table
from upscale.training.state import State, read
from upscale.training.tuning import tuning_loss

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SAVE_EVERY_S = 180.0
LOG_EVERY = 50
NORMS_KEPT = 200


@dataclass(frozen=True)
class Report:
    """A line of the log: means since the last one.

    Attributes:
        step: Steps done.
        seconds: Since the command was started.
        loss: Mean loss.
        loss_high: Mean loss of examples with a noise level above 0.8; None where there was none.
        loss_low: The same below 0.5.
        norm: Median gradient norm.
        skipped: Batches skipped so far.
        lr: Learning rate.
        loading: Share of time spent making batches.
        rate: LR pixels per second.
    """

    step: int
    seconds: float
    loss: float
    loss_high: float | None
    loss_low: float | None
    norm: float
    skipped: int
    lr: float
    loading: float
    rate: float


def rate_at(recipe: Recipe, step: int, decay_from: int | None, steps: int | None) -> float:
    """Return the rate of a step: warm-up, constant, then a cosine to 0 from `decay_from` to `steps`."""
    lr = recipe.optimizer.lr * min(1.0, (step + 1) / max(1, recipe.optimizer.warmup))
    if decay_from is not None and steps is not None and step > decay_from:
        lr *= 0.5 * (1 + math.cos(math.pi * min(1.0, (step - decay_from) / (steps - decay_from))))
    return lr


def start(recipe: Recipe, device: str) -> State:
    """Return the state before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network: Any = networks.get(recipe.arch).build(recipe.network)
    network = network.to(device, memory_format=torch.channels_last)
    return State(network, copy.deepcopy(network).requires_grad_(False), optimizers.of(recipe, network))


def weights_of(source: str) -> dict[str, torch.Tensor]:
    """Return the averaged weights of a run's `.pt` file, or those of a model by name or path.

    Raises:
        InputError: The file is missing or damaged.
        WeightsError: There is no such model, or it is damaged.
        KeyError: The file holds something else.
    """
    if source.endswith(".pt"):
        averaged: dict[str, torch.Tensor] = read(Path(source))["ema"]
        return averaged
    return checkpoint.load(catalog.locate(source))[1].state_dict()


def train(
    recipe: Recipe,
    photos: Photos,
    run: Path,
    *,
    device: str = "cpu",
    steps: int | None = None,
    minutes: float | None = None,
    decay_from: int | None = None,
    begin_with: str | Path | None = None,
    vgg: VGGFeatures | None = None,
    on_report: Callable[[Report], None] | None = None,
) -> State:
    """Train until `steps` are done or `minutes` have passed, whichever comes first; Ctrl-C saves and stops.

    Args:
        recipe: What to train.
        photos: What to train on, on `device`.
        run: Folder of the run: `state.pt`, `recipe.json`, `log.csv`. A state found there is continued.
        device: Where to compute.
        steps: Total number of steps, those done before included; None for no limit.
        minutes: Wall-clock limit of this call; None for no limit.
        decay_from: Step from which the rate decays to 0 at `steps`; None keeps it constant.
        begin_with: What a new run begins with: `state.pt` of another run, whose averaged weights it takes, or
            a model, by name or path.
        vgg: The perceptual loss, which a recipe with few-step tuning needs.
        on_report: Called with each line of the log.

    Raises:
        UsageError: There is no such objective; or the run in that folder, or the one to begin with, was made
            with another network.
        InputError: A state is damaged.
        DeviceError: Training diverged for good.
    """
    objectives.of(recipe)
    run.mkdir(parents=True, exist_ok=True)
    if recipe.tuning is not None and vgg is None:
        raise UsageError("This recipe tunes with a perceptual loss.", hint="Give the features with --vgg.")
    state = start(recipe, device)
    if begin_with is not None:
        try:
            weights = weights_of(str(begin_with))
            state.network.load_state_dict(weights)
            state.ema.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            raise UsageError(f"{begin_with} does not fit the recipe: {error}") from None
    path = run / "state.pt"
    if path.exists():
        try:
            state.load(path)
        except (KeyError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"The run in {run} does not fit the recipe: {error}.",
                hint="Choose another --run; if only the optimizer differs it may --begin-with that state.pt.",
            ) from None
    (run / "recipe.json").write_text(json.dumps(as_table(recipe), indent=2) + "\n", encoding="utf-8")

    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    handlers = {s: signal.signal(s, ask_to_stop) for s in (signal.SIGINT, signal.SIGTERM)}
    begun = saved = time.monotonic()
    try:
        log = Log(run / "log.csv", on_report)
        while not stop and (steps is None or state.step < steps):
            if minutes is not None and time.monotonic() - begun > 60 * minutes:
                break
            for group in state.optimizer.param_groups:
                group["lr"] = rate_at(recipe, state.step, decay_from, steps)
            one_step(recipe, photos, state, log, vgg)
            if state.step % LOG_EVERY == 0:
                log.flush(state, recipe)
            if time.monotonic() - saved > SAVE_EVERY_S:
                state.save(path)
                saved = time.monotonic()
    finally:
        state.save(path)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return state


def one_step(recipe: Recipe, photos: Photos, state: State, log: Log, vgg: VGGFeatures | None) -> None:
    """Do one step: batch, gradient, update, average.

    Raises:
        DeviceError: So many batches in a row were outliers that the weights must be lost.
    """
    t0 = time.perf_counter()
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + state.step)
    side = recipe.data.patch * recipe.scale
    hr = photos.crops(recipe.data.batch, side, recipe.data.shrink, generator)
    batch = objectives.of(recipe).make_batch(hr, recipe, generator)
    t1 = time.perf_counter()

    losses = losses_of(recipe, state.network, batch, vgg)  # type: ignore[arg-type]
    losses.mean().backward()
    norm = float(torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.optimizer.clip))
    usual = statistics.median(state.norms) if len(state.norms) >= NORMS_KEPT // 4 else math.inf
    if math.isfinite(norm) and norm <= recipe.optimizer.skip_above * usual:
        state.optimizer.step()
        state.norms = [*state.norms[1 - NORMS_KEPT :], norm]
        log.outliers = 0
    else:
        state.skipped += 1
        log.outliers += 1
        if log.outliers > 100:
            raise DeviceError(
                f"100 batches in a row had outlying gradients (last norm {norm:.3g}).", hint="Lower the rate."
            )
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.update_ema(recipe.optimizer.ema)
    log.add(losses.detach(), batch.level, norm, t1 - t0, time.perf_counter() - t0, batch.lr.numel() // 3)


def losses_of(recipe: Recipe, network: ResidualUNet, batch: Batch, vgg: VGGFeatures | None) -> torch.Tensor:
    """Return the loss of each example [B]; with tuning, the first ones are those of few-step runs."""
    dtype = DTYPES[recipe.dtype]
    loss_of = objectives.of(recipe).loss_of
    if recipe.tuning is None or vgg is None:
        return loss_of(network, batch, recipe, dtype)
    count = round(recipe.tuning.share * len(batch.lr))
    practised = tuning_loss(network, batch.part(slice(count)), recipe, recipe.tuning, vgg, dtype)
    return torch.cat([practised, loss_of(network, batch.part(slice(count, None)), recipe, dtype)])


class Log:
    """Collects what happens between two lines of `log.csv`."""

    def __init__(self, path: Path, on_report: Callable[[Report], None] | None) -> None:
        self.path, self.on_report = path, on_report
        self.begun = time.monotonic()
        self.outliers = 0
        self._clear()

    def _clear(self) -> None:
        self.losses: list[torch.Tensor] = []
        self.levels: list[torch.Tensor] = []
        self.norms: list[float] = []
        self.loading = self.seconds = 0.0
        self.pixels = 0

    def add(
        self,
        losses: torch.Tensor,
        level: torch.Tensor,
        norm: float,
        loading: float,
        seconds: float,
        pixels: int,
    ) -> None:
        """Take in one step."""
        self.losses.append(losses)
        self.levels.append(level)
        self.norms.append(norm)
        self.loading += loading
        self.seconds += seconds
        self.pixels += pixels

    def flush(self, state: State, recipe: Recipe) -> None:
        """Write a line and start the next."""
        losses, levels = torch.cat(self.losses), torch.cat(self.levels)

        def mean(where: torch.Tensor) -> float | None:
            return float(losses[where].mean()) if where.any() else None

        report = Report(
            step=state.step,
            seconds=round(time.monotonic() - self.begun, 1),
            loss=float(losses.mean()),
            loss_high=mean(levels > 0.8),
            loss_low=mean(levels < 0.5),
            norm=statistics.median(self.norms),
            skipped=state.skipped,
            lr=state.optimizer.param_groups[0]["lr"],
            loading=self.loading / self.seconds,
            rate=self.pixels / self.seconds,
        )
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, vars(report))
            if new:
                writer.writeheader()
            writer.writerow(vars(report))
        if self.on_report:
            self.on_report(report)
        self._clear()
