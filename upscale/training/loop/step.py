"""One step of training: batch, gradient, update, average."""

from __future__ import annotations

import time

import torch

from upscale.training import objectives
from upscale.training.loop import recovery
from upscale.training.loop.ahead import Batches, draws
from upscale.training.loop.log import Log
from upscale.training.loop.state import State
from upscale.training.objectives.perceptual import VGGFeatures
from upscale.training.objectives.teachers import Teachers
from upscale.training.precision import dtype_of
from upscale.training.recipe import Recipe

NORMS_KEPT = 200


def one_step(
    recipe: Recipe,
    batches: Batches,
    state: State,
    log: Log,
    vgg: VGGFeatures | None,
    teachers: Teachers | None = None,
) -> None:
    """Do one step; a batch with an outlying gradient is left out and counted."""
    t0 = time.perf_counter()
    batch = batches.of(state)
    t1 = time.perf_counter()

    dtype = dtype_of(recipe.dtype)
    if teachers:
        batch = teachers.teach(batch, recipe, dtype)
    with torch.random.fork_rng(devices=[]):  # dropout knows no other generator
        torch.manual_seed(draws(recipe, (state.step, state.detours)).initial_seed())
        losses = objectives.of(recipe).loss_of(state.network, batch, recipe, dtype, vgg, state.critic)
    losses.mean().backward()
    gradient = torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.optimizer.clip)
    norm, loss = torch.stack([gradient, losses.detach().mean()]).tolist()  # a GPU is waited for only here
    if recovery.outlying(recipe, state, norm):
        state.skipped += 1
        state.outliers += 1
    else:
        state.optimizer.step()
        state.norms = [*state.norms[1 - NORMS_KEPT :], norm]
        state.outliers = 0
        state.losses = [*state.losses, loss][-recipe.recovery.smoothing :]
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.update_ema(recipe.optimizer.ema)
    pixels = losses.numel() * batch.lr[0, 0].numel()
    log.add(losses.detach(), batch.level, norm, t1 - t0, time.perf_counter() - t0, pixels)
