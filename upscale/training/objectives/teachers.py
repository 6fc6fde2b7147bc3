"""Models that a first step learns from beside photographs (distillation, arXiv 1503.02531).

A photograph is one of many that its small picture may be, and how far an estimate is from it is chance for
the most part. What a slightly better model answers lies near the mean of them all, without that chance, and
less is lost in a small batch. There are such models: every one is better as the mean of its answers to the
picture turned, and one that knows some kinds of pictures alone knows these better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upscale.diffusion.orientation import turned, turned_back
from upscale.training.objectives.batch import Batch
from upscale.training.objectives.residual_v import encode, eyes_of_first, first_error
from upscale.training.recipe import Recipe

QUARTERS = 0, 2, 4, 6  # ways up
AnyBatch = TypeVar("AnyBatch", bound=Batch)


class Teachers:
    """Networks with a first step of their own, which stay as they are."""

    def __init__(self, networks: Sequence[nn.Module], share: float) -> None:
        """Take the networks, and which share of what is learnt is theirs; the rest is the photographs'."""
        self.networks = [network.requires_grad_(False) for network in networks]
        self.share = share

    @torch.no_grad()
    def teach(self, batch: AnyBatch, recipe: Recipe, dtype: torch.dtype) -> AnyBatch:
        """Return a batch whose target is, by the share, an answer to each example.

        Every teacher has two, for the picture as it is and as the mean over four ways up. Each example takes
        the one that is nearest to its photograph: no teacher knows all kinds, and some reductions and letters
        are others when they are turned.
        """
        answers = []
        for network in self.networks:
            views = [_answer(network, batch, way, recipe, dtype) for way in QUARTERS]
            answers += [views[0], torch.stack(views).mean(0)]
        apart = torch.stack([(answer - batch.target).square().mean((1, 2, 3)) for answer in answers])
        nearest = torch.stack(answers)[apart.argmin(0), torch.arange(len(apart[0]), device=apart.device)]
        return replace(batch, target=batch.target.lerp(nearest, self.share))


def _answer(network: Any, batch: Batch, way: int, recipe: Recipe, dtype: torch.dtype) -> Tensor:
    """Return a network's first estimate of the target, for pictures turned, turned back."""
    lr = turned(batch.lr, way)
    blank = replace(batch, lr=lr, target=torch.zeros_like(batch.target))  # crops are square
    seen = encode(eyes_of_first(network), lr, batch.aug_level, dtype)
    v = first_error(network, blank, recipe, seen, dtype)
    upright = turned_back(F.pixel_shuffle(v, recipe.scale), way)
    return F.pixel_unshuffle(upright, recipe.scale) / -(math.pi / 2 * batch.level[:1]).sin()
