"""`--json`: what happens to each file as a line of JSON on stdout, and a summary as the last one."""

from __future__ import annotations

import json
import time
from functools import cached_property
from typing import BinaryIO

from upscale.cli.guard import interrupted_code
from upscale.errors import ExitCode
from upscale.jobs.forecast import forecast
from upscale.jobs.lines import Line, file_line, summary_line
from upscale.jobs.pace import pace_of
from upscale.jobs.plan import Plan
from upscale.jobs.report import Outcome, Report, Status, exit_code_of
from upscale.jobs.steps import stdout_error, write_all


class JsonLines:
    """Writes the lines; all of them go out at once, so that a reader can follow."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.began = time.perf_counter()
        self.outcomes: list[Outcome] = []
        self.plan: Plan | None = None

    def finished(self, outcome: Outcome) -> None:
        """Write the line of an input that has ended."""
        assert self.plan is not None
        self.outcomes.append(outcome)
        ahead = None
        if outcome.status is Status.PLANNED and outcome.job is not None:
            ahead = forecast(outcome.job, self.plan.request.engine, self._pace)
        self._write(file_line(outcome, self.plan.model_name, ahead))

    @cached_property
    def _pace(self) -> float | None:
        """The speed of earlier runs, read once for all lines."""
        assert self.plan is not None
        return pace_of(self.plan)

    def done(self, report: Report) -> None:
        """Write the summary of a run that came to its end."""
        self._summary(report.exit_code)

    def failed(self, error: KeyboardInterrupt | Exception) -> None:
        """Write the summary of a run that something ended early."""
        if isinstance(error, KeyboardInterrupt):
            self._summary(interrupted_code(error))
        else:
            self._summary(exit_code_of(error), error)

    def _summary(self, code: ExitCode, error: Exception | None = None) -> None:
        line = summary_line(
            self.outcomes,
            files=len(self.plan.items) if self.plan else 0,
            seconds=time.perf_counter() - self.began,
            exit_code=code,
            left_alone=self.plan.left_alone if self.plan else {},
            error=error,
        )
        self._write(line)

    def _write(self, line: Line) -> None:
        # ASCII, so that names that are not UTF-8 (lone surrogates in Python) can be written at all.
        data = json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        try:
            write_all(self.stream, memoryview(data))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise stdout_error(error) from error
