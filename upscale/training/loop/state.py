"""The state of a run: weights, their moving average, optimiser, counters. Saved atomically, resumed exactly.

Random draws depend on (seed, step, detours) alone, so these numbers are all of the data position. The last
good state goes with it, a copy in the computer's memory: the way back when training diverges.
"""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upscale.errors import InputError
from upscale.images.atomic import new_file
from upscale.models.checkpoint import difference
from upscale.models.pickled import DAMAGE
from upscale.training.loop.optimizers import Together
from upscale.training.objectives.critic import Critic

HELD = {"step": int, "norms": list, "network": dict, "ema": dict, "optimizer": dict}  # by every state
COUNTERS = ("skipped", "outliers", "detours", "returned")  # a return does not set them back


def read(path: Path) -> dict[str, Any]:
    """Return what `State.save` stored, on the CPU whatever it was trained on.

    Raises:
        InputError: It is missing, damaged, or something else.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, *DAMAGE) as error:
        told = error.strerror if isinstance(error, OSError) else "it is damaged, or something else"
        raise InputError(
            f"The training state {path} cannot be read ({told}).", hint="Give the folder of a run."
        ) from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), kind) for key, kind in HELD.items()
    ):
        raise InputError(f"{path} is no training state.", hint="Give the folder of a run, or its state.pt.")
    return content


def load_weights(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights by these names into the network.

    Raises:
        ValueError: They are another network's; it says how they differ.
    """
    if apart := difference(network, {name: tuple(weight.shape) for name, weight in weights.items()}):
        raise ValueError(apart)
    network.load_state_dict(weights)


def _copied(value: Any) -> Any:
    """Return nested values with copies of all tensors, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


@dataclass
class State:
    """Everything that a run carries from step to step.

    Attributes:
        step: Steps done.
        network: The weights that are trained, float32.
        ema: Their exponential moving average: what is evaluated and shipped.
        optimizer: What updates the weights.
        critic: What the last step learns from beside photos, where a recipe has one; learns with it.
        skipped: Batches left out because their gradient was an outlier.
        norms: Recent gradient norms, newest last.
        losses: Recent losses, newest last.
        outliers: How many batches in a row, up to the last, were left out.
        detours: Returns to a good state so far.
        returned: Returns to the present good state.
        good: That state, as `content` gives it.
    """

    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer | Together
    critic: Critic | None = None
    step: int = 0
    skipped: int = 0
    norms: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    outliers: int = 0
    detours: int = 0
    returned: int = 0
    good: dict[str, Any] | None = None

    @property
    def loss(self) -> float | None:
        """Smoothed loss; None where none is known."""
        return statistics.fmean(self.losses) if self.losses else None

    def content(self) -> dict[str, Any]:
        """Return what a return to this state brings back; tensors are shared."""
        return {
            "step": self.step,
            "norms": self.norms,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic": self.critic.state_dict() if self.critic else None,
        }

    def keep(self) -> None:
        """Make this the good state to return to."""
        self.good = _copied(self.content())
        self.returned = 0

    def go_back(self) -> None:
        """Return to the good state; counters tell that and how often."""
        assert self.good is not None
        self._take(_copied(self.good))
        self.outliers = 0
        self.detours += 1
        self.returned += 1

    def save(self, path: Path) -> None:
        """Write the state to `path`, whole or not at all; raises `OutputError` if it cannot be written."""
        counters = {name: getattr(self, name) for name in COUNTERS}
        content = {**self.content(), **counters, "good": self.good}
        with new_file(path, overwrite=True) as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # torch's words where the disk is full
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None

    def load(self, path: Path) -> None:
        """Take over the state stored at `path`.

        Raises:
            InputError: It is missing or damaged.
            ValueError: It is that of another network or optimiser.
        """
        content = read(path)
        if content["optimizer"].keys() != self.optimizer.state_dict().keys():
            raise ValueError("it has another kind of optimizer")
        for name in COUNTERS:
            setattr(self, name, content.get(name, 0))  # states of earlier versions have fewer
        self.good = content.get("good")
        self._take(content)

    def _take(self, content: dict[str, Any]) -> None:
        self.step, self.norms, self.losses = content["step"], content["norms"], content.get("losses", [])
        load_weights(self.network, content["network"])
        load_weights(self.ema, content["ema"])
        own = [
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(content["optimizer"])
        for group, options in zip(self.optimizer.param_groups, own, strict=True):
            group.update(options)  # the recipe's, whatever they were
        if self.critic:
            load_weights(self.critic, content["critic"])

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """Move the average towards the weights; early on faster, so that it does not remember the start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        averages, weights = ([p.data for p in net.parameters()] for net in (self.ema, self.network))
        torch._foreach_lerp_(averages, weights, 1 - decay)
