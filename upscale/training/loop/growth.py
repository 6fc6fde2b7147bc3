"""Blocks that a deeper network has and the weights it begins with lack: at first they add nothing.

A new block takes half of the hidden channels of one that is there, twice, and lets the two cancel out. So the
deeper network begins as the one before (Net2Net: Chen et al., arXiv 1511.05641), but with weights as large as
their neighbours': an optimiser whose steps are relative to them would get nowhere from zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

BLOCK = re.compile(r"(?P<run>.*\b(?:outer|inner|before|after))\.(?P<place>\d+)\.conv1\.weight")


def grown(weights: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights with those of the blocks of `ResidualUNet` that are among `names` and missing.

    The runs of blocks grow at their ends; those that have no block yet stay as they are.
    """
    whole = dict(weights)
    missing = [found for name in names if name not in weights and (found := BLOCK.fullmatch(name))]
    for found in missing:
        run, place = found["run"], int(found["place"])
        there = sum(f"{run}.{i}.conv1.weight" in weights for i in range(place))
        if not there:
            continue
        new = place - there  # the last block gives a half to each of the first two, and so on
        old = f"{run}.{max(0, there - 1 - new // 2)}."
        block = {name.removeprefix(old): w for name, w in weights.items() if name.startswith(old)}
        half = slice(None, len(block["conv1.weight"]) // 2)
        if new % 2:
            half = slice(half.stop, 2 * half.stop)
        for name, w in _cancelling(block, half).items():
            whole[f"{run}.{place}.{name}"] = w
    return whole


def _cancelling(block: Mapping[str, Tensor], half: slice) -> dict[str, Tensor]:
    """Return a block whose hidden channels are those of `half` and, with the opposite effect, again those."""

    def twice(w: Tensor) -> Tensor:
        return torch.cat([w[half], w[half]])

    films = ("film.weight", "film.bias")  # each scales, then shifts
    film = {name: torch.cat([twice(part) for part in block[name].chunk(2)]) for name in films}
    effect = block["conv2.weight"][:, half]
    return {
        "conv1.weight": twice(block["conv1.weight"]),
        "conv1.bias": twice(block["conv1.bias"]),
        "conv2.weight": torch.cat([effect, -effect], dim=1),
        "conv2.bias": torch.zeros_like(block["conv2.bias"]),
        **film,
    }
