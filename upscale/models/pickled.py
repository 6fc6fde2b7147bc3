"""Pickled weights (`.pth`, `.bin`): tensors by name, read with `weights_only=True`; nothing is executed."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from upscale.errors import WeightsError

DAMAGE = (
    RuntimeError,  # torch's own for most damage
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    AssertionError,
    MemoryError,
    OverflowError,
    RecursionError,
    zipfile.BadZipFile,
    SafetensorError,  # newer torch goes by the suffix
)
"""What reading a damaged file raises beside `OSError` and `UnpicklingError`."""


def read_tensors(path: Path, what: str, wanted: str) -> dict[str, Tensor]:
    """Return the tensors of a pickled state dict by name, not yet in memory where the file can be mapped.

    Args:
        path: The file.
        what: What it should hold the state dict of, for messages.
        wanted: What to give instead, one sentence, for those who gave another file.

    Raises:
        WeightsError: The file cannot be read, holds anything but tensors, or claims more than it holds.
    """
    try:
        held = path.stat().st_size
        # Mapped, a file of any size takes no memory yet; the container of old torch cannot be mapped.
        with warnings.catch_warnings(action="ignore"):  # of unusual pickle protocols; what counts is refused
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read ({error.strerror or error}).") from None
    except pickle.UnpicklingError:  # whose advice is to execute what is in it
        raise WeightsError(
            f"{path} is not a plain file of tensors; nothing in it was executed.",
            hint="Only tensors are read from pickled weights.",
        ) from None
    except DAMAGE as error:
        told = str(error).split("\n")[0]
        suffix = path.suffix or ".pth"
        raise WeightsError(f"{path} is damaged or not a {suffix} file ({told[:200]}).") from None
    tensors = {str(name): tensor for name, tensor in state.items()} if isinstance(state, dict) else {}
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds no state dict of {what}.", hint=wanted)
    if odd := next((name for name, tensor in tensors.items() if not _plain(tensor)), None):
        raise WeightsError(f"{path} holds tensors of a kind that no weights are of: {odd}.", hint=wanted)
    # A view may show one number a million times.
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > held:
        raise WeightsError(f"{path} claims more numbers than it holds.", hint="Get the weights again.")
    return tensors


def _plain(tensor: Tensor) -> bool:
    """Return whether a tensor holds a number for each of its places."""
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
