"""`log.csv`: a line for every so many steps of a run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from upscale.training.loop.state import State
from upscale.training.loop.table import append


@dataclass(frozen=True)
class Report:
    """A line of the log: means since the last one.

    Attributes:
        step: Steps done; smaller than before where the run has returned to a good state.
        seconds: Since the command was started.
        loss: Mean loss.
        loss_high: Mean loss of examples with a noise level above 0.8; None where there was none.
        loss_low: The same below 0.5.
        norm: Median gradient norm.
        skipped: Batches skipped so far.
        lr: Learning rate.
        loading: Share of time spent waiting for batches.
        rate: LR pixels per second.
        detours: Returns to a good state so far.
        critic: How far a critic tells photographs from what is made, its margin; None where there is none.
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
    detours: int
    critic: float | None = None


COLUMNS = [field.name for field in fields(Report)]


class Log:
    """Collects what happens between two lines of `log.csv`."""

    def __init__(self, path: Path, on_report: Callable[[Report], None] | None = None) -> None:
        self.path, self.on_report = path, on_report
        self.begun = time.monotonic()
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

    def flush(self, state: State) -> None:
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
            detours=state.detours,
            critic=float(state.critic.margin) if state.critic else None,
        )
        append(self.path, COLUMNS, [vars(report)])
        if self.on_report:
            self.on_report(report)
        self._clear()
