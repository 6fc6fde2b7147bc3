"""Weights files of diffusers: `.safetensors`, or the pickled `.bin` of old repositories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from upscale.models import pickled
from upscale.models.tensors import Tensors, open_safetensors, together

# Of attention layers: what old versions of diffusers called them, and what they are called since.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD_NAME = re.compile(r"(?<=\battentions\.)(\d+)\.(query|key|value|proj_attn)\.(weight|bias)$")


def open_parts(parts: Mapping[str, Path]) -> Tensors:
    """Return the tensors of a network by their names in ours.

    Args:
        parts: The weights file of each part, by the part's name in the network.

    Raises:
        WeightsError: A file cannot be read, is not whole, or holds anything but tensors.
    """
    return together({part: _open(path).renamed(name_of_today) for part, path in parts.items()})


def name_of_today(name: str) -> str:
    """Return what a parameter is called since attention layers were renamed."""
    return OLD_NAME.sub(lambda match: f"{match[1]}.{OLD_NAMES[match[2]]}.{match[3]}", name)


def _open(path: Path) -> Tensors:
    if path.suffix != ".bin":
        return open_safetensors(path)
    tensors = pickled.read_tensors(path, "a network", "Get the model again.")
    return Tensors({name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors.__getitem__)
