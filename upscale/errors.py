"""Exit codes and exceptions: everything that can go wrong, said once.

Every failure a user can cause or meet is an `UpscaleError` whose message says what happened and where, and
whose hint says what to do next. The command line maps each class to its exit code; API users catch them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from enum import IntEnum


class ExitCode(IntEnum):
    """What the `upscale` command returns to the shell."""

    OK = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    WEIGHTS = 5
    DEVICE = 6
    PARTIAL = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141  # as a program killed by SIGPIPE, and the next by SIGTERM: 128 + signal
    TERMINATED = 143


class UpscaleError(Exception):
    """Base of all expected failures.

    Attributes:
        message: What happened and where, one sentence.
        hint: What to do next, or None where the message says it all.
    """

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} {hint}")
        self.message = message
        self.hint = hint


class UsageError(UpscaleError):
    """The request itself cannot be carried out: bad option values or combinations, clashing outputs."""

    exit_code = ExitCode.USAGE


class InputError(UpscaleError):
    """An input cannot be read: missing, unreadable, not an image, damaged, too large."""

    exit_code = ExitCode.INPUT


class OutputError(UpscaleError):
    """An output cannot be written: exists already, no permission, disk full, format limits."""

    exit_code = ExitCode.OUTPUT


class WeightsError(UpscaleError):
    """A model cannot be found, verified or loaded."""

    exit_code = ExitCode.WEIGHTS


class DeviceError(UpscaleError):
    """The compute device is missing, cannot do what is asked, or ran out of memory for good."""

    exit_code = ExitCode.DEVICE


def choices(name: str, known: Collection[str]) -> str:
    """Return a hint for a name that is none of those known: the nearest of them, and all."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"{f'Did you mean {near[0]}? ' if near else ''}Choose from {', '.join(known)}."
