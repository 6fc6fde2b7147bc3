"""From a request to an exit code: plan, then show the plan or work it off, and say how it went."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from upscale.cli import dry_run
from upscale.cli.display import Lines, display, summarize, tell_left_alone
from upscale.cli.fetching import asking, bring
from upscale.cli.guard import cause
from upscale.cli.json_lines import JsonLines
from upscale.cli.patience import patience
from upscale.cli.streams import own_stdout, silence_stdout
from upscale.errors import ExitCode, OutputError
from upscale.jobs.pace import remember
from upscale.jobs.plan import Plan
from upscale.jobs.plan import plan as settle
from upscale.jobs.report import Report, foreseen
from upscale.jobs.request import Request
from upscale.jobs.run import run


@dataclass(frozen=True)
class Talk:
    """What is said while working.

    Attributes:
        quiet: Nothing but errors on stderr.
        verbose: Settings and tracebacks as well.
        json: A line of JSON for each file on stdout.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False


def work(request: Request, talk: Talk) -> ExitCode:
    """Plan a request and carry it out."""
    with _json_lines(talk) as lines:
        plan = _planned(request, talk)
        if plan.jobs:
            asking(lambda: bring(request.engine, bars=not talk.quiet), may_ask=not talk.json)
        writes_to_stdout = any(job.target is None for job in plan.jobs)
        with contextlib.ExitStack() as stack:
            stdout = stack.enter_context(own_stdout()) if writes_to_stdout else None
            listener = stack.enter_context(display(plan, quiet=talk.quiet, verbose=talk.verbose))
            if lines is not None:
                lines.plan = plan
                listener.also = lines.finished
            report = run(plan, listener=listener, stdout=stdout)
        if writes_to_stdout and report.failed:
            silence_stdout()
        remember(plan, report)
        if not talk.quiet:
            tell_left_alone(plan)
        summarize(report, quiet=talk.quiet)
        if lines is not None:
            lines.done(report)
    return report.exit_code


def show(request: Request, talk: Talk) -> ExitCode:
    """Plan a request and print what would be done; the exit code is that of the inputs refused."""
    with _json_lines(talk) as lines:
        plan = _planned(request, talk)
        report = Report(tuple(foreseen(plan.items, fail_fast=request.fail_fast)))
        if lines is None:
            dry_run.show(plan, report)
        else:
            lines.plan = plan
            for outcome in report.outcomes:
                lines.finished(outcome)
            lines.done(report)
        listener = Lines(plan, quiet=talk.quiet, verbose=talk.verbose)
        for outcome in report.failed:
            listener.finished(outcome)
        if not talk.quiet:
            tell_left_alone(plan)
    return report.exit_code


def _planned(request: Request, talk: Talk) -> Plan:
    """Return the plan; while a large folder is looked at, say so."""

    def planned() -> Plan:  # the line is gone before a licence is asked about
        with patience(f"Looking at {len(request.sources)} files", shown=not talk.quiet):
            return settle(request)

    return asking(planned, may_ask=not talk.json)


@contextlib.contextmanager
def _json_lines(talk: Talk) -> Iterator[JsonLines | None]:
    """Give the writer of JSON lines, if they are wanted, and have it write the summary whatever happens."""
    if not talk.json:
        yield None
        return
    with own_stdout() as stdout:
        lines = JsonLines(stdout)
        try:
            yield lines
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, Exception) as error:
            with contextlib.suppress(OSError, OutputError):  # the first error is the one to tell
                lines.failed(cause(error))
            raise
