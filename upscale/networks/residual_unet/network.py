"""The embedded network: SR3's denoiser on the residual, computed at low resolution.

The noisy residual enters as `pixel_unshuffle(scale)` and leaves the same way, so all computing is at the size
of the low-resolution (LR) image (patchified diffusion U-Nets: simple diffusion, arXiv 2301.11093). The LR
image's features are computed once (`encode`) and serve every refinement step (`forward`). Nothing looks at
statistics over pixels, so every output depends on a bounded neighbourhood and tiles with a halo give the
untiled picture. There is no normalisation: with Muon training is faster without, and so is every use
(docs/training-log.md). The noise level acts through a scale and shift behind the first convolution of each
block (FiLM), which folds into that convolution where a batch shares one level.

This file knows nothing of schedules, samplers or what is predicted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.1
FREQUENCIES = 32


@dataclass(frozen=True)
class ResidualUNetConfig:
    """Sizes of the network.

    Attributes:
        scale: Upscaling factor; the noisy residual has `3 * scale**2` channels at LR size.
        width: Channels at LR size.
        inner_width: Channels at half the LR size.
        encoder_blocks: Residual blocks on the LR image, at LR size.
        encoder_inner_blocks: Residual blocks on the LR image, at half the LR size.
        outer_blocks: Residual blocks per step at LR size, on each side of the inner level.
        inner_blocks: Residual blocks per step at half the LR size.
        embedding: Channels of the noise level's embedding.
        first_step: Whether the first step of a run, out of pure noise, has weights of its own.
        first_encoder: Whether these include an encoder: estimating asks for other features than drawing.
        last_step: Whether the last step of a run has weights of its own.
    """

    scale: int = 4
    width: int = 64
    inner_width: int = 128
    encoder_blocks: int = 10
    encoder_inner_blocks: int = 3
    outer_blocks: int = 2
    inner_blocks: int = 4
    embedding: int = 128
    first_step: bool = False
    first_encoder: bool = False
    last_step: bool = False

    def __post_init__(self) -> None:
        """Raise `ValueError` on what makes no network."""
        if min(self.scale, self.width, self.inner_width, self.embedding) < 1:
            raise ValueError("scale, widths and embedding must be at least 1")
        if self.first_encoder and not self.first_step:
            raise ValueError("first_encoder needs first_step")


class Features(NamedTuple):
    """What the encoder says about an LR image: [B, width, H, W] and [B, inner_width, H/2, W/2]."""

    outer: Tensor
    inner: Tensor


class Conv2d(nn.Conv2d):
    """A convolution with "same" padding that computes in its input's dtype, not its weights'."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, H / stride, W / stride]."""
        assert self.bias is not None
        return self._conv_forward(x, self.weight.to(x.dtype), self.bias.to(x.dtype))

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return `(1 + scale) * self(x) + shift` for scale and shift [1 or B, C]."""
        assert self.bias is not None
        if scale.shape[0] > 1:
            scale, shift = scale[:, :, None, None].to(x.dtype), shift[:, :, None, None].to(x.dtype)
            return torch.addcmul(shift, self(x), 1 + scale)
        weight, bias = self.folded(scale, shift)
        return self._conv_forward(x, weight.to(x.dtype), bias.to(x.dtype))

    def folded(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias, float32, with the scale and shift [1, C] of `modulated` in them."""
        assert self.bias is not None
        gain = 1 + scale[0].float()
        return self.weight * gain[:, None, None, None], self.bias * gain + shift[0].float()


class Doubling(Conv2d):
    """A convolution of 1x1 and a pixel shuffle by 2: features of half the size to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, 2 H, 2 W]."""
        return F.pixel_shuffle(super().forward(x), 2)


class LevelEmbedding(nn.Module):
    """Turns noise levels [B] in [0, 1] into vectors [B, channels]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(FREQUENCIES, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, level: Tensor) -> Tensor:
        """Return [B, channels] for levels [B] in [0, 1]."""
        frequencies = math.pi * torch.arange(FREQUENCIES, device=level.device, dtype=torch.float32)
        waves = torch.cos(
            level.float()[:, None] * frequencies
        )  # [B, FREQUENCIES], in float32: levels are close
        weight = self.hidden.weight
        return F.silu(self.out(F.silu(self.hidden(waves.to(weight.dtype)))))


class Block(nn.Module):
    """Residual block: convolution with FiLM, leaky ReLU, convolution."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels)
        self.conv2 = Conv2d(channels, channels)
        self.film = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.conv2.weight.mul_(0.2)  # blocks start near the identity

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return [B, channels, H, W] for x alike; embedding [1 or B, its channels]."""
        h = F.leaky_relu_(self.conv1.modulated(x, *self.modulation(embedding)), NEGATIVE_SLOPE)
        return x + self.conv2(h)

    def modulation(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scale and shift [1 or B, channels] of a level's embedding."""
        scale, shift = self.film(embedding).chunk(2, dim=1)
        return scale, shift


