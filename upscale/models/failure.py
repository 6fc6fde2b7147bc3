"""What torch raises when a device fails, told from what it raises when tensors do not fit one another."""

from __future__ import annotations

import torch

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on Windows
    "alloc_failed",  # cuBLAS and cuDNN, which take memory beside torch
    "allocation_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)


def is_lost(error: BaseException) -> bool:
    """Return whether an exception says that a device itself fails, so that nothing more can be done on it."""
    accelerator: type[BaseException] = getattr(torch, "AcceleratorError", torch.OutOfMemoryError)  # torch 2.8
    text = str(error)
    failed = isinstance(error, accelerator) or "CUDA error" in text or "CUDNN_STATUS" in text
    return isinstance(error, RuntimeError) and failed and not is_out_of_memory(error)


def is_of_device(error: BaseException) -> bool:
    """Return whether an exception is a device's: out of memory, lost, or without what a network needs."""
    return isinstance(error, NotImplementedError) or is_out_of_memory(error) or is_lost(error)


def first_line(error: BaseException) -> str:
    """Return what an exception says, without the advice that torch adds for programmers."""
    return str(error).partition("\n")[0]
