"""The way back when training goes astray.

A single batch with an outlying gradient is skipped. When the outliers do not end, or the loss has clearly
risen, the weights themselves must be lost: the run returns to its last good state and goes on with other
batches at a lower rate, until it reaches the next good state.
"""

from __future__ import annotations

import math
import statistics

from upscale.errors import DeviceError
from upscale.training.loop.state import State
from upscale.training.recipe import Recipe

NORMS_NEEDED = 50  # before one can say what is usual


def outlying(recipe: Recipe, state: State, norm: float) -> bool:
    """Whether a batch's gradient norm is far from what has been usual, or no number."""
    usual = statistics.median(state.norms) if len(state.norms) >= NORMS_NEEDED else math.inf
    return not (math.isfinite(norm) and norm <= recipe.optimizer.skip_above * usual)


def watch(recipe: Recipe, state: State) -> None:
    """After a step: keep a good state from time to time, or return to the one that was kept.

    Raises:
        DeviceError: Returning has not helped; `state` is the last good one then.
    """
    limits = recipe.recovery
    assert state.good is not None
    before, now = (_settled(recipe, losses) for losses in (state.good.get("losses", []), state.losses))
    # A loss that is 0 or less, which an energy score may be, has no multiple.
    risen = before is not None and now is not None and before > 0 and not now <= limits.rise * before
    if state.outliers < limits.patience and not risen:
        if not state.outliers and state.step % limits.keep_every == 0:
            state.keep()
        return
    where = state.step
    why = f"loss {before:.4g} rose to {now:.4g}" if risen else f"{state.outliers} outlying batches"
    state.go_back()
    if state.returned > limits.returns:
        state.returned = 0
        raise DeviceError(
            f"Training diverges: {limits.returns} returns to step {state.step} did not help"
            f" (last at step {where}: {why}).",
            hint="Lower the rate and run again: that step is what the run's folder holds.",
        )


def _settled(recipe: Recipe, losses: list[float]) -> float | None:
    """Return the smoothed loss, once there are enough to smooth."""
    return statistics.fmean(losses) if len(losses) >= recipe.recovery.smoothing else None


def slower(recipe: Recipe, state: State) -> float:
    """Return the factor on the rate: below 1 between a return and the next good state."""
    return recipe.recovery.slower**state.returned
