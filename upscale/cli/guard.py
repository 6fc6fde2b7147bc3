"""How a command ends: every error becomes a message on stderr and an exit code, here and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, ParamSpec

import typer

from upscale.cli.streams import silence_stdout
from upscale.errors import ExitCode, UpscaleError

P = ParamSpec("P")


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; all that cleans up after Ctrl-C cleans up after this too."""


def guarded(command: Callable[P, int]) -> Callable[P, NoReturn]:
    """Make a command that returns an exit code end with it, and with a message when it raises.

    A keyword argument `verbose` of the command adds the traceback.
    """

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        try:
            with _sigterm_raises():
                code = command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):  # Typer's own way of ending
            raise
        except BrokenPipeError:
            silence_stdout()
            code = ExitCode.BROKEN_PIPE
        except KeyboardInterrupt as error:
            code = ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.INTERRUPTED
            _say("Interrupted; nothing half-written.")
        except Exception as error:
            code = explain(error, verbose=bool(kwargs.get("verbose")))
        raise typer.Exit(int(code))

    return ending


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


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals can only be set there
        yield
        return

    def terminate(signum: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
