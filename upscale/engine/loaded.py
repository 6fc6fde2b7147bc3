"""The models of a cascade, loaded."""

from __future__ import annotations

from dataclasses import replace

from upscale.diffusion import samplers
from upscale.engine import device as devices
from upscale.engine.settings import Settings, settle_stages
from upscale.engine.stage import Room
from upscale.engine.tiles import Tiling
from upscale.errors import DeviceError
from upscale.models import catalog
from upscale.models.access import Access
from upscale.models.failure import first_line, is_of_device, is_out_of_memory
from upscale.models.restorer import Restorer
from upscale.options import EngineOptions


def load_models(options: EngineOptions) -> list[Loaded]:
    """Return a model for each stage; the last one is for all further stages. Equal names share theirs.

    Raises:
        UsageError: A sampler or device is unknown, or a model cannot do what is asked.
        WeightsError: A model cannot be found, verified or loaded.
        DeviceError: The device is not there, fails, or has not enough memory.
    """
    device = devices.resolve_device(options.device)
    dtype = devices.resolve_dtype(options.dtype, device)
    if options.sampler is not None:
        samplers.get(options.sampler)
    access = Access(options.offline, options.accept_licence)
    try:
        names = catalog.stages(options.model)
        restorers = {name: Restorer.load(name, dtype, device, access) for name in dict.fromkeys(names)}
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise DeviceError(
                f"{device} has not enough memory for the model {options.model}.",
                hint="Close other programs, or use --device cpu.",
            ) from error
        if is_of_device(error):
            raise DeviceError(
                f"{device} cannot run the model {options.model} ({first_line(error)}).",
                hint="Check its driver, and that torch supports it, or use --device cpu.",
            ) from error
        raise
    settings = settle_stages([restorers[name].config for name in names], options)
    loaded = {name: Loaded(restorers[name], own) for name, own in zip(names, settings, strict=True)}
    return [loaded[name] for name in names]


class Loaded:
    """A model of a cascade, and how it is used.

    Attributes:
        restorer: The model.
        settings: What was settled on for it alone, device, dtype and tile included.
        room: How much of a picture it takes at once: small tiles together need no more than a large one.
    """

    def __init__(self, restorer: Restorer, settings: Settings) -> None:
        device = restorer.device
        tile_px = settings.tile_px or devices.default_tile_px(device, restorer.fineness)
        tiling = Tiling((1, 1), restorer.multiple_of, restorer.config.halo_px)
        self.restorer = restorer
        self.settings = replace(
            settings, device=str(device), dtype=devices.DTYPE_NAMES[restorer.dtype], tile_px=tile_px
        )
        self.room = Room(tile_px, tiling.full_px(tile_px))
