"""`--dry-run`: the plan as a table on stdout; nothing is loaded or created."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from upscale.cli.console import printable
from upscale.cli.display import spelled
from upscale.engine.plan import CascadePlan
from upscale.engine.settings import joined, or_auto
from upscale.images import scratch
from upscale.jobs.forecast import forecast, free_bytes, size, together, total_memory
from upscale.jobs.items import Job
from upscale.jobs.pace import pace_of
from upscale.jobs.plan import Plan
from upscale.jobs.report import Outcome, Report, Status

# What stands in the place of the stages where there are none.
_NONE = {Status.SKIPPED: "none: it exists", Status.CANCELLED: "none: --fail-fast"}


def show(plan: Plan, report: Report) -> None:
    """Print what would be done; `report` has what is foreseen for the inputs of the plan."""
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE)
    for heading in ("File", "Size", "Stages", "New size", "Result"):
        table.add_column(heading, overflow="fold")
    for outcome in sorted(report.outcomes, key=lambda outcome: outcome.status in _NONE):
        if (job := outcome.job) is not None:
            passes = _none(outcome) or stages(job.cascade)
            cells = (job.source.name, _input(job), passes, *_result(job))
            table.add_row(*(Text(printable(cell)) for cell in cells))
    if not console.file.isatty():  # a file or a pipe has no width that names would have to be folded to
        console.width = max(
            console.width, Measurement.get(console, console.options.update(width=10_000), table).maximum
        )
    if len(table.rows):
        console.print(table)
        console.print(Text(printable(settings(plan))), soft_wrap=True)
    if report.count(Status.PLANNED):
        console.print(Text(printable(outlook(plan))), soft_wrap=True)


def outlook(plan: Plan) -> str:
    """Return the sentence on what the jobs will take."""
    pace = pace_of(plan)
    all_ = together([forecast(job, plan.request.engine, pace) for job in plan.jobs])
    time = (
        "no estimate of the time yet"
        if all_.seconds is None
        else f"about {duration(all_.seconds)}, from your last runs"
    )
    memory = f"{size(all_.memory_bytes)} of memory"
    if (there := total_memory()) is not None and all_.memory_bytes > there:
        memory += f" (this machine has {size(there)})"
    parts = [time, memory, f"at most {size(all_.output_bytes)} for the results"]
    folders = {job.target.parent for job in plan.jobs if job.target is not None}
    if len(folders) == 1 and (free := free_bytes(folders.pop())) is not None:
        parts[-1] += f" ({size(free)} free)"
    if all_.temporary_bytes:
        folder = scratch.folder()
        free = free_bytes(folder)
        parts.append(f"{size(all_.temporary_bytes)} of temporary files in {folder}")
        parts[-1] += f" ({size(free)} free)" if free is not None else ""
    return "forecast: " + ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as people say it: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _none(outcome: Outcome) -> str | None:
    """Return why an input would not be worked on; None for one that would be."""
    why, others = _NONE.get(outcome.status), ", ".join(map(spelled, outcome.differs))
    return f"{why}, made with other settings ({others})" if others else why


def _input(job: Job) -> str:
    return pixels(job.info.size) + (f", {job.frames} frames" if job.frames > 1 else "")


def _result(job: Job) -> tuple[str, str]:
    return pixels(job.output_size), job.target_name


def _fidelity(plan: Plan) -> str:
    one = joined(f"{own.fidelity:g}" for own in plan.settings)
    others = {
        "for noisy photos": joined(f"{own.spoilt_fidelity:g}" for own in plan.settings),
        "before another stage": joined(f"{own.cascade_fidelity:g}" for own in plan.settings),
    }
    more = ", ".join(f"{share} {where}" for where, share in others.items() if share != one)
    return f"fidelity {one}" + (f" ({more})" if more else "")


def settings(plan: Plan) -> str:
    """Return the line that says how the pixels would be made."""
    first, steps = plan.settings[0], joined(own.steps for own in plan.settings)
    parts = [
        f"model {plan.model_name}",
        f"{steps} step{'' if steps == '1' else 's'}",
        _fidelity(plan),
        *([f"start {first.start:g}"] if first.start < 1 else []),
        f"denoise {or_auto(first.denoise)}",
        f"shrink {or_auto(first.shrink)}",
        *([f"{first.samples} samples"] if first.samples > 1 else []),
        f"sampler {joined(own.sampler for own in plan.settings)}",
        f"seed {first.seed}",
        f"device {first.device}",
        f"dtype {first.dtype}",
        f"tile {first.tile_px or 'auto'}",
        *(["consistency"] if first.consistency else []),
    ]
    return ", ".join(parts)


def stages(cascade: CascadePlan) -> str:
    """Return the passes through the model, as in `512x512 -> 2048x2048; 1024x1024 -> 4096x4096`."""
    passes = [f"{pixels(stage.input_size)} -> {pixels(stage.output_size)}" for stage in cascade.stages]
    return "; ".join(passes)


def pixels(size: tuple[int, int]) -> str:
    """Return `WIDTHxHEIGHT`."""
    return f"{size[0]}x{size[1]}"
