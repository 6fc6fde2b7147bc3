"""Failing devices are told from tensors that do not fit, by what torch raises."""

from __future__ import annotations

import pytest
import torch

from upscale.models.failure import is_lost, is_of_device, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),  # Windows
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=lambda error: str(error)[:50],
)
def test_what_running_out_of_memory_looks_like(error: Exception) -> None:
    assert is_out_of_memory(error) and is_of_device(error) and not is_lost(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError("out of memory"), KeyError(1)])
def test_what_it_does_not_look_like(error: Exception) -> None:
    assert not is_out_of_memory(error) and not is_of_device(error)


def test_the_cpu_allocator_says_what_is_expected() -> None:
    """The message is torch's, and could change: ask for 4 exabytes."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.float32)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), True),
        (RuntimeError("The size of tensor a must match"), False),
        (ValueError("CUDA error"), False),
    ],
    ids=str,
)
def test_failing_devices_are_told_from_bugs(error: Exception, lost: bool) -> None:
    assert is_lost(error) is is_of_device(error) is lost


def test_what_a_device_cannot_do() -> None:
    assert is_of_device(NotImplementedError("The operator 'x' is not implemented for the MPS device."))
