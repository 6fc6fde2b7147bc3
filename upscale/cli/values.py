"""Option values that are more than a number: `--size 1920x1080`, `--tile auto`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from upscale.errors import UsageError, choices
from upscale.options import MAX_SHRINK, PRESETS

Number = TypeVar("Number", int, float)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) in pixels from `WxH`; None stays None.

    Raises:
        UsageError: It is not written so.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+)[xX×]([0-9]+)", text.strip())
    if match is None:
        raise UsageError(
            f"--size {text} cannot be read.", hint="Write it as WIDTHxHEIGHT, for example 1920x1080."
        )
    return int(match[1]), int(match[2])


def parse_tile(text: str) -> int | None:
    """Return the side of a tile in pixels; None for `auto`.

    Raises:
        UsageError: It is neither a whole number nor `auto`.
    """
    return _number_or_auto("--tile", text, int, "a number of pixels")


def parse_denoise(text: str) -> float | None:
    """Return how much noise is taken out; None for `auto`.

    Raises:
        UsageError: It is neither a number nor `auto`.
    """
    return _number_or_auto("--denoise", text, float, "a number from 0 to 1")


def parse_shrink(text: str) -> float | None:
    """Return how many times smaller a photo is made first; None for `auto`.

    Raises:
        UsageError: It is neither a number nor `auto`.
    """
    return _number_or_auto("--shrink", text, float, f"a number from 1 to {MAX_SHRINK}")


def _number_or_auto(option: str, text: str, kind: Callable[[str], Number], what: str) -> Number | None:
    if text == "auto":
        return None
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{option} {text} cannot be read.", hint=f"It is {what}, or auto.") from None


def parse_conflict(on_conflict: str | None, *, overwrite: bool, skip_existing: bool) -> str | None:
    """Return what `--on-conflict` or one of its two short forms says; None where none is given.

    Raises:
        UsageError: Two of them are given and differ.
    """
    given = {
        "--overwrite": "overwrite" if overwrite else None,
        "--skip-existing": "skip" if skip_existing else None,
        f"--on-conflict {on_conflict}": on_conflict,
    }
    wishes = {flag: wish for flag, wish in given.items() if wish is not None}
    if len(set(wishes.values())) > 1:
        raise UsageError(f"{' and '.join(wishes)} exclude each other.", hint="Give one of them.")
    return next(iter(wishes.values()), None)


def parse_fidelity(fidelity: float | None, preset: str | None) -> float | None:
    """Return what `--fidelity` or its short form `--preset` says; None where none is given.

    Raises:
        UsageError: Both are given, or there is no such preset.
    """
    if preset is None:
        return fidelity
    if fidelity is not None:
        raise UsageError("--fidelity and --preset exclude each other.", hint="Give one of them.")
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset} is unknown.", hint=choices(preset, PRESETS))
    return PRESETS[preset]
