"""What people read: stderr, in colour only on a terminal, with names of files made safe to print."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

# One for all messages: lines printed through it while a progress display is live appear above that.
STDERR = Console(stderr=True, highlight=False, soft_wrap=True)


def at_terminal() -> bool:
    """Return whether stderr is a terminal, where lines can be drawn anew; FORCE_COLOR is about colours."""
    return STDERR.file.isatty()


def printable(text: str) -> str:
    """Return `text` with control characters and undecodable bytes of file names escaped."""
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in decoded)


def say(text: str, *, label: str = "", style: str = "") -> None:
    """Print one line on stderr; `style` is the label's, or without a label the whole line's."""
    if label:
        STDERR.print(Text.assemble((label, style), printable(text)))
    else:
        STDERR.print(Text(printable(text), style=style))
