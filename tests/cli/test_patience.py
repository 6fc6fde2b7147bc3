"""Something is said while a large folder is looked at, on a terminal only."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from upscale.cli import patience as module
from upscale.cli.patience import patience


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(module, "STDERR", Console(file=text, force_terminal=True, width=80))
    monkeypatch.setattr(module, "at_terminal", lambda: True)
    return text


def shown(text: io.StringIO) -> bool:
    """Wait until there is something, but not for ever."""
    for _ in range(500):
        if "Looking at 3 files" in text.getvalue():
            return True
        threading.Event().wait(0.02)
    return False


def test_it_is_said_after_a_while_and_taken_away(terminal: io.StringIO) -> None:
    with patience("Looking at 3 files", after_s=0.01):
        assert shown(terminal)
    said = terminal.getvalue()
    assert said.rstrip().endswith("\x1b[2K") and "\x1b[?25h" in said  # erased, and the cursor is back
    threading.Event().wait(0.05)
    assert terminal.getvalue() == said


def test_nothing_is_said_of_what_is_quick(terminal: io.StringIO) -> None:
    with patience("Looking at 3 files", after_s=60):
        pass
    assert "Looking" not in terminal.getvalue()
    assert not any(
        isinstance(thread, threading.Timer) and thread.is_alive() for thread in threading.enumerate()
    )


def test_it_ends_with_an_error_too(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no"), patience("Looking at 3 files", after_s=0.01):
        assert shown(terminal)
        raise ValueError("no")
    assert "\x1b[?25h" in terminal.getvalue()


@pytest.mark.parametrize(("is_terminal", "wanted"), [(False, True), (True, False)])
def test_not_in_files_and_not_when_quiet(
    is_terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(module, "STDERR", Console(file=text, force_terminal=True))
    monkeypatch.setattr(module, "at_terminal", lambda: is_terminal)
    with patience("Looking at 3 files", shown=wanted, after_s=0.0):
        threading.Event().wait(0.1)
    assert text.getvalue() == ""
