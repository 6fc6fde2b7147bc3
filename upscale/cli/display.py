"""What is shown while files are worked on: bars on a terminal, else one plain line per finished file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from upscale.cli.console import STDERR, printable, say
from upscale.cli.guard import explain
from upscale.jobs.items import Job
from upscale.jobs.plan import Plan
from upscale.jobs.report import Outcome, Report, Status
from upscale.jobs.run import Engine, Listener

if TYPE_CHECKING:
    from upscale.engine.progress import Progress as Step

SPEED_WINDOW_S = 900.0  # tiles may take a minute each on a CPU; a short window would never see two


class Lines(Listener):
    """Errors, and unless quiet a line per result with what could not be kept."""

    def __init__(self, plan: Plan, *, quiet: bool, verbose: bool) -> None:
        self.plan = plan
        self.quiet = quiet
        self.verbose = verbose
        self.also: Callable[[Outcome], None] | None = None  # who else hears of the ends
        self.told: set[str] = set()  # engines also leave their messages in the picture's notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clear away."""

    def swept(self, files: int) -> None:
        """Say that something was removed."""
        if not self.quiet:
            say(f"Removed {counted(files, 'unfinished file')} of an earlier run.", style="dim")

    def loaded(self, engine: Engine) -> None:
        """Say what is used, where asked for."""
        settings = getattr(engine, "settings", None)
        if self.verbose and settings is not None:
            say(describe_settings(settings), style="dim")

    def progressed(self, job: Job, progress: Step) -> None:
        """Pass on what the engine has to say (a smaller tile after running out of memory)."""
        if progress.message:
            self._note(job.source.name, progress.message)

    def finished(self, outcome: Outcome) -> None:
        """Say what became of an input."""
        if self.also is not None:
            self.also(outcome)
        if outcome.error is not None:
            several = len(self.plan.items) > 1
            explain(outcome.error, verbose=self.verbose, about=about(outcome) if several else "")
        elif not self.quiet and outcome.job is not None:
            if outcome.status is Status.SKIPPED:
                others = ", ".join(map(spelled, outcome.differs))
                how = f", though made with other settings ({others})" if others else ""
                say(f"{outcome.source.name}: {outcome.job.target_name} exists already; skipped{how}.")
            elif outcome.status is Status.DONE:
                say(finished_line(outcome.job, outcome.seconds))
        for note in outcome.notes:
            self._note(outcome.source.name, note)
        self.told.clear()

    def _note(self, name: str, note: str) -> None:
        if not self.quiet and note not in self.told:
            say(f"{name}: {note}", label="Note: ", style="yellow")
        self.told.add(note)


class Bars(Lines):
    """The same lines, above a bar for the file (tiles x steps of all stages) and one for all files."""

    def __init__(self, plan: Plan, *, quiet: bool, verbose: bool) -> None:
        super().__init__(plan, quiet=quiet, verbose=verbose)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(max_width=40, no_wrap=True)),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[doing]}", markup=False, style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=STDERR,
            transient=True,
            speed_estimate_period=SPEED_WINDOW_S,
        )
        # Megapixels the model makes are what time goes with, so they are the unit over files of all sizes.
        self.total_mpix = sum(job.cascade.model_mpix for job in plan.jobs)
        self.done_mpix = 0.0
        self.done_files = 0
        self.current: Job | None = None
        self.file = self.progress.add_task("", total=None, doing="", visible=False)
        self.all = self.progress.add_task(
            "all files", total=self.total_mpix, doing="", visible=len(plan.jobs) > 1
        )

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def started(self, job: Job) -> None:
        """Begin the file's bar anew."""
        self.current = job
        name = printable(job.source.path.name if job.source.path else job.source.name)
        self.progress.reset(self.file, total=None, description=name, doing="reading", visible=True)
        self.progress.update(self.all, doing=f"{self.done_files} of {len(self.plan.jobs)} done")

    def progressed(self, job: Job, progress: Step) -> None:
        """Move both bars."""
        super().progressed(job, progress)
        doing = f"tile {min(progress.tile + 1, progress.tiles)} of {progress.tiles}"
        if progress.stages > 1:
            doing = f"stage {progress.stage} of {progress.stages}, {doing}"
        if progress.done >= progress.total:
            doing = "writing"
        self.progress.update(self.file, completed=progress.done, total=progress.total, doing=doing)
        share = progress.done / progress.total if progress.total else 0.0
        self.progress.update(self.all, completed=self.done_mpix + share * job.cascade.model_mpix)

    def finished(self, outcome: Outcome) -> None:
        """Take the file's bar away and leave its line."""
        if outcome.job is not None and outcome.status in (Status.DONE, Status.FAILED):
            self.done_files += 1
            self.done_mpix += outcome.job.cascade.model_mpix
            if outcome.job is self.current:  # else it was being written while the next one had begun
                self.progress.update(self.file, visible=False)
            self.progress.update(
                self.all, completed=self.done_mpix, doing=f"{self.done_files} of {len(self.plan.jobs)} done"
            )
        super().finished(outcome)


def display(plan: Plan, *, quiet: bool, verbose: bool) -> Lines:
    """Return the listener that fits the terminal and the wishes; use it as a context."""
    kind = Bars if STDERR.is_terminal and not quiet else Lines
    return kind(plan, quiet=quiet, verbose=verbose)


def about(outcome: Outcome) -> str:
    """Return the input's name unless the message will say it anyway."""
    message = getattr(outcome.error, "message", "")
    return "" if outcome.source.name in message else outcome.source.name


def finished_line(job: Job, seconds: float) -> str:
    """Return the line that says what became of a file."""
    (width, height), (new_width, new_height) = job.info.size, job.output_size
    sizes = f"{width}x{height} -> {new_width}x{new_height}"
    return f"{job.source.name} -> {job.target_name} ({sizes}, {seconds:.1f} s)"


def describe_settings(settings: object) -> str:
    """Return the engine's resolved settings in one line."""
    return "Using " + ", ".join(f"{name} {value}" for name, value in vars(settings).items())


def summarize(report: Report, left_alone: Mapping[str, int], *, quiet: bool) -> None:
    """Say at the end what became of several files, what was left alone, and why each failure failed."""
    failed = report.failed
    if left_alone and not quiet:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(left_alone.items()))
        say(f"Left alone: {kinds}.", style="dim")
    if len(report.outcomes) == 1:
        return
    if (skipped := report.count(Status.SKIPPED)) and not quiet:
        made = counted(report.count(Status.DONE), "file")
        say(f"{made} made, {skipped} skipped: their results exist already.")
        if other := sum(bool(outcome.differs) for outcome in report.outcomes):
            say(
                f"{other} of these were made with other settings; --overwrite makes them anew.",
                style="yellow",
            )
    if cancelled := report.count(Status.CANCELLED):
        say(f"{counted(cancelled, 'file')} not begun, because of --fail-fast.")
    if failed:
        say(f"{len(failed)} of {len(report.outcomes)} files failed:", style="bold")
    for outcome in failed:
        reason = getattr(outcome.error, "message", None) or f"{type(outcome.error).__name__}: {outcome.error}"
        name = about(outcome)
        say(f"  {name}: {reason}" if name else f"  {reason}")


def spelled(name: str) -> str:
    """Return an entry of a record as people say it: `input bytes`."""
    return name.replace("_", " ")


def counted(number: int, thing: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
