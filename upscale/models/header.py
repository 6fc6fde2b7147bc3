"""The header of a safetensors file: its metadata, read without torch and without the tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from upscale.errors import WeightsError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
CONFIG_KEY = "config"


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata strings of a safetensors file.

    Raises:
        WeightsError: It is not a safetensors file.
        OSError: It cannot be read.
    """
    header, _ = _read(path)
    try:
        return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except AttributeError:
        raise _not_safetensors(path) from None


def data_size(path: Path) -> int:
    """Return how many bytes a safetensors file has if it is whole, by what its header says.

    Raises:
        WeightsError: It is not a safetensors file.
        OSError: It cannot be read.
    """
    header, start = _read(path)
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (TypeError, LookupError, ValueError, OverflowError):
        raise _not_safetensors(path) from None
    return start + max(ends, default=0)


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header and where the tensors begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size):
            raise WeightsError(
                f"{path} is not a safetensors file.", hint="Pickled weights are never loaded directly."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise _not_safetensors(path) from None
    if not isinstance(header, dict):
        raise _not_safetensors(path)
    return header, 8 + length


def _not_safetensors(path: Path) -> WeightsError:
    return WeightsError(f"{path} is not a safetensors file.", hint="Get the model again.")


def config_text(path: Path) -> str:
    """Return the config (JSON) that a weights file carries.

    Raises:
        WeightsError: It carries none.
        OSError: It cannot be read.
    """
    text = read_metadata(path).get(CONFIG_KEY)
    if text is None:
        raise WeightsError(
            f"{path} does not say what model it is.",
            hint="Give the folder that holds its config.json as well.",
        )
    return text
