"""Outcomes as plain data for `--json`: one line for each file, a summary as the last; see docs/json.md.

The schema only grows: entries may be added, none changes its meaning or goes without a new `SCHEMA` number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from upscale.errors import ExitCode, UpscaleError
from upscale.jobs.forecast import Forecast
from upscale.jobs.report import Outcome, Status, exit_code_of

SCHEMA = 1
Line = dict[str, Any]


def file_line(outcome: Outcome, model: str, forecast: Forecast | None = None) -> Line:
    """Return the line of one input that has ended, or was only planned.

    Args:
        outcome: Its end.
        model: Name of the model.
        forecast: What it will take, of one only planned.
    """
    job = outcome.job
    there = outcome.status in (Status.DONE, Status.SKIPPED, Status.PLANNED)
    return {
        "schema": SCHEMA,
        "type": "file",
        "status": outcome.status.value,
        "input": outcome.source.name,
        "output": str(job.target) if job is not None and job.target is not None and there else None,
        "input_size": None if job is None else list(job.info.size),
        "output_size": None if job is None else list(job.output_size),
        "format": None if job is None else job.format,
        "frames": None if job is None else job.frames,
        "model": model,
        "stages": [
            {"input_size": list(stage.input_size), "output_size": list(stage.output_size)}
            for stage in outcome.stages
        ],
        "denoised": outcome.denoised,
        "shrunk": outcome.shrunk,
        "fidelity": None if outcome.fidelity is None else round(outcome.fidelity, 3),
        "seconds": round(outcome.seconds, 3),
        "forecast": None if forecast is None else asdict(forecast),
        "notes": list(outcome.notes),
        "differs": list(outcome.differs),
        "error": None if outcome.error is None else error_entry(outcome.error),
    }


def summary_line(
    outcomes: Sequence[Outcome],
    *,
    files: int,
    seconds: float,
    exit_code: ExitCode,
    left_alone: Mapping[str, int],
    error: Exception | None = None,
) -> Line:
    """Return the last line.

    Args:
        outcomes: All that have ended.
        files: How many inputs there are; those without an outcome count as cancelled.
        seconds: Wall-clock time of the whole run.
        exit_code: Of the command.
        left_alone: How many files of the folders were no inputs, by what they are.
        error: What ended the whole run early.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    counts[Status.CANCELLED] += files - len(outcomes)
    return {
        "schema": SCHEMA,
        "type": "summary",
        "files": files,
        **{status.value: counts[status] for status in Status},
        "left_alone": dict(left_alone),
        "seconds": round(seconds, 3),
        "exit_code": int(exit_code),
        "error": None if error is None else error_entry(error),
    }


def error_entry(error: Exception) -> Line:
    """Return an error with the exit code that it alone leads to."""
    code = exit_code_of(error)
    if isinstance(error, UpscaleError):
        message, hint = error.message, error.hint
    else:
        message, hint = f"{type(error).__name__}: {error}", None
    return {
        "code": int(code),
        "name": code.name.lower(),
        "message": message,
        "hint": hint,
    }
