"""The header of a safetensors file: its metadata, read without torch and without the tensors."""

from __future__ import annotations

import json
from pathlib import Path

from upscale.errors import WeightsError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
CONFIG_KEY = "config"


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata strings of a safetensors file.

    Raises:
        WeightsError: It is not a safetensors file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size):
            raise WeightsError(
                f"{path} is not a safetensors file.", hint="Pickled weights are never loaded directly."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw)
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError):
        raise WeightsError(f"{path} is not a safetensors file.", hint="Get the model again.") from None


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
