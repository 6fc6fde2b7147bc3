"""Which inputs the command line names, and where a picture from a pipe goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from upscale.cli.streams import read_stdin, stdout_is_terminal
from upscale.errors import InputError, UsageError
from upscale.options import FolderOptions

if TYPE_CHECKING:
    from upscale.jobs.gather import Gathered

STDIN = STDOUT = "-"


@dataclass(frozen=True)
class Wanted:
    """Inputs and output as they were typed.

    Attributes:
        names: Files, folders, and `-` for stdin.
        files_from: A file with further names, `-` for stdin; None without a list.
        null: Whether its names end with zero bytes instead of lines.
        output: What `-o` was given; None without it.
    """

    names: tuple[str, ...]
    files_from: str | None
    null: bool
    output: str | None

    def settled(self, *, dry_run: bool, json: bool = False) -> Wanted:
        """Return the same with `output` settled: a picture from a pipe goes to the next one, if there is one.

        Raises:
            UsageError: A name is empty, stdin is asked for twice or has no place to go, stdout is asked for
                twice, or it is a terminal.
        """
        if "" in self.names:  # which would be the current folder
            raise UsageError("A file was given an empty name.", hint="Is a variable of a script empty?")
        if self.null and self.files_from is None:
            raise UsageError("-0 says how a list is written.", hint="Give the list with --files-from.")
        if self.files_from == STDIN and STDIN in self.names:
            raise UsageError(
                "Standard input cannot be both a list and a picture.", hint="Give one of the two as a file."
            )
        if self.names.count(STDIN) > 1:
            raise UsageError(
                "Standard input was given twice.", hint="A pipe carries one picture: give - once."
            )
        if json and (self.output == STDOUT or (self.output is None and STDIN in self.names)):
            raise UsageError(
                "A picture and --json cannot both go to standard output.",
                hint="Give -o FILE for the picture.",
            )
        if self.output is None and STDIN in self.names:
            if len(self.names) > 1 or self.files_from is not None:
                raise UsageError(
                    "The picture from standard input has no folder for its result.",
                    hint="Give -o FOLDER/ for the results, or upscale it alone.",
                )
            if stdout_is_terminal() and not dry_run:
                raise UsageError(
                    "The picture from standard input has no file for its result.",
                    hint="Name one with -o FILE, or send it on: upscale - < photo.jpg > large.jpg",
                )
            return replace(self, output=STDOUT)
        if self.output == STDOUT and stdout_is_terminal() and not dry_run:
            raise UsageError(
                "A picture would go to the terminal.",
                hint="Name a file with -o FILE, or send it on with > or |.",
            )
        return self

    def gather(self, options: FolderOptions) -> Gathered:
        """Read stdin and the list, and look through the folders.

        Raises:
            UsageError: stdin is a terminal.
            InputError: stdin or the list cannot be read.
        """
        from upscale.jobs.gather import gather, listed
        from upscale.jobs.source import Source

        sources = [Source(data=read_stdin()) if n == STDIN else Source(Path(n)) for n in self.names]
        if self.files_from is not None:
            sources += listed(self._list(), nul=self.null)
            if not sources:
                raise InputError(f"The list {self.files_from} names no file.")
        results = None if self.output in (None, STDOUT) else Path(str(self.output))
        return gather(sources, options, results=results)

    def _list(self) -> bytes:
        if self.files_from == STDIN:
            data = read_stdin(
                "a list of files", hint="Pipe one in: find . -print0 | upscale --files-from - -0"
            )
        else:
            try:
                data = Path(str(self.files_from)).read_bytes()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise InputError(f"The list {self.files_from} cannot be read: {reason}.") from error
        if b"\0" in data and not self.null:
            raise InputError(
                f"The list {self.files_from} has zero bytes in it.",
                hint="Give -0 if its names end with them, as those of find -print0; else save it as UTF-8.",
            )
        return data
