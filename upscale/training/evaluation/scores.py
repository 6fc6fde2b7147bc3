"""`scores.csv`: how good a run's averaged weights are, every so many steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upscale.metrics.lpips import LPIPS
from upscale.training.averaged import restorer_of
from upscale.training.evaluation.evaluate import Score, Setting, evaluate, untiled
from upscale.training.loop.state import State
from upscale.training.loop.table import append
from upscale.training.precision import dtype_of
from upscale.training.recipe import Recipe

COLUMNS = ("step", "setting", "psnr_y", "lpips", "drift")


@dataclass(frozen=True)
class Scoring:
    """What is scored, and when.

    Attributes:
        every: Steps between two evaluations.
        folder: The photographs.
        settings: Ways of sampling.
        lpips: The perceptual metric, or None.
        limit: Only so many photographs; None for all.
    """

    every: int
    folder: Path
    settings: Sequence[Setting]
    lpips: LPIPS | None = None
    limit: int | None = None


def score(recipe: Recipe, state: State, scoring: Scoring, device: str = "cpu") -> dict[Setting, Score]:
    """Return the scores of the averaged weights.

    Raises:
        InputError: There are no photographs.
    """
    restorer = restorer_of(recipe, state.ema.state_dict(), "", dtype_of(recipe.dtype), device)
    return evaluate(
        untiled(restorer), recipe.scale, scoring.folder, scoring.settings, scoring.lpips, scoring.limit
    )


def scorer(
    recipe: Recipe,
    run: Path,
    scoring: Scoring,
    device: str,
    on_scores: Callable[[int, dict[Setting, Score]], None],
) -> Callable[[State], None]:
    """Return what `train` is to call after each step: it scores every so many, and tells `on_scores`."""

    def after(state: State) -> None:
        if state.step % scoring.every == 0:
            scores = score(recipe, state, scoring, device)
            rows = [{"step": state.step, "setting": str(s), **asdict(found)} for s, found in scores.items()]
            append(run / "scores.csv", COLUMNS, rows)
            on_scores(state.step, scores)

    return after
