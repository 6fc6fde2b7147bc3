"""Prints results: a table for people on stderr, one JSON line for programs on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows, which all have the same keys."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(stderr=True).print(table)
    sys.stderr.flush()
    print(json.dumps({"benchmark": title, "rows": list(rows)}))
