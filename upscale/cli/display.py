"""What is shown while files are worked on: bars on a terminal, else one plain line per finished file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from upscale.cli.console import STDERR, at_terminal, printable, say
from upscale.cli.guard import explain
from upscale.jobs.engines import Engine
from upscale.jobs.items import Job
from upscale.jobs.listener import Listener
from upscale.jobs.plan import Plan
from upscale.jobs.report import Outcome, Report, Status

if TYPE_CHECKING:
    from upscale.engine.progress import Progress as Step

REFRESHES_PER_S = 5.0
# Kinds of files that are left alone, as a single one is called.
_SINGULAR = {
    "results of upscale": "result of upscale",
    "folders": "folder",
    "links to folders": "link to a folder",
    "no files": "no file",
}
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

    def gave_up(self, device: str, error: Exception) -> None:
        """Say which device is out."""
        explain(error, verbose=self.verbose)
        if not self.quiet:
            say(f"Continuing without {device}.", style="yellow")

    def progressed(self, jobs: Sequence[Job], progress: Step) -> None:
        """Pass on what the engine has to say (a smaller tile after running out of memory)."""
        if progress.message:
            self._note(with_others(jobs[0].source.name, jobs), progress.message)

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
    """The same lines, above a bar for what each device works on, and one for all files.

    The first are over tiles x steps of all stages. Small files that are worked on together share one.
    """

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
            refresh_per_second=REFRESHES_PER_S,
            speed_estimate_period=SPEED_WINDOW_S,
        )
        # Megapixels the model makes are what time goes with, so they are the unit over files of all sizes.
        self.total_mpix = sum(job.model_mpix for job in plan.jobs)
        self.done_mpix = 0.0
        self.done_files = 0
        self.bars: dict[int, TaskID] = {}  # by the job's id; small files share one
        self.writing: set[TaskID] = set()  # of these, what the engines are through with
        self.mpix: dict[int, float] = {}  # done of the jobs that have not ended, by their id
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

    def started(self, jobs: Sequence[Job]) -> None:
        """Show a bar for files."""
        self._remove(self.writing)  # there is something better to show
        path = jobs[0].source.path
        name = printable(with_others(path.name if path else jobs[0].source.name, jobs))
        bar = self.progress.add_task(name, total=None, doing="starting")
        self.bars |= {id(job): bar for job in jobs}
        self._count()

    def progressed(self, jobs: Sequence[Job], progress: Step) -> None:
        """Move their bar and that of all."""
        super().progressed(jobs, progress)
        doing = f"tile {min(progress.tile + 1, progress.tiles)} of {progress.tiles}"
        if progress.stages > 1:
            doing = f"stage {progress.stage} of {progress.stages}, {doing}"
        if progress.frames > 1:
            doing = f"frame {progress.frame} of {progress.frames}, {doing}"
        if (bar := self._bar(jobs)) is not None:
            self.progress.update(bar, completed=progress.done, total=progress.total, doing=doing)
        share = progress.done / progress.total if progress.total else 0.0
        self.mpix |= {id(job): share * job.model_mpix for job in jobs}
        self._count()

    def computed(self, jobs: Sequence[Job]) -> None:
        """Say that they are being written, until others are worked on."""
        if (bar := self._bar(jobs)) is not None:
            self.progress.update(bar, doing="writing")
            self.writing.add(bar)

    def finished(self, outcome: Outcome) -> None:
        """Take its bar away and leave its line."""
        if outcome.job is not None and outcome.status in (Status.DONE, Status.FAILED):
            self.done_files += 1
            self.done_mpix += outcome.job.model_mpix
            self.mpix.pop(id(outcome.job), None)
            if (bar := self.bars.pop(id(outcome.job), None)) is not None and bar not in self.bars.values():
                self._remove({bar})
            self._count()
        super().finished(outcome)

    def _bar(self, jobs: Sequence[Job]) -> TaskID | None:
        """Return the bar of jobs that were started together, though some may have ended since."""
        return next((self.bars[id(job)] for job in jobs if id(job) in self.bars), None)

    def _remove(self, bars: set[TaskID]) -> None:
        for bar in bars:
            self.progress.remove_task(bar)
        self.bars = {job: bar for job, bar in self.bars.items() if bar not in bars}
        self.writing = self.writing - bars

    def _count(self) -> None:
        doing = f"{self.done_files} of {len(self.plan.jobs)} done"
        self.progress.update(self.all, completed=self.done_mpix + sum(self.mpix.values()), doing=doing)


def display(plan: Plan, *, quiet: bool, verbose: bool) -> Lines:
    """Return the listener that fits the terminal and the wishes; use it as a context."""
    kind = Bars if at_terminal() and not quiet else Lines
    return kind(plan, quiet=quiet, verbose=verbose)


def with_others(name: str, jobs: Sequence[Job]) -> str:
    """Return what files that are worked on together are called, after the name of the first."""
    return name if len(jobs) == 1 else f"{name} and {len(jobs) - 1} more"


def about(outcome: Outcome) -> str:
    """Return the input's name unless the message will say it anyway."""
    message = getattr(outcome.error, "message", "")
    return "" if outcome.source.name in message else outcome.source.name


def finished_line(job: Job, seconds: float) -> str:
    """Return the line that says what became of a file."""
    (width, height), (new_width, new_height) = job.info.size, job.output_size
    sizes = f"{width}x{height} -> {new_width}x{new_height}"
    if job.frames > 1:
        sizes += f", {job.frames} frames"
    return f"{job.source.name} -> {job.target_name} ({sizes}, {seconds:.1f} s)"


def describe_settings(settings: object) -> str:
    """Return the engine's resolved settings in one line."""
    parts = (
        f"{spelled(name)} {'auto' if value is None else value}" for name, value in vars(settings).items()
    )
    return "Using " + ", ".join(parts)


def tell_left_alone(plan: Plan) -> None:
    """Say what lies in the folders and is no input."""
    if plan.left_alone:
        kinds = ", ".join(_counted_kind(number, kind) for kind, number in sorted(plan.left_alone.items()))
        say(f"Ignored: {kinds}.", style="dim")
    if not plan.items:
        say("There is nothing to do: all pictures are results of upscale.")
        say("Name the files themselves to enlarge them once more.")


def summarize(report: Report, *, quiet: bool) -> None:
    """Say at the end what became of several files, and why each failure failed."""
    failed = report.failed
    if len(report.outcomes) == 1:
        return
    if (skipped := report.count(Status.SKIPPED)) and not quiet:
        made = counted(report.count(Status.DONE), "file")
        say(f"{made} made, {skipped} skipped: their results exist already.")
        if other := sum(bool(outcome.differs) for outcome in report.outcomes):
            say(
                f"{other} of these were made with other settings; use --overwrite to redo them.",
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


def _counted_kind(number: int, kind: str) -> str:
    return f"{number} {_SINGULAR.get(kind, kind) if number == 1 else kind}"


def spelled(name: str) -> str:
    """Return an entry of a record as people say it: `input bytes`."""
    return name.replace("_", " ")


def counted(number: int, thing: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
