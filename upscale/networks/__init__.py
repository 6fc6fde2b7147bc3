"""One `nn.Module` architecture per file, or per folder where it takes several.

`networks/<name>.py` or `networks/<name>/` exports `ARCH`, and is thereby known: weights name their
architecture and this registry finds it. Nothing else has to be edited to add one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from upscale.errors import WeightsError


@dataclass(frozen=True)
class Arch:
    """What the rest of the house needs to know about an architecture.

    Attributes:
        build: Makes the network from the `network` table of a model's config; raises `TypeError` or
            `ValueError` on a table it does not understand. The network's `multiple_of` says what the sides of
            the noisy image that it is given must be multiples of, in pixels.
        local: Whether every output pixel depends on a bounded neighbourhood only (no statistics over pixels,
            no attention), so that tiles with a halo give the untiled picture.
        runner: Makes of a network, whose weights stay as they are from then on, what is called instead of it
            where nothing is learnt: the same interface, faster. The network itself, if there is nothing
            faster.
        narrow: Makes a network compute in a dtype; the weights that matter little for speed may stay wider.
    """

    build: Callable[[Mapping[str, Any]], nn.Module]
    local: bool
    runner: Callable[[Any], Any] = lambda network: network
    narrow: Callable[[Any, torch.dtype], object] = lambda network, dtype: network.to(dtype)


def names() -> list[str]:
    """Return the names of all architectures, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def get(name: str) -> Arch:
    """Return the architecture called `name`.

    Raises:
        WeightsError: There is none.
    """
    if name not in names():
        raise WeightsError(
            f"The weights need an unknown network architecture: {name!r}.",
            hint=f"This version knows {', '.join(names())}; a newer one may know it.",
        )
    arch: Arch = importlib.import_module(f"{__name__}.{name}").ARCH
    return arch
