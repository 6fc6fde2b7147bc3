"""Muon: momentum whose update is orthogonalised, for weights that are matrices.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); its update is scaled as in
Moonlight (Liu et al., arXiv 2502.16982, equation 4), so that rates found for AdamW serve here as well.
torch.optim.Muon (torch 2.9) takes matrices only and one at a time. A convolution's weight is the matrix [out,
in * k * k], and matrices of one shape are orthogonalised together: few large products instead of many small.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: singular values end between 0.7 and 1.2
SMALLEST = 1e-3  # root mean square of a weight, for relative updates: nothing stays zero for ever


def orthogonalized(matrices: Tensor, steps: int = 5) -> Tensor:
    """Return matrices [N, M, K] with singular values drawn to about 1, in bfloat16: Newton-Schulz iteration.

    Singular values below some hundredth of the largest need more than five steps and stay smaller.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-12)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT  # [N, S, S] of the shorter side
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        x = factor @ x  # a x + b (x x^T) x + c (x x^T)^2 x
    return x.mT if tall else x


def matrix_of(weight: Tensor) -> Tensor:
    """Return a weight [M, C, ...] as a bfloat16 matrix of M rows, C running fastest.

    The order of columns makes no difference, and this is how channels-last weights lie in memory.
    """
    return weight.movedim(1, -1).flatten(1).bfloat16()


class Muon(torch.optim.Optimizer):
    """Updates each weight by lr * rms * sqrt(max(M, K)) times its orthogonalised Nesterov momentum.

    Args:
        params: Weights of two or more dimensions; all but the first are flattened into columns.
        lr: Rate, as one would choose it for AdamW.
        momentum: Share of the old momentum that is kept.
        rms: Root mean square of an update's elements at a rate of 1; AdamW's have about 0.2.
        relative: Whether that is a multiple of the weight's own root mean square, as in Adafactor (Shazeer
            and Stern, arXiv 1804.04235, section 8): large and small weights then learn alike.
        weight_decay: Decoupled, as AdamW's: share of the weight taken away at a rate of 1.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        rms: float = 0.2,
        relative: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "rms": rms, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.relative = relative

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update all weights that have a gradient; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault((len(p), p[0].numel()), []).append(p)
            for shape, alike in shapes.items():
                updates = orthogonalized(
                    torch.stack([matrix_of(self._momentum(p, group["momentum"])) for p in alike])
                )
                rate = group["lr"] * group["rms"] * max(shape) ** 0.5
                for p, update in zip(alike, updates, strict=True):
                    if self.relative:  # without waiting for a GPU
                        update = update.float() * p.square().mean().sqrt().clamp_min(SMALLEST)
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.movedim(1, -1).add_(update.view(p.movedim(1, -1).shape), alpha=-rate)

    def _momentum(self, p: nn.Parameter, keep: float) -> Tensor:
        """Take in a gradient; return Nesterov's momentum, which looks one gradient ahead."""
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p.grad)
        momentum = state["momentum"].lerp_(p.grad, 1 - keep)
        return p.grad.lerp(momentum, keep)
