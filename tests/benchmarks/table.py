"""Prints results: a table for people on stderr, one JSON line for programs on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 160  # where there is no terminal to be as wide as


def show(title: str, rows: Sequence[dict[str, Any]], people: Sequence[dict[str, Any]] | None = None) -> None:
    """Print rows, which all have the same keys; `people` has what the table shows, if that is less."""
    people = people or rows
    table = Table(*people[0], title=title)
    for row in people:
        table.add_row(*map(_text, row.values()))
    Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH).print(table)
    sys.stderr.flush()
    known = [{k: None if _unknown(v) else v for k, v in row.items()} for row in rows]  # JSON has no NaN
    print(json.dumps({"benchmark": title, "rows": known}))


def _unknown(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _text(value: object) -> str:
    return "" if _unknown(value) else f"{value:.4g}" if isinstance(value, float) else str(value)
