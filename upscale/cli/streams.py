"""The standard streams: carriers of pictures that no terminal is taken for, and of text that always fits."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO, cast

from upscale.errors import InputError, OutputError, UsageError

# What writing a message may raise: nowhere to go, closed, or called by a signal in the middle of another.
_UNSAID = (OSError, ValueError, RuntimeError)


class _Stream:
    """A stream of text, to be taken for the one it stands before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._stream, name)


class Results(_Stream):
    """Standard output, which says what it is when it cannot be written.

    Raises:
        OutputError: The disk is full, or the like.
        BrokenPipeError: Its reader has gone.
    """

    _failed: OutputError | None = None

    def write(self, text: str) -> int:
        """Write text; it may wait for `flush`."""
        if self._failed is not None:
            raise self._failed
        with self._explained():
            return self._stream.write(text)

    def flush(self) -> None:
        """Have it written."""
        with self._explained():
            self._stream.flush()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            from upscale.jobs.steps import stdout_error  # not on the way to --help

            silence_stdout()
            self._failed = stdout_error(error)
            raise self._failed from error


class Messages(_Stream):
    """Standard error, which may be unread, full or closed: what cannot be said there never stops the work."""

    def write(self, text: str) -> int:
        """Write text, if possible."""
        with contextlib.suppress(*_UNSAID):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Have it written, if possible."""
        with contextlib.suppress(*_UNSAID):
            self._stream.flush()


def prepare() -> None:
    r"""Have the standard streams take any text: what their encoding has not becomes `\u2026` and the like."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, Results(sys.stdout))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, Messages(sys.stderr))


def read_stdin(
    what: str = "a picture", *, hint: str = "Pipe a picture in: upscale - < photo.jpg > large.jpg"
) -> bytes:
    """Return all bytes that are piped in.

    Args:
        what: What they are, for messages.
        hint: How to pipe it in.

    Raises:
        UsageError: Standard input is a terminal.
        InputError: It is closed or empty.
    """
    if sys.stdin is None:
        raise InputError("Standard input is closed.", hint=hint)
    if sys.stdin.isatty():
        raise UsageError(f"- reads {what} from standard input, which is a terminal.", hint=hint)
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"Standard input cannot be read: {error.strerror or error}.") from error
    if not data:
        raise InputError(
            "Nothing came from standard input.", hint=f"Does the command before the pipe write {what}?"
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
        raise OutputError("Standard output is closed.")
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
            with contextlib.suppress(OSError, OutputError):
                sys.stdout.flush()
            os.dup2(stream.fileno(), descriptor)


def silence_stdout() -> None:
    """Let what is still buffered for a pipe or disk that takes no more go nowhere.

    Python flushes stdout at its exit, and would complain again and spoil the exit code.
    """
    with contextlib.suppress(OSError, ValueError):  # a stdout without a descriptor, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
