"""How a command ends: every error becomes a message on stderr and an exit code, here and nowhere else."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import NoReturn, ParamSpec

import typer

from upscale.cli.streams import silence_stdout
from upscale.errors import ExitCode, UpscaleError

P = ParamSpec("P")
_TO_STOP = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one not on Windows
_heard: list[KeyboardInterrupt] = []  # signals to stop, since the command began


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; all that cleans up after Ctrl-C cleans up after this too."""


def guarded(command: Callable[P, int]) -> Callable[P, NoReturn]:
    """Make a command that returns an exit code end with it, and with a message when it raises.

    A keyword argument `verbose` of the command adds the traceback.
    """

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        try:
            with _signals_heard():
                code = command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):  # Typer's own way of ending
            raise
        except BrokenPipeError:
            silence_stdout()
            code = ExitCode.BROKEN_PIPE
        except (KeyboardInterrupt, Exception) as raised:
            error = cause(raised)
            if isinstance(error, KeyboardInterrupt):
                code = interrupted_code(error)
                _leave_nothing_half_written()
            else:
                code = explain(error, verbose=bool(kwargs.get("verbose")))
        raise typer.Exit(int(code))

    return ending


def cause(error: KeyboardInterrupt | Exception) -> KeyboardInterrupt | Exception:
    """Return why a command ends: a signal, whatever the C code it came through has made of it (as torch)."""
    return _heard[0] if _heard else error


def interrupted_code(error: KeyboardInterrupt) -> ExitCode:
    """Return the exit code after Ctrl-C or another signal to stop."""
    return ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.INTERRUPTED


def explain(error: Exception, *, verbose: bool, about: str = "") -> ExitCode:
    """Say on stderr what went wrong and what to do; return the exit code of this error alone.

    Args:
        error: What was raised; anything but an `UpscaleError` is called a bug.
        verbose: Whether to add the traceback.
        about: The input it happened with, where several were given.
    """
    prefix = f"{about}: " if about else ""
    if isinstance(error, UpscaleError):
        code, text, hint = error.exit_code, error.message, error.hint
    else:
        code, text = ExitCode.BUG, f"This is a bug in upscale: {type(error).__name__}: {error}"
        hint = None if verbose else "Please report it with what -v shows."
    _say(prefix + text, label="Error: ", style="bold red")
    if hint:
        _say(hint)
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():
            _say(line, style="dim")
    return code


def _say(text: str, *, label: str = "", style: str = "") -> None:
    from upscale.cli.console import say  # rich, only when there is something to say

    say(text, label=label, style=style)


def _show_cursor() -> None:
    from upscale.cli.console import STDERR

    STDERR.show_cursor()  # bars hide it


@contextlib.contextmanager
def _signals_heard() -> Iterator[None]:
    """Have the first signal to stop raise; what is being written is then finished, or given up at the third.

    A second one that raised into that waiting would leave writers that nobody waits for. Signals that are
    ignored (nohup, background jobs of scripts) stay so.
    """
    if threading.current_thread() is not threading.main_thread():  # signals can only be set there
        yield
        return
    _heard.clear()

    def stop(signum: int, frame: FrameType | None) -> None:
        _heard.append(KeyboardInterrupt() if signum == signal.SIGINT else Terminated())
        if len(_heard) == 1:
            raise _heard[0]
        if len(_heard) == 2:
            _say("Finishing the current file; interrupt again to abort.")
            return
        _leave_nothing_half_written()
        _show_cursor()
        os._exit(interrupted_code(_heard[0]))

    numbers = [getattr(signal, name) for name in _TO_STOP if hasattr(signal, name)]
    previous = {number: signal.getsignal(number) for number in numbers}
    theirs = (signal.SIG_IGN, None)  # None: somebody else's, in C
    ours = [number for number in numbers if previous[number] not in theirs]
    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    finally:
        if _heard:  # the process is about to end: no further signal stops its waiting, or changes its code
            atexit.register(_ignore, ours)
        else:
            for number in ours:
                signal.signal(number, previous[number])


def _ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _leave_nothing_half_written() -> None:
    from upscale.images.atomic import discard_unfinished

    discard_unfinished()  # of writers that were not waited for
    _say("Interrupted; no partial files were left.")
