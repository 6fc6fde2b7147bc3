"""Which optimiser updates which weights, by the name in a recipe."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim import Optimizer as TorchOptimizer

from upscale.errors import UsageError, choices
from upscale.training.loop.muon import Muon
from upscale.training.recipe import Optimizer, Recipe

# Where pictures enter and leave: their channels are no features, so they stay with AdamW (Jordan 2024).
ENDS = re.compile(r"((^|\.)(stem|head)|^downs\.0|^final_conv\..*)\.weight$")

CRITIC_BETAS = (0.5, 0.99)  # little momentum, since what it learns from changes


class Together:
    """Several optimisers, each with weights of its own, as one."""

    def __init__(self, **parts: TorchOptimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self) -> None:
        """Update all weights."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the parts' states by their names."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name, part in self.parts.items():
            part.load_state_dict(content[name])


def adamw(network: nn.Module, chosen: Optimizer) -> TorchOptimizer:
    """Return AdamW for all weights."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return AdamW(trained, chosen.lr, betas=chosen.betas, weight_decay=chosen.weight_decay)


def muon(network: nn.Module, chosen: Optimizer) -> Together:
    """Return Muon for the convolutions between features, AdamW for all other weights."""
    inside: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, p in network.named_parameters():
        if not p.requires_grad:
            continue
        (inside if p.ndim == 4 and not ENDS.search(name) else others).append(p)
    return Together(
        muon=Muon(
            inside,
            chosen.lr,
            momentum=chosen.momentum,
            rms=chosen.update_rms,
            relative=chosen.relative,
            weight_decay=chosen.weight_decay,
        ),
        adamw=AdamW(others, chosen.lr, betas=chosen.betas, weight_decay=chosen.weight_decay),
    )


OPTIMIZERS: dict[str, Callable[[nn.Module, Optimizer], TorchOptimizer | Together]] = {
    "adamw": adamw,
    "muon": muon,
}


def of(recipe: Recipe, network: nn.Module, critic: nn.Module | None = None) -> TorchOptimizer | Together:
    """Return what updates a network's weights, and those of its critic, at a rate of its own.

    Raises:
        UsageError: There is no such optimiser.
    """
    kind = recipe.optimizer.kind
    if kind not in OPTIMIZERS:
        raise UsageError(f"There is no optimizer {kind!r}.", hint=choices(kind, OPTIMIZERS))
    chosen = OPTIMIZERS[kind](network, recipe.optimizer)
    if critic is None:
        return chosen
    parts = chosen.parts if isinstance(chosen, Together) else {kind: chosen}
    group = {"params": list(critic.parameters()), "times": recipe.last_step.critic_rate}
    return Together(**parts, critic=AdamW([group], recipe.optimizer.lr, betas=CRITIC_BETAS, weight_decay=0.0))
