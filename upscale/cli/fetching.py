"""Models of the Hub on the command line: the question about their licence, and bars while they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from upscale.cli.console import STDERR, at_terminal, printable, say
from upscale.errors import WeightsError
from upscale.models import catalog, licence
from upscale.models.access import Access
from upscale.models.client import Tell
from upscale.models.licence import LicenceNotAccepted
from upscale.options import EngineOptions

T = TypeVar("T")


def asking(work: Callable[[], T], *, may_ask: bool) -> T:
    """Do something that may download models; where a licence is not accepted yet, ask and do it again.

    Args:
        work: What to do.
        may_ask: Whether the command talks to a person; then only if stdin and stderr are a terminal.

    Raises:
        WeightsError: A licence was not accepted, or a model cannot be had.
    """
    while True:
        try:
            return work()
        except LicenceNotAccepted as question:
            if not may_ask or not _at_a_terminal():
                raise
            if not _agrees(question):
                raise WeightsError(
                    f"{question.repo} was not downloaded: its licence was not accepted."
                ) from None
            licence.accept(question.repo, question.licence)


def bring(options: EngineOptions, *, bars: bool) -> None:
    """Have the weights of the model on this computer, with a bar for each file that is downloaded.

    Raises:
        WeightsError: They cannot be had.
    """
    missing = [name for name in catalog.stages(options.model) if catalog.find(name) is None]
    if not missing:
        return
    with telling(bars=bars) as tell:
        for name in missing:
            catalog.locate(name, Access(options.offline, options.accept_licence, tell))


@contextmanager
def telling(*, bars: bool) -> Iterator[Tell | None]:
    """Give what draws a bar for each file on a terminal; None where nothing shall be drawn."""
    if not bars or not at_terminal():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    files: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(max_width=40, no_wrap=True)),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=STDERR,
        transient=True,
    ) as progress:

        def tell(file: str, done: int, total: int | None) -> None:
            if file not in files:
                files[file] = progress.add_task(printable(file), total=total)
            progress.update(files[file], completed=done, total=total)

        yield tell


def _at_a_terminal() -> bool:
    """Return whether a person can read and answer: stdin may also be the picture."""
    return sys.stdin is not None and sys.stdin.isatty() and at_terminal()


def _agrees(question: LicenceNotAccepted) -> bool:
    terms = question.licence
    say(f"{question.repo} is to be downloaded from the Hub.")
    say(terms.name or "none stated", label="Licence: ", style="bold")
    if terms.url:
        say(f"         {terms.url}")
    say(f"         {terms.gist}")
    try:
        answer = STDERR.input("Do you accept it? [y/N] ", markup=False)
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")
