"""The tables of a run, `log.csv` and `scores.csv`: rows are added, and those of steps that were lost go."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from upscale.images.atomic import new_file, output_error
from upscale.training.loop.state import State


def append(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a table, which is made where there is none.

    Raises:
        OutputError: It cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    try:
        if not path.exists() or not path.stat().st_size:
            writer.writeheader()
        writer.writerows(rows)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
    except OSError as error:
        raise output_error(path, error) from error


def cut(path: Path, columns: Sequence[str], state: State) -> None:
    """Take the rows of steps after a state's out of a table: a run that was killed does these steps again.

    Rows from before a return to a good state stay, where the table tells; what a full disk has left of a row
    goes.

    Args:
        path: The table; nothing is done where there is none.
        columns: What it has from now on; rows of an earlier version are empty where theirs had not.
        state: Where the run goes on.

    Raises:
        OutputError: It cannot be written.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [row for row in csv.DictReader(file) if _done(row, state)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    with new_file(path, overwrite=True) as whole:
        whole.write(text.getvalue().encode())


def _done(row: Mapping[str, Any], state: State) -> bool:
    """Return whether a row is whole, and of a step that the state has behind it."""
    if None in row or None in row.values() or not row.get("step", "").isdigit():
        return False
    return (int(row.get("detours") or state.detours), int(row["step"])) <= (state.detours, state.step)
