"""stdin and stdout as carriers of pictures: never waited for or written to when they are a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, cast

from upscale.errors import InputError, OutputError, UsageError


def read_stdin(
    what: str = "a picture", *, hint: str = "Pipe a picture in: upscale - < photo.jpg > large.jpg"
) -> bytes:
    """Return all bytes that are piped in.

    Args:
        what: What they are, for messages.
        hint: How to pipe it in.

    Raises:
        UsageError: stdin is a terminal.
        InputError: stdin is closed or empty.
    """
    if sys.stdin is None:
        raise InputError("stdin is closed.", hint=hint)
    if sys.stdin.isatty():
        raise UsageError(
            f"- reads {what} from stdin, but stdin is a terminal.",
            hint=hint,
        )
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"Cannot read stdin: {error.strerror or error}.") from error
    if not data:
        raise InputError(
            "Nothing came through stdin.", hint=f"Does the command before the pipe write {what}?"
        )
    return data


def stdout_is_terminal() -> bool:
    """Return whether stdout is a terminal (or closed), so that no picture may go there."""
    return sys.stdout is None or sys.stdout.isatty()


@contextlib.contextmanager
def own_stdout() -> Iterator[BinaryIO]:
    """Have stdout for us alone: what else is written to `sys.stdout` or its descriptor goes to stderr.

    Libraries print, in C too, and one line of theirs in the middle would spoil a picture.
    """
    if sys.stdout is None:
        raise OutputError("stdout is closed.")
    try:
        descriptor, errors = sys.stdout.fileno(), sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or no files of the system, as in tests
        yield sys.stdout.buffer
        return
    sys.stdout.flush()
    with open(os.dup(descriptor), "wb", buffering=0) as stream:  # noqa: PTH123 - it has no path
        os.dup2(errors, descriptor)
        try:
            yield cast(BinaryIO, stream)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os.dup2(stream.fileno(), descriptor)


def silence_stdout() -> None:
    """Let what is still buffered for a pipe or disk that takes no more go nowhere.

    Python flushes stdout at its exit, and would complain again and spoil the exit code.
    """
    with contextlib.suppress(OSError, ValueError):  # a stdout without a descriptor, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
