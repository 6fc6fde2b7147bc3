"""The state of a run: weights, their moving average, optimiser, counters. Saved atomically, resumed exactly.

Random draws depend on (seed, step) alone, so the step number is all of the data position.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upscale.errors import InputError
from upscale.training.optimizers import Together


def read(path: Path) -> dict[str, Any]:
    """Return what `State.save` stored, on the CPU whatever it was trained on.

    Raises:
        InputError: It is missing or damaged.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(
            f"The training state {path} cannot be read ({error}).", hint="Give the folder of a run."
        ) from None
    return content


@dataclass
class State:
    """Everything that a run carries from step to step.

    Attributes:
        step: Steps done.
        network: The weights that are trained, float32.
        ema: Their exponential moving average: what is evaluated and shipped.
        optimizer: What updates the weights.
        skipped: Batches left out because their gradient was an outlier.
        norms: Recent gradient norms, newest last.
    """

    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer | Together
    step: int = 0
    skipped: int = 0
    norms: list[float] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state to `path`, whole or not at all."""
        content = {
            "step": self.step,
            "skipped": self.skipped,
            "norms": self.norms,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = path.with_suffix(".tmp")
        torch.save(content, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Take over the state stored at `path`.

        Raises:
            InputError: It is missing or damaged.
            RuntimeError: It is that of another network.
            ValueError: It is that of another optimiser.
        """
        content = read(path)
        if content["optimizer"].keys() != self.optimizer.state_dict().keys():
            raise ValueError("it has another kind of optimizer")
        self.step, self.skipped, self.norms = content["step"], content["skipped"], content["norms"]
        self.network.load_state_dict(content["network"])
        self.ema.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """Move the average towards the weights; early on faster, so that it does not remember the start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for average, weight in zip(self.ema.parameters(), self.network.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
