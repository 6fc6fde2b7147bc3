"""Upscale photos 2 to 16 times with SR3 diffusion models.

    from upscale import Upscaler
    big = Upscaler()(pil_image, scale=8)

Importing this package is cheap: torch is loaded when `Upscaler` is first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upscale.errors import (
    DeviceError,
    ExitCode,
    InputError,
    OutputError,
    UpscaleError,
    UsageError,
    WeightsError,
)
from upscale.version import __version__

if TYPE_CHECKING:
    from upscale.engine.upscaler import Upscaler

__all__ = [
    "DeviceError",
    "ExitCode",
    "InputError",
    "OutputError",
    "UpscaleError",
    "Upscaler",
    "UsageError",
    "WeightsError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name != "Upscaler":  # anything else must fail first, or `from upscale import x` would load torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from upscale.engine.upscaler import Upscaler

    return Upscaler