class Blocks(nn.ModuleList):
    """A run of blocks that share one embedding."""

    def __init__(self, count: int, channels: int, embedding: int) -> None:
        super().__init__(Block(channels, embedding) for _ in range(count))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return x after all blocks."""
        for block in self:
            x = block(x, embedding)
        return x


class Encoder(nn.Module):
    """LR image and its augmentation level -> features, once per picture."""

    def __init__(self, config: ResidualUNetConfig) -> None:
        super().__init__()
        width, inner, emb = config.width, config.inner_width, config.embedding
        self.embed = LevelEmbedding(emb)
        self.stem = Conv2d(3, width)
        self.outer = Blocks(config.encoder_blocks, width, emb)
        self.outer_out = Conv2d(width, width)
        self.down = Conv2d(width, inner, stride=2)
        self.inner = Blocks(config.encoder_inner_blocks, inner, emb)
        self.inner_out = Conv2d(inner, inner)

    def forward(self, lr: Tensor, level: Tensor) -> Features:
        """As `Step.encode`."""
        embedding = self.embed(level)
        h = self.outer(self.stem(lr), embedding)  # [B, width, H, W]
        g = self.inner(self.down(h), embedding)  # [B, inner_width, H/2, W/2]
        return Features(self.outer_out(h), self.inner_out(g))


class Step(nn.Module):
    """What one step of a run evaluates, given the features of the LR image.

    Attributes:
        encoder: What makes these features; None where another step's serve.
    """

    def __init__(self, config: ResidualUNetConfig, *, encodes: bool = False) -> None:
        super().__init__()
        # The first of all parameters: optimisers' states rely on their order.
        self.encoder = Encoder(config) if encodes else None
        width, inner, emb = config.width, config.inner_width, config.embedding
        patch = 3 * config.scale**2
        self.embed = LevelEmbedding(emb)
        self.stem = Conv2d(patch, width)
        self.before = Blocks(config.outer_blocks, width, emb)
        self.down = Conv2d(width, inner, stride=2)
        self.inner = Blocks(config.inner_blocks, inner, emb)
        self.up = Doubling(inner, width)
        self.after = Blocks(config.outer_blocks, width, emb)
        self.head = Conv2d(width + patch, patch)
        nn.init.zeros_(self.head.weight)

    def encode(self, lr: Tensor, level: Tensor) -> Features:
        """Return the features of LR images, where the step has an encoder.

        Args:
            lr: [B, 3, H, W] in [-1, 1], conditioning augmentation already added.
            level: [1 or B] level of that augmentation in [0, 1].
        """
        assert self.encoder is not None
        features: Features = self.encoder(lr, level)
        return features

    def forward(self, x: Tensor, level: Tensor, features: Features) -> Tensor:
        """Return the prediction for a noisy residual.

        Args:
            x: [B, 3 * scale**2, H, W], unit variance at every noise level.
            level: [1 or B] noise level in [0, 1], 1 is pure noise.
            features: What `encode` returned for the same B images.

        Returns:
            [B, 3 * scale**2, H, W].
        """
        embedding = self.embed(level)
        h = self.before(self.stem(x) + features.outer, embedding)  # [B, width, H, W]
        g = self.inner(self.down(h) + features.inner, embedding)  # [B, inner_width, H/2, W/2]
        h = self.after(h + self.up(g), embedding)
        # x again: at low noise most of it is the answer
        return self.head(torch.cat([h, x], dim=1))


class ResidualUNet(Step):
    """The denoiser: a step, its encoder, and steps for the ends of a run, or None.

    Steps at different noise levels have different tasks, and denoisers of their own do them better at the
    same cost (eDiff-I, arXiv 2211.01324). `first` estimates the mean of all that the LR image may be, out of
    nothing but noise; the steps between take noise away bit by bit; `last` alone decides what the picture
    looks like (Karlo's upscaler has such a network, too), and may look at the LR image for what it needs.
    """

    multiple_of = 2  # one level below the LR size

    def __init__(self, config: ResidualUNetConfig) -> None:
        super().__init__(config, encodes=True)
        self.config = config
        self.first = Step(config, encodes=config.first_encoder) if config.first_step else None
        self.last = Step(config) if config.last_step else None
