"""What makes the pixels: what jobs ask of an engine, and one for each device."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Protocol

from upscale.images.picture import Picture
from upscale.options import ALL_DEVICES, EngineOptions, devices_named

if TYPE_CHECKING:
    from upscale.engine.progress import Progress


class Engine(Protocol):
    """What makes the pixels: `engine.Upscaler`, or in tests anything quicker."""

    def together(self, size: tuple[int, int], target: tuple[int, int]) -> int:
        """Return how many pictures of one (width, height) to give at once."""
        ...

    def upscale_many(
        self,
        pictures: Sequence[Picture],
        size: tuple[int, int],
        progress: Callable[[Progress], None] | None = None,
    ) -> list[Picture]:
        """Return pictures of one size at this (width, height) in pixels."""
        ...


def load_engine(options: EngineOptions) -> Engine:
    """Return the real engine; imports torch and loads the weights.

    Raises:
        WeightsError: The model cannot be loaded.
        DeviceError: The device is missing or cannot do what is asked.
    """
    gc.disable()  # nothing that comes with torch is garbage; to look for some takes a fifth of a short run
    try:
        from upscale.engine.upscaler import Upscaler

        return Upscaler(**asdict(options))
    finally:
        gc.enable()


def for_each_device(options: EngineOptions) -> list[EngineOptions]:
    """Return the options of an engine for each device that is asked for.

    Raises:
        DeviceError: One of several is missing; a single one is found missing when its engine is loaded.
    """
    names = devices_named(options.device)
    if names == (ALL_DEVICES,):
        from upscale.engine.device import all_devices

        names = all_devices()
    elif len(names) > 1 and set(names) != {"cpu"}:
        from upscale.engine.device import resolve_device

        for name in names:
            resolve_device(name)
    return [replace(options, device=name) for name in names]
