"""A line with a spinner for what may take a while and has nothing else to show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from upscale.cli.console import STDERR, at_terminal, printable

AFTER_S = 1.0


@contextmanager
def patience(doing: str, *, shown: bool = True, after_s: float = AFTER_S) -> Iterator[None]:
    """Say what is being done if it takes more than `after_s`; on a terminal only, and gone at the end."""
    if not shown or not at_terminal():
        yield
        return
    status = STDERR.status(printable(doing) + " ...")
    timer = threading.Timer(after_s, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may have just begun
        status.stop()
