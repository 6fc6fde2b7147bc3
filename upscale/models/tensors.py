"""Weights files opened but not yet read: names and shapes first, memory later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from upscale.errors import WeightsError


@dataclass(frozen=True)
class Tensors:
    """The tensors of a network.

    Attributes:
        shapes: By name.
        read: Makes a tensor from its name.
    """

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]

    def renamed(self, rename: Callable[[str], str]) -> Tensors:
        """Return the same tensors by other names."""
        names = {rename(name): name for name in self.shapes}
        shapes = {name: self.shapes[old] for name, old in names.items()}
        return Tensors(shapes, lambda name: self.read(names[name]))

    def without(self, prefixes: tuple[str, ...]) -> Tensors:
        """Return the tensors whose names do not begin with any of these."""
        kept = {name: shape for name, shape in self.shapes.items() if not name.startswith(prefixes)}
        return Tensors(kept, self.read)


def open_safetensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file, which stays open as long as they are referred to.

    Raises:
        WeightsError: It cannot be read, or is not whole.
    """
    try:
        file: Any = safe_open(path, framework="pt", device="cpu")
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read ({error}).") from None
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a whole safetensors file ({error}).", hint="Get the model again."
        ) from None
    return Tensors(shapes, file.get_tensor)


def together(parts: Mapping[str, Tensors]) -> Tensors:
    """Return the tensors of several files as one: each by its own name after its part's and a dot."""
    places = {f"{part}.{name}": (part, name) for part, tensors in parts.items() for name in tensors.shapes}
    shapes = {name: parts[part].shapes[own] for name, (part, own) in places.items()}

    def read(name: str) -> Tensor:
        part, own = places[name]
        return parts[part].read(own)

    return Tensors(shapes, read)
