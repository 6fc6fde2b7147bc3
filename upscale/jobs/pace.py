"""How fast earlier runs were, remembered in the user's cache folder, so that the next one can be foretold.

One entry for each way of making pixels: model, device, dtype, sampler and steps (of all samples) as they were
asked for. Newer runs count for more. Losing the file loses nothing but forecasts.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from upscale.engine.settings import joined
from upscale.errors import UpscaleError
from upscale.images.atomic import new_file
from upscale.jobs.forecast import work
from upscale.jobs.plan import Plan
from upscale.jobs.report import Report, Status

_LEAST = 0.004  # million pixels, 64x64: with fewer the time goes with other things
_FADE = 0.5  # of what was known before, at each further run
_MOST_BYTES = 1 << 20


def pace_of(plan: Plan) -> float | None:
    """Return seconds per million pixels given to the model; None if no run with these settings tells."""
    entry = _known().get(_key(plan))
    return entry[0] / entry[1] if entry else None


def remember(plan: Plan, report: Report) -> None:
    """Add what a run took; a folder that cannot be written to is nothing to speak of."""
    done = [
        (o.seconds, amount)
        for o in report.outcomes
        if o.status is Status.DONE and o.job and (amount := work(o.stages, o.job.frames)) >= _LEAST
    ]
    if not done:
        return
    known = _known()
    old = known.get(_key(plan), (0.0, 0.0))
    seconds, amount = (
        _FADE * before + sum(now) for before, now in zip(old, zip(*done, strict=True), strict=True)
    )
    known[_key(plan)] = (seconds, amount)
    with suppress(OSError, UpscaleError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, overwrite=True) as file:
            file.write(json.dumps(known, indent=1).encode())


def _path() -> Path:
    if folder := os.environ.get("UPSCALE_CACHE"):
        return Path(folder) / "pace.json"
    return platformdirs.user_cache_path("upscale", appauthor=False) / "pace.json"


def _key(plan: Plan) -> str:
    first = plan.settings[0]
    parts = (
        plan.model_name,
        first.device,
        first.dtype,
        joined(own.sampler for own in plan.settings),
        joined(own.steps * own.samples for own in plan.settings),
    )
    return " ".join(str(part) for part in parts)


def _known() -> dict[str, tuple[float, float]]:
    """Return all entries that make sense."""
    try:
        with _path().open("rb") as file:
            entries: Any = json.loads(file.read(_MOST_BYTES))
        pairs = {str(key): (float(pair[0]), float(pair[1])) for key, pair in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return {}
    return {key: pair for key, pair in pairs.items() if 0 < pair[0] < 1e9 and 0 < pair[1] < 1e9}
