"""What is recorded in each result of how it was made, and how two such records differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from upscale.engine.plan import model_of
from upscale.engine.settings import Settings, joined, joint_color_fix, or_auto
from upscale.errors import WeightsError
from upscale.images.record import Record
from upscale.jobs.items import Job
from upscale.jobs.source import Source
from upscale.models import catalog
from upscale.models.digest import sha256_of_all
from upscale.version import __version__

# What makes a result another picture; the rest is for people. The size is compared in pixels.
DECISIVE = (
    "weights",
    "steps",
    "fidelity",
    "start",
    "denoise",
    "shrink",
    "samples",
    "sampler",
    "seed",
    "consistency",
    "color_fix",
    "input_bytes",
)


SHORT_HASH = 16  # digits, where there are several: records hold no long values


def recipe(job: Job, model: str, settings: Sequence[Settings]) -> Record:
    """Return the record for a result.

    Args:
        job: What it is the result of.
        model: The model, or those of a cascade, as they are asked for.
        settings: How each of them is used.

    Raises:
        WeightsError: The weights cannot be read.
    """
    stages = len(job.cascade.stages)
    settings = settings[:stages]  # of those that have a part in it
    names = catalog.stages(model)[: len(settings)]
    first = settings[0]
    *before, last = (model_of(stage, settings) for stage in range(stages))
    hashes = [_weights_hash(name) for name in names]
    if len(set(hashes)) > 1:
        hashes = [value and value[:SHORT_HASH] for value in hashes]
    entries = {
        "version": __version__,
        "model": joined(own.model for own in settings),
        **({"weights": joined(hashes)} if all(hashes) else {}),
        "scale": f"{job.output_size[0] / job.info.size[0]:.6g}",
        "steps": joined(own.steps for own in settings),
        "fidelity": joined(f"{share:g}" for share in (*(s.cascade_fidelity for s in before), last.fidelity)),
        "start": f"{first.start:g}",
        "denoise": or_auto(first.denoise),
        "shrink": or_auto(first.shrink),
        "samples": str(first.samples),
        "sampler": joined(own.sampler for own in settings),
        "seed": str(first.seed),
        "consistency": "yes" if first.consistency else "no",
        "color_fix": joint_color_fix(settings),
    }
    if (size := _size_of(job.source)) is not None:
        entries["input_bytes"] = str(size)
    return entries


def differences(old: Record, new: Record) -> tuple[str, ...]:
    """Return the decisive entries in which two records differ; what only one of them has does not count."""
    return tuple(name for name in DECISIVE if name in old and name in new and old[name] != new[name])


def _size_of(source: Source) -> int | None:
    """Return the bytes of an input; None for one that has gone."""
    if source.path is None:
        return len(source.data or b"")
    try:
        return source.path.stat().st_size
    except OSError:
        return None


def _weights_hash(model: str) -> str | None:
    """Return the hash of a model's weights, from the catalogue or else counted; None before they are here.

    Raises:
        WeightsError: There is no such model, or its weights cannot be read.
    """
    location = catalog.find(model)
    if location is None:
        return None
    return location.sha256 or _hash_of(location.files)


@cache
def _hash_of(files: tuple[Path, ...]) -> str:
    try:
        return sha256_of_all(files)
    except OSError as error:
        raise WeightsError(
            f"The model's file {error.filename or files[0]} cannot be read ({error.strerror})."
        ) from None
