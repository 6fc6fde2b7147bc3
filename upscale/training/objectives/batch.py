"""What a step trains on: tensors that go to a device together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor


@dataclass(frozen=True)
class Movable:
    """Tensors, and others like it, that go to a device as a whole."""

    def to(self, device: str, non_blocking: bool = True) -> Self:
        """Return them on a device, without waiting until they are there."""
        return self._with(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return them where a GPU can fetch them from while others compute."""
        return self._with(lambda part: part.pin_memory())

    def _with(self, change: Callable[[Any], Any]) -> Self:
        parts = {name: part for name, part in vars(self).items() if isinstance(part, Tensor | Movable)}
        return replace(self, **{name: change(part) for name, part in parts.items()})


@dataclass(frozen=True)
class Batch(Movable):
    """What every objective has.

    Attributes:
        lr: [B, 3, h, w] conditioning image, augmentation noise included.
        aug_level: [B] level of that noise, as the network is told.
        target: [B, 3 scale^2, h, w] residual at LR size, about unit variance; or what else is diffused.
        level: [B] noise level in [0, 1], the cosine schedule's time.
        noise: Like `target`, unit Gaussian.
    """

    lr: Tensor
    aug_level: Tensor
    target: Tensor
    level: Tensor
    noise: Tensor
