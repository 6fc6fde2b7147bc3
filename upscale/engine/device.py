"""Which device computes, in which dtype, in tiles of which size."""

from __future__ import annotations

import math

import torch

from upscale.errors import DeviceError, UsageError
from upscale.options import ALL_DEVICES, MIN_TILE_PX

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

CPU_TILE_PX = 256  # larger is no faster once a tile no longer fits the cache, and shows less progress
GPU_TILE_PX = 1024
GPU_BYTES_PER_PIXEL = (
    6000  # of a tile, at its peak: an estimate on the safe side; running out halves the tile
)


def resolve_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the fastest there is.

    Raises:
        UsageError: There is no such kind of device.
        DeviceError: This machine has none of that kind, or torch was built without it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if "," in name or name == ALL_DEVICES:
        raise UsageError(
            f"One engine computes on one device, not on {name}.",
            hint="Make an Upscaler for each; the upscale command takes several.",
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name} is unknown.", hint="Choose from auto, cpu, cuda, cuda:N, mps.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                "No usable CUDA device was found.", hint="Check the driver, or use --device cpu."
            )
        count = torch.cuda.device_count()
        if device.index is not None and device.index >= count:
            raise DeviceError(f"There is no {name}: this machine has {count} CUDA device(s), counted from 0.")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("No Apple GPU (MPS) was found.", hint="Use --device cpu.")
    return torch.device(device.type)


def all_devices() -> tuple[str, ...]:
    """Return all CUDA devices there are; without one, what `auto` takes."""
    if torch.cuda.is_available():
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (str(resolve_device("auto")),)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype called `auto`, `fp32`, `bf16` or `fp16` for a device.

    `auto` is bf16 where the hardware multiplies it fast (CUDA from Ampere on, CPUs with AMX or AVX512-BF16),
    fp16 on other GPUs, else fp32, in which CUDA may round what convolutions read to TF32, as torch is set.

    Raises:
        UsageError: fp16 on a CPU, which is slower than fp32 there, or not possible at all.
    """
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--dtype fp16 is not for CPUs.", hint="Use --dtype auto, bf16 or fp32.")
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "mps":
        return torch.float16
    fast = any(
        getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return torch.bfloat16 if fast else torch.float32


def default_tile_px(device: torch.device, fineness: int = 1) -> int:
    """Return the side of a tile in input pixels that suits a device and its free memory.

    Args:
        device: Where it is computed.
        fineness: Pixels that the network computes at on each side of an input pixel.
    """
    side = CPU_TILE_PX
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        side = min(GPU_TILE_PX, max(64, int(math.sqrt(0.8 * free / GPU_BYTES_PER_PIXEL)) // 32 * 32))
    return max(MIN_TILE_PX, side // fineness)


def free_memory(device: torch.device) -> None:
    """Give memory that torch keeps in reserve back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
