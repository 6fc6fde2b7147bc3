"""A critic of the last step: it learns to tell what was made from photographs.

It looks through VGG's features, which stay as they are, and beside them at the pixels: a head of a few
convolutions on each, whose verdict on every place is above 0 for a photograph. On features that are there
already a critic needs few examples (Projected GANs: Sauer et al., arXiv 2111.01007); spectral norm keeps its
slopes even (Miyato et al., arXiv 1802.05957); the hinge is that of Lim and Ye (arXiv 1705.02894).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

PIXELS = 2  # a side, folded into channels for the head that looks at pixels
LOUDER = 4.0  # pixels: spectral norm lets a critic be as sure as what it is shown is large
REMEMBERED = 0.98  # of the margin, from step to step


class View(NamedTuple):
    """What a critic is shown: pictures with what they were made from.

    Attributes:
        residual: [B, 3, H, W] to the bicubic upsampling, about unit variance.
        base: [B, 3, H, W] that upsampling, in [-1, 1].
        features: Of the pictures, as `VGGFeatures` gives them.
    """

    residual: Tensor
    base: Tensor
    features: Sequence[Tensor]

    def detached(self) -> View:
        """Return the same without a way back for gradients."""
        return View(self.residual.detach(), self.base.detach(), [f.detach() for f in self.features])


class Critic(nn.Module):
    """Heads on pixels and on each layer of features.

    Attributes:
        margin: How far verdicts on photographs are above those on what was made, a head's mean, lately.
    """

    margin: Tensor

    def __init__(self, widths: Sequence[int], dtype: torch.dtype = torch.float32) -> None:
        """Judge by features of so many channels, computing in `dtype`."""
        super().__init__()
        self.dtype = dtype
        self.pixels = _head(2 * 3 * PIXELS**2, 64, look=3)
        self.features = nn.ModuleList(
            _head(width, 64 if layer else 48, look=1, stride=1 if layer else 2)
            for layer, width in enumerate(widths)
        )
        self.register_buffer("margin", torch.zeros(()))

    def forward(self, view: View) -> list[Tensor]:
        """Return the verdict of each head, [B] float32: the mean over all places."""
        return [places.mean((1, 2, 3)) for places in self.places(view)]

    def places(self, view: View) -> list[Tensor]:
        """Return the verdicts of each head on every place, [B, 1, h, w] float32."""
        pixels = F.pixel_unshuffle(LOUDER * torch.cat([view.residual, view.base], 1), PIXELS)
        features = (f * f.shape[1] ** 0.5 for f in view.features)  # of unit length: to unit variance
        given = [pixels.contiguous(memory_format=torch.channels_last), *features]
        with torch.autocast(pixels.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heads = zip((self.pixels, *self.features), given, strict=True)
            return [head(x.to(self.dtype)).float() for head, x in heads]

    def lesson(self, made: View, true: View) -> Tensor:
        """Return the hinge loss that the critic learns by; nothing of it reaches what made the pictures."""
        wrong, right = self.places(made.detached()), self.places(true.detached())
        with torch.no_grad():
            apart = torch.stack([b.mean() - a.mean() for a, b in zip(wrong, right, strict=True)]).mean()
            self.margin.lerp_(apart, 1 - REMEMBERED)
        losses = [F.relu(1 + a).mean() + F.relu(1 - b).mean() for a, b in zip(wrong, right, strict=True)]
        return torch.stack(losses).sum()

    def reproach(self, made: View) -> Tensor:
        """Return the loss [B] of what made the pictures: how far from photographs they seem to the critic.

        Nothing of it reaches the critic.
        """
        self.requires_grad_(False)
        try:
            return -torch.stack(self(made)).sum(0)
        finally:
            self.requires_grad_(True)


def _head(inputs: int, width: int, *, look: int, stride: int = 1) -> nn.Sequential:
    """Return a head whose first convolution has kernels of `look` x `look`."""
    shapes = [(inputs, width, look, 1), (width, width, 3, stride), (width, width, 3, 1), (width, 1, 3, 1)]
    layers: list[nn.Module] = []
    for given, made, kernel, step in shapes:
        convolution = nn.Conv2d(given, made, kernel, step, kernel // 2)
        layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
