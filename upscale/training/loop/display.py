"""What is shown while a run goes on: a live picture on a terminal, else a plain line now and then."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from upscale.training.evaluation.evaluate import Score, Setting
from upscale.training.loop.log import Report
from upscale.training.loop.state import State

REFRESHES_PER_S = 2.0
ROWS = 5  # of the log, and of scores


@dataclass
class Pace:
    """How far a call of `train` has come, and how long it still takes.

    Attributes:
        steps: Total number of steps, or None.
        minutes: Limit of the call, or None.
        first: Step that it began with.
        step: Step that it has reached.
        taken: Steps taken; more than the difference where the run has returned.
    """

    steps: int | None
    minutes: float | None
    begun: float = field(default_factory=lambda: time.monotonic())
    first: int | None = None
    step: int = 0
    taken: int = 0

    def at(self, step: int) -> None:
        """Take in that a step has been done."""
        self.first = step - 1 if self.first is None else self.first
        self.step = step
        self.taken += 1

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun

    @property
    def left_s(self) -> float | None:
        """Seconds to the end, whichever limit comes first; None where there is none, or nothing to go by."""
        ends = []
        if self.minutes is not None:
            ends.append(60 * self.minutes - self.elapsed_s)
        if self.steps is not None and self.taken:
            ends.append((self.steps - self.step) * self.elapsed_s / self.taken)
        return max(0.0, min(ends)) if ends else None

    @property
    def share(self) -> float | None:
        """Share of the call that is done, by whichever limit is nearer; None without limits."""
        shares = []
        if self.minutes:
            shares.append(self.elapsed_s / (60 * self.minutes))
        if self.steps is not None and self.first is not None:
            shares.append((self.step - self.first) / max(1, self.steps - self.first))
        return min(1.0, max(shares)) if shares else None


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{s:02}"


def in_words(score: Score) -> str:
    """Return a score as `28.18 dB / 0.416`."""
    return f"{score.psnr_y:.2f} dB" + ("" if score.lpips is None else f" / {score.lpips:.3f}")


class Lines:
    """A plain line for each line of the log and each evaluation."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clear away."""

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stepped(self, state: State) -> None:
        """Nothing: there is a line every so many steps."""

    def reported(self, r: Report) -> None:
        """Print a line of the log."""
        returns = f"  returns {r.detours}" if r.detours else ""
        self.say(
            f"step {r.step}  loss {r.loss:.4f} (high {r.loss_high or 0:.4f}, low {r.loss_low or 0:.4f})"
            f"  norm {r.norm:.3f}  skipped {r.skipped}{returns}  loading {r.loading:.1%}"
            f"  {r.rate / 1e3:.1f} kpx/s"
        )

    def scored(self, step: int, scores: dict[Setting, Score]) -> None:
        """Print the scores of a step."""
        self.say(f"step {step}  " + "  ".join(f"{how}: {in_words(score)}" for how, score in scores.items()))


class Live(Lines):
    """A bar, the smoothed loss, and the last lines of the log and of the scores."""

    def __init__(self, console: Console, pace: Pace) -> None:
        super().__init__(console)
        self.pace = pace
        self.state: State | None = None
        self.reports: deque[Report] = deque(maxlen=ROWS)
        self.scores: deque[tuple[int, dict[Setting, Score]]] = deque(maxlen=ROWS)
        self.live = RichLive(console=console, get_renderable=self.render, refresh_per_second=REFRESHES_PER_S)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture."""
        self.live.stop()

    def stepped(self, state: State) -> None:
        """Take in a step; the picture follows in its own time."""
        self.state = state
        self.pace.at(state.step)

    def reported(self, r: Report) -> None:
        """Take in a line of the log."""
        self.reports.append(r)

    def scored(self, step: int, scores: dict[Setting, Score]) -> None:
        """Take in the scores of a step."""
        self.scores.append((step, scores))

    def render(self) -> RenderableType:
        """Return the present picture."""
        parts: list[RenderableType] = [self._head()]
        share = self.pace.share
        if share is not None:
            bar = Table.grid()  # which ends the line
            bar.add_row(ProgressBar(total=1.0, completed=share, width=60))
            parts.append(bar)
        if self.reports:
            table = Table("step", "loss", "high", "low", "norm", "rate", "loading", "kpx/s", box=None)
            for r in self.reports:
                table.add_row(
                    str(r.step),
                    f"{r.loss:.4f}",
                    "-" if r.loss_high is None else f"{r.loss_high:.4f}",
                    "-" if r.loss_low is None else f"{r.loss_low:.4f}",
                    f"{r.norm:.3f}",
                    f"{r.lr:.2e}",
                    f"{r.loading:.1%}",
                    f"{r.rate / 1e3:.1f}",
                )
            parts.append(table)
        if self.scores:
            table = Table("step", *map(str, self.scores[-1][1]), box=None)
            for step, scores in self.scores:
                table.add_row(str(step), *map(in_words, scores.values()))
            parts.append(table)
        return Group(*parts)

    def _head(self) -> Text:
        if self.state is None:
            return Text("The first step", style="bold")
        total = "" if self.pace.steps is None else f"/{self.pace.steps}"
        left = self.pace.left_s
        parts = [
            f"loss {self.state.loss:.4f}" if self.state.loss is not None else "",
            f"{self.pace.taken / max(self.pace.elapsed_s, 1e-9):.2f} steps/s",
            f"skipped {self.state.skipped}" if self.state.skipped else "",
            f"returns {self.state.detours}" if self.state.detours else "",
            clock(self.pace.elapsed_s),
            f"{clock(left)} left" if left is not None else "",
        ]
        head = Text(f"step {self.state.step}{total}", style="bold")
        return head.append("  " + "  ".join(filter(None, parts)), style="not bold")


def display(console: Console, steps: int | None, minutes: float | None) -> Lines:
    """Return what suits a console: a live picture on a terminal, else lines."""
    return Live(console, Pace(steps, minutes)) if console.is_terminal else Lines(console)
