"""What is recorded in each result of how it was made, and how two such records differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from upscale.engine.plan import model_of
from upscale.errors import WeightsError
from upscale.images.record import Record
from upscale.jobs.items import Job
from upscale.jobs.source import Source
from upscale.models import catalog
from upscale.models.config import (
    ModelConfig,
    color_fix_of,
    denoise_label,
    fidelity_of,
    joined,
    shrink_label,
    steps_of,
)
from upscale.models.digest import sha256_of_all
from upscale.options import EngineOptions
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


def recipe(job: Job, options: EngineOptions, models: Sequence[ModelConfig]) -> Record:
    """Return the record for a result.

    Raises:
        WeightsError: The weights cannot be read.
    """
    stages = len(job.cascade.stages)
    models = models[: max(1, stages)]  # those that have a part in it
    names = catalog.stages(options.model)[: len(models)]
    hashes = [_weights_hash(name) for name in names]
    if len(set(hashes)) > 1:
        hashes = [value and value[:SHORT_HASH] for value in hashes]
    entries = {
        "version": __version__,
        "model": joined(model.name for model in models),
        **({"weights": joined(hashes)} if all(hashes) else {}),
        "scale": f"{job.output_size[0] / job.info.size[0]:.6g}",
        "steps": joined(steps_of(model, options) for model in models),
        "fidelity": joined(
            f"{fidelity_of(model_of(stage, models), options, followed=stage + 1 < stages):g}"
            for stage in range(stages)
        ),
        "start": f"{options.start:g}",
        "denoise": denoise_label(models[0], options),
        "shrink": shrink_label(models[0], options),
        "samples": str(options.samples),
        "sampler": joined(options.sampler or model.sampler for model in models),
        "seed": str(options.seed),
        "consistency": "yes" if options.consistency else "no",
        "color_fix": color_fix_of(models, options.color_fix),
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
