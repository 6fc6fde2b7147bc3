"""The energy score: how far samples are from the truth, less half of how far they are from each other.

    S(P, y) = E |X - y| - E |X - X'| / 2,    X, X' ~ P independent

is smallest, on average, for the distribution that y comes from and no other (a strictly proper scoring rule:
Gneiting and Raftery, JASA 102, 2007, section 4.3). The first term alone asks for one picture between all that
are possible, which is smooth; the second asks for as much variety as there is. So a network that turns noise
into pictures learns to draw from what is possible, as an adversary would teach it, but from a plain average
(for speech: Gritsenko et al., arXiv 2008.01160).

The second term may count less (`spread` below 1). Then the least score is that of something between the
distribution and its middle: of many independent Gaussian numbers, of s / sqrt(2 - s^2) times their std, s the
`spread`. People look at one picture, and rather have it likely than as odd as photos may be.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = 1e-5  # below the root, whose slope has no end at 0


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean [B] over all places of the length of a - b, both [B, C, H, W]; float32."""
    return ((a - b).float().square().sum(1) + SMOOTH).sqrt().mean((1, 2))


def energy_scores(samples: Tensor, truth: Tensor, spread: float = 1.0) -> Tensor:
    """Return the score of each sample [2 B]; the mean over the two of an example is its energy score.

    Args:
        samples: [2 B, C, H, W], first one sample of each example, then another.
        truth: [B, C, H, W].
        spread: What the distance between samples counts; only with 1 is the score proper.
    """
    apart = distance(*samples.chunk(2)) * (spread / 2)
    return distance(samples, torch.cat([truth, truth])) - torch.cat([apart, apart])
