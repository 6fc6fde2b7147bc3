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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upscale.networks import Arch

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


def fuses(x: Tensor) -> bool:
    """Return whether what follows a convolution of x can be made part of it.

    oneDNN applies it to sums that it still has at hand, which saves a way through memory for each; the
    results differ in rounding. It cannot be differentiated.
    """
    return not torch.is_grad_enabled() and x.device.type == "cpu" and fuses_here(x.dtype)


@cache
def fuses_here(dtype: torch.dtype) -> bool:
    """Whether this torch, on this processor, has the operators: they are not part of its public interface."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    conv, x = Conv2d(1, 1).to(dtype), torch.zeros(1, 1, 4, 4, dtype=dtype)
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        assert conv.bias is not None
        conv.fused(x, conv.weight, conv.bias)
        conv.fused_sum_(torch.zeros_like(x), x)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return True


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
        weight, bias = self._folded(scale, shift)
        return self._conv_forward(x, weight.to(x.dtype), bias.to(x.dtype))

    def activated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the leaky ReLU of `modulated`."""
        if scale.shape[0] > 1 or not fuses(x):
            return F.leaky_relu_(self.modulated(x, scale, shift), NEGATIVE_SLOPE)
        weight, bias = self._folded(scale, shift)
        return self.fused(x, weight, bias)

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Return `other + self(x)`; without gradients it may lie in the memory of `other`."""
        if not fuses(x):
            return other + self(x)
        return self.fused_sum_(other, x)

    def of_both(self, a: Tensor, b: Tensor) -> Tensor:
        """Return self(a and b, one behind the other in channels)."""
        if not fuses(a):
            return self(torch.cat([a, b], dim=1))
        # Each with its part of the weights: laying the two side by side takes longer than convolving them.
        of_a, of_b = self.weight.to(a.dtype).split([a.shape[1], b.shape[1]], dim=1)
        assert self.bias is not None
        y = self._conv_forward(a, of_a, self.bias.to(a.dtype))
        return self._fused_sum_(y, b, of_b, None)

    def fused(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the leaky ReLU of x convolved with that weight and bias; see `fuses`."""
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight.to(x.dtype), bias.to(x.dtype), *self._geometry, "leaky_relu", [NEGATIVE_SLOPE], ""
        )
        return y

    def fused_sum_(self, other: Tensor, x: Tensor) -> Tensor:
        """Add self(x) to `other`; see `fuses`."""
        assert self.bias is not None
        return self._fused_sum_(other, x, self.weight.to(x.dtype), self.bias.to(x.dtype))

    def _fused_sum_(self, other: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, weight, bias, *self._geometry, "add", None, None, [], None
        )
        return y

    def _folded(self, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias with one level's scale and shift [1, C] in them."""
        assert self.bias is not None
        gain = 1 + scale[0].float()
        return self.weight * gain[:, None, None, None], self.bias * gain + shift[0].float()

    @property
    def _geometry(self) -> tuple[Any, ...]:
        return self.padding, self.stride, self.dilation, self.groups


class Doubling(Conv2d):
    """A convolution of 1x1 and a pixel shuffle by 2: features of half the size to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, kernel=1)

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Return `other` [B, outputs, H, W] and what x [B, inputs, H/2, W/2] becomes.

        Without gradients it lies in the memory of `other`.
        """
        if torch.is_grad_enabled():
            return other + F.pixel_shuffle(self(x), 2)
        # Channels last within each of the four places, as they lie in `other`: no shuffle in memory.
        assert self.bias is not None
        weight, bias = (
            w.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1) for w in (self.weight, self.bias)
        )
        y = self._conv_forward(x, weight.to(x.dtype), bias.to(x.dtype)).unflatten(1, (2, 2, -1))
        places = other.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # [B, outputs, H/2, 2, W/2, 2]
        places.add_(y.permute(0, 3, 4, 1, 5, 2))
        return other


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
        """Return [B, channels, H, W] for x alike, as `added_to` does; embedding [1 or B, its channels]."""
        scale, shift = self.film(embedding).chunk(2, dim=1)
        return self.conv2.added_to(x, self.conv1.activated(x, scale, shift))


class Blocks(nn.ModuleList):
    """A run of blocks that share one embedding."""

    def __init__(self, count: int, channels: int, embedding: int) -> None:
        super().__init__(Block(channels, embedding) for _ in range(count))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return x after all blocks; without gradients it may lie in the memory of x."""
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
        h = self.up.added_to(h, g)
        h = self.after(h, embedding)
        # x again: at low noise most of it is the answer
        return self.head.of_both(h, x)


class ResidualUNet(Step):
    """The denoiser: a step, its encoder, and steps for the ends of a run, or None.

    Steps at different noise levels have different tasks, and denoisers of their own do them better at the
    same cost (eDiff-I, arXiv 2211.01324). `first` estimates the mean of all that the LR image may be, out of
    nothing but noise; the steps between take noise away bit by bit; `last` alone decides what the picture
    looks like (Karlo's decoder has such a network, too), and may look at the LR image for what it needs.
    """

    multiple_of = 2  # one level below the LR size

    def __init__(self, config: ResidualUNetConfig) -> None:
        super().__init__(config, encodes=True)
        self.config = config
        self.first = Step(config, encodes=config.first_encoder) if config.first_step else None
        self.last = Step(config) if config.last_step else None


def build(table: Mapping[str, Any]) -> ResidualUNet:
    """Return the network that a config's `network` table describes."""
    return ResidualUNet(ResidualUNetConfig(**table))


ARCH = Arch(build=build, local=True)
