"""From a request to an exit code: plan, then show the plan or work it off, and say how it went."""

from __future__ import annotations

from upscale.cli import dry_run
from upscale.cli.display import Lines, display, summarize
from upscale.cli.streams import picture_stdout, silence_stdout
from upscale.errors import ExitCode
from upscale.jobs.plan import plan as settle
from upscale.jobs.report import Outcome, Report
from upscale.jobs.request import Request
from upscale.jobs.run import run


def work(request: Request, *, quiet: bool, verbose: bool) -> ExitCode:
    """Plan a request and carry it out."""
    plan = settle(request)
    writes_to_stdout = any(job.target is None for job in plan.jobs)
    with display(plan, quiet=quiet, verbose=verbose) as listener:
        report = run(plan, listener=listener, stdout=picture_stdout() if writes_to_stdout else None)
    if writes_to_stdout and report.failed:
        silence_stdout()
    summarize(report, plan.left_alone, quiet=quiet)
    return report.exit_code


def show(request: Request, *, quiet: bool, verbose: bool) -> ExitCode:
    """Plan a request and print what would be done; the exit code is that of the inputs refused."""
    plan = settle(request)
    listener = Lines(plan, quiet=quiet, verbose=verbose)
    dry_run.show(plan)
    for failure in plan.failures:
        listener.finished(Outcome(failure.source, error=failure.error))
    outcomes = [Outcome(item.source, error=getattr(item, "error", None)) for item in plan.items]
    return Report(tuple(outcomes)).exit_code
