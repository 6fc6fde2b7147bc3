"""Loss, critic and scores of runs over their steps, of `log.csv` and `scores.csv`; needs matplotlib."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from upscale.errors import InputError, OutputError, UsageError

Row = dict[str, Any]  # numbers, None where there is none; text for a setting
SMOOTHING = 0.8  # memory of the smoothed loss from one line of the log to the next


def parsed(row: dict[str, str]) -> Row:
    """Return a row with its numbers as such."""
    return {k: v if k == "setting" else float(v) if v or k == "step" else None for k, v in row.items()}


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a log that led to where the run is now: those a return has undone are left out.

    Raises:
        InputError: There is no such file, or it is no log.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [parsed(row) for row in csv.DictReader(file)]
            if not rows:
                raise ValueError("it has no rows")
        kept: list[Row] = []
        for row in rows:
            if kept and row["step"] < kept[-1]["step"]:
                kept = [other for other in kept if other["step"] < row["step"]]
            kept.append(row)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as the log of a run ({error}).",
            hint="Give the folder of a run; its log begins at step 50.",
        ) from None
    return kept


def column(rows: Iterable[Row], name: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a column, where it has any."""
    pairs = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return [step for step, _ in pairs], [value for _, value in pairs]


def smoothed(values: Sequence[float], memory: float = SMOOTHING) -> list[float]:
    """Return the exponential moving average, unbiased at the beginning."""
    out, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = memory * total + value, memory * weight + 1
        out.append(total / weight)
    return out


def plot(runs: Sequence[Path], path: Path) -> list[Path]:
    """Draw the runs' losses, and critics' margins and scores where they have any, into a picture file.

    Returns:
        The runs without a log yet, which are not in it.

    Raises:
        InputError: None has a log, or one is no log.
        UsageError: matplotlib is not installed, or the picture's format is unknown.
        OutputError: The picture cannot be written.
    """
    begun = [run for run in runs if (run / "log.csv").exists()] or runs
    logs = {run: rows_of(run / "log.csv") for run in begun}
    scores = {run: rows_of(run / "scores.csv") for run in begun if (run / "scores.csv").exists()}
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "Drawing needs matplotlib.", hint="Install it: pip install 'upscale[plot]'"
        ) from None

    logged = {
        key: title
        for key, title in (("loss", "loss"), ("critic", "the critic's margin"))
        if key == "loss" or any(column(rows, key)[1] for rows in logs.values())
    }
    measures = {
        key: title
        for key, title in (("psnr_y", "PSNR-Y, dB"), ("lpips", "LPIPS"))
        if any(column(rows, key)[1] for rows in scores.values())
    }
    titles = [*logged.values(), *measures.values()]
    figure = Figure(figsize=(8, 3 * len(titles)), layout="constrained")
    panels: Any = figure.subplots(len(titles), sharex=True, squeeze=False)[:, 0]
    for index, (run, rows) in enumerate(logs.items()):
        for panel, key in zip(panels, logged, strict=False):
            steps, values = column(rows, key)
            panel.plot(steps, values, color=f"C{index}", alpha=0.25, linewidth=0.8)
            panel.plot(steps, smoothed(values), color=f"C{index}", label=run.name if steps else None)
        for panel, key in zip(panels[len(logged) :], measures, strict=True):
            found = scores.get(run, [])
            for line, setting in enumerate(dict.fromkeys(row["setting"] for row in found)):
                x, y = column((row for row in found if row["setting"] == setting), key)
                style = ("-", "--", ":", "-.")[line % 4]
                panel.plot(x, y, style, marker=".", color=f"C{index}", label=f"{run.name}, {setting}")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_ylabel(title)
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize="small")
    panels[-1].set_xlabel("step")
    try:
        figure.savefig(path, dpi=100)
    except ValueError as error:
        raise UsageError(f"{path} cannot be drawn: {error}.", hint="Name a .png or .svg file.") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}.") from None
    return [run for run in runs if run not in logs]
