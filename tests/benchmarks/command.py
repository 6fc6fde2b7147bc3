"""Runs a benchmark: what its user can mend is said in a sentence, without a traceback."""

from __future__ import annotations

from collections.abc import Callable

import typer

from upscale.errors import UpscaleError


def run(main: Callable[..., None]) -> None:
    """Run a function as the command of a script."""
    try:
        typer.run(main)
    except UpscaleError as error:
        raise SystemExit(f"Error: {error}") from None
