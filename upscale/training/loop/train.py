"""The training loop. Running the same command again goes on exactly where the last one was stopped."""

from __future__ import annotations

import itertools
import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from upscale.errors import UsageError
from upscale.images.atomic import new_file, sweep
from upscale.training import objectives
from upscale.training.evaluation import scores
from upscale.training.examples.photos import Photos
from upscale.training.loop import recovery
from upscale.training.loop.ahead import Batches
from upscale.training.loop.begin import begin
from upscale.training.loop.log import COLUMNS, Log, Report
from upscale.training.loop.state import State
from upscale.training.loop.step import one_step
from upscale.training.loop.table import cut
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.teachers import Teachers
from upscale.training.recipe import Recipe, as_table

SAVE_EVERY_S = 180.0
LOG_EVERY = 50


def rate_at(recipe: Recipe, step: int, decay_from: int | None, steps: int | None) -> float:
    """Return the rate of a step: warm-up, constant, then a cosine to 0 from `decay_from` to `steps`."""
    lr = recipe.optimizer.lr * min(1.0, (step + 1) / max(1, recipe.optimizer.warmup))
    if decay_from is not None and steps is not None and step > decay_from:
        lr *= _cosine((step - decay_from) / (steps - decay_from))
    return lr


def faded(passed: float, minutes: float | None, decay_minutes: float | None) -> float:
    """Return the factor on the rate after `passed` minutes: cosine to 0 over the last `decay_minutes`."""
    if minutes is None or not decay_minutes:
        return 1.0
    return _cosine(1 - (minutes - passed) / decay_minutes)


def _cosine(done: float) -> float:
    """Return what falls from 1 to 0 while `done` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))


def _called(network: nn.Module) -> list[nn.Module]:
    """Return the parts of a network that are called on their own: steps, their encoders, and the whole."""
    parts = [network, *network.children()]
    encoders = [getattr(part, "encoder", None) for part in parts[1:]]
    return parts + [encoder for encoder in encoders if isinstance(encoder, nn.Module)]


def train(
    recipe: Recipe,
    photos: Photos,
    run: Path,
    *,
    device: str = "cpu",
    steps: int | None = None,
    minutes: float | None = None,
    decay_from: int | None = None,
    decay_minutes: float | None = None,
    begin_with: str | Path | None = None,
    vgg: VGGFeatures | None = None,
    teachers: Teachers | None = None,
    compiled: bool = False,
    workers: int = 0,
    pages: Photos | None = None,
    on_report: Callable[[Report], None] | None = None,
    on_step: Callable[[State], None] | None = None,
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
        decay_minutes: Over how many of the last of `minutes` the rate decays to 0; None keeps it constant.
        begin_with: What a new run begins with: `state.pt` of another run, whose averaged weights it takes, or
            a model, by name or path.
        vgg: Features for recipes whose loss sees with them.
        teachers: What a first step learns from beside photographs, on `device`.
        compiled: Whether torch.compile fuses the operations of the network: minutes first, then faster steps.
        workers: Processes that make batches, of photos in the computer's memory; with none, a thread does.
        pages: Pages, see `draw_pages`, of which a recipe may take a share of all crops; spoilt by JPEG alone.
        on_report: Called with each line of the log.
        on_step: Called after each step.

    Raises:
        UsageError: There is no such objective, or it has no teachers; the run in that folder, or the one to
            begin with, was made with another network; or the rate would decay to an end that is not given.
        InputError: A state is damaged.
        DeviceError: Training diverged for good.
        Exception: Whatever went wrong within a step; the run's folder holds the state saved last before it.
    """
    if objectives.of(recipe).sees and vgg is None:
        raise UsageError("This recipe's loss sees with VGG.", hint="Give its features with --vgg.")
    if teachers and not objectives.of(recipe).taught:
        raise UsageError(f"The objective {recipe.objective!r} has no teachers.", hint="Leave --teacher away.")
    for decays, end, names in ((decay_minutes, minutes, "minutes"), (decay_from, steps, "steps")):
        if decays is not None and end is None:
            raise UsageError(
                f"The rate cannot decay to the end of --{names}, which is not given.", hint=f"Give --{names}."
            )
    if decay_from is not None and steps is not None and decay_from > steps:
        raise UsageError(f"The rate cannot decay from step {decay_from} to step {steps}.")
    path = run / "state.pt"
    state = begin(recipe, path, device, None if begin_with is None else str(begin_with), vgg)
    if device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True  # every step has the same shapes
    if compiled:
        whole = [state.network, *(teachers.networks if teachers else ())]
        for part in [*itertools.chain(*map(_called, whole)), *([vgg] if vgg else [])]:
            part.compile(dynamic=False)
    run.mkdir(parents=True, exist_ok=True)
    sweep(run)
    with new_file(run / "recipe.json", overwrite=True) as file:
        file.write(json.dumps(as_table(recipe), indent=2).encode() + b"\n")
    cut(run / "log.csv", COLUMNS, state)
    cut(run / "scores.csv", scores.COLUMNS, state)

    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    handlers = {s: signal.signal(s, ask_to_stop) for s in (signal.SIGINT, signal.SIGTERM)}
    begun = saved = time.monotonic()
    intact = True  # the state, which is half a step's while one is done
    try:
        log = Log(run / "log.csv", on_report)
        with Batches(recipe, photos, workers, device, pages) as batches:
            while not stop and (steps is None or state.step < steps):
                passed = (time.monotonic() - begun) / 60
                if minutes is not None and passed > minutes:
                    break
                rate = rate_at(recipe, state.step, decay_from, steps) * recovery.slower(recipe, state)
                rate *= faded(passed, minutes, decay_minutes)
                alone = state.critic is not None and state.step < recipe.last_step.critic_alone
                for group in state.optimizer.param_groups:
                    group["lr"] = rate * group.get("times", 0.0 if alone else 1.0)
                intact = False
                one_step(recipe, batches, state, log, vgg, teachers)
                intact = True
                if state.step % LOG_EVERY == 0:
                    log.flush(state)
                recovery.watch(recipe, state)
                if on_step:
                    on_step(state)
                if time.monotonic() - saved > SAVE_EVERY_S:
                    state.save(path)
                    saved = time.monotonic()
    finally:
        if intact:
            state.save(path)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return state
