"""SR3's U-Net: a denoiser conditioned on the upsampled LR image and a continuous noise level.

Saharia et al., arXiv 2104.07636, as the public re-implementation by Janspiry lays it out; parameters carry
the names of its checkpoints (without their `denoise_fn.` prefix) in their order. It normalises over all
pixels and has attention over all pixels, so it is not local: a tile does not come out as the same part of
the whole picture would.

This file knows nothing of schedules, samplers or what is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upscale.networks import Arch


@dataclass(frozen=True)
class SR3UNetConfig:
    """Sizes and variations of the network; the defaults are the public 16 -> 128 model's.

    Attributes:
        in_channel: Channels of the condition and the noisy image together; 3 for an unconditional model.
        out_channel: Channels of the prediction.
        inner_channel: Channels at full resolution, and size of the noise level's embedding.
        channel_multipliers: Channels of each level over `inner_channel`; each level halves the resolution.
        res_blocks: Residual blocks per level on the way down (one more on the way up).
        attn_res: Resolutions in pixels whose levels have attention; the middle has it always.
        image_size: Resolution in pixels that the first level counts as for `attn_res`; inputs may have any.
        norm_groups: Groups of the group normalisation; divides the channels of every level.
        dropout: Probability in the second half of each residual block, in training only.
        with_noise_level_emb: Whether the network is told the noise level; False is SR3's regression baseline.
        use_affine_level: Whether the level scales and shifts the features instead of only shifting them.
        skip_scale: Factor on the sum of a residual block; SR3's paper says sqrt(1/2), public weights have 1.
    """

    in_channel: int = 6
    out_channel: int = 3
    inner_channel: int = 64
    channel_multipliers: tuple[int, ...] = (1, 2, 4, 8, 8)
    res_blocks: int = 2
    attn_res: tuple[int, ...] = (16,)
    image_size: int = 128
    norm_groups: int = 32
    dropout: float = 0.0
    with_noise_level_emb: bool = True
    use_affine_level: bool = False
    skip_scale: float = 1.0

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples; raise `ValueError` on sizes that do not fit together."""
        object.__setattr__(self, "channel_multipliers", tuple(self.channel_multipliers))
        object.__setattr__(self, "attn_res", tuple(self.attn_res))
        if not self.channel_multipliers or min(self.channel_multipliers) < 1 or self.res_blocks < 1:
            raise ValueError("channel_multipliers and res_blocks must be at least 1")
        if min(self.in_channel, self.out_channel, self.inner_channel, self.norm_groups) < 1:
            raise ValueError("channels and norm_groups must be at least 1")
        if self.inner_channel % 2:
            raise ValueError(f"inner_channel {self.inner_channel} must be even")
        if self.inner_channel % self.norm_groups:
            raise ValueError(f"norm_groups {self.norm_groups} must divide inner_channel {self.inner_channel}")

    @property
    def multiple_of(self) -> int:
        """Sides of the input must be multiples of this many pixels."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    def has_attention(self, level: int) -> bool:
        """Whether the blocks of a level (0 is full resolution) have attention."""
        return self.image_size // 2**level in self.attn_res


class LevelEmbedding(nn.Module):
    """Noise level -> sines and cosines; unlike WaveGrad's the level is not multiplied by 5000."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, level: Tensor) -> Tensor:
        """Return [B, dim] in the level's dtype for level [B]."""
        half = self.dim // 2
        k = torch.arange(half, dtype=level.dtype, device=level.device)
        phase = level[:, None] * torch.exp(k * (-math.log(1e4) / half))
        return torch.cat([phase.sin(), phase.cos()], dim=1)


class LevelMLP(nn.Sequential):
    """Noise level -> embedding."""

    def __init__(self, dim: int) -> None:
        super().__init__(LevelEmbedding(dim), nn.Linear(dim, dim * 4), nn.SiLU(), nn.Linear(dim * 4, dim))

    def forward(self, level: Tensor) -> Tensor:
        """Return [B, dim] in the weights' dtype for level [B]."""
        sines, hidden, silu, out = self
        h = sines(level).to(hidden.weight.dtype)  # sines in the level's own dtype: levels are close
        return out(silu(hidden(h)))


class FeatureWiseAffine(nn.Module):
    """Tells features the noise level: a shift, or a scale and a shift, per channel."""

    def __init__(self, embedding: int, channels: int, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        self.noise_func = nn.Sequential(nn.Linear(embedding, channels * (2 if affine else 1)))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return x [B, channels, H, W] told what embedding [1 or B, embedding] says."""
        told = self.noise_func(embedding)[:, :, None, None]
        if not self.affine:
            return x + told
        scale, shift = told.chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class Block(nn.Module):
    """Group norm, SiLU, dropout, convolution."""

    def __init__(self, inputs: int, outputs: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, inputs),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv2d(inputs, outputs, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, outputs, H, W]."""
        return self.block(x)


class ResnetBlock(nn.Module):
    """Two blocks with the noise level told in between, beside a skip connection."""

    def __init__(self, inputs: int, outputs: int, config: SR3UNetConfig) -> None:
        super().__init__()
        self.skip_scale = config.skip_scale
        self.noise_func = (
            FeatureWiseAffine(config.inner_channel, outputs, config.use_affine_level)
            if config.with_noise_level_emb
            else None
        )
        self.block1 = Block(inputs, outputs, config.norm_groups)
        self.block2 = Block(outputs, outputs, config.norm_groups, config.dropout)
        self.res_conv = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Return [B, outputs, H, W]; the embedding is [1 or B, inner_channel] or None."""
        h = self.block1(x)
        if self.noise_func is not None:
            h = self.noise_func(h, embedding)
        out = self.block2(h) + self.res_conv(x)
        return out if self.skip_scale == 1 else out * self.skip_scale


class SelfAttention(nn.Module):
    """One head over all pixels, residual."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, channels * 3, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, channels, H, W] plus what every pixel gathers from all others."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, 3, channels, height * width)
        q, k, v = qkv.transpose(2, 3).unbind(dim=1)  # [B, H W, C]
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(1, 2).reshape(x.shape))


class ResnetBlockWithAttention(nn.Module):
    """A residual block and, where asked for, attention behind it."""

    def __init__(self, inputs: int, outputs: int, config: SR3UNetConfig, attention: bool) -> None:
        super().__init__()
        self.res_block = ResnetBlock(inputs, outputs, config)
        self.attn = SelfAttention(outputs, config.norm_groups) if attention else None

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Return [B, outputs, H, W]; the embedding is [1 or B, inner_channel] or None."""
        x = self.res_block(x, embedding)
        return x if self.attn is None else self.attn(x)


class Downsample(nn.Module):
    """Half the resolution by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels, H/2, W/2]."""
        return self.conv(x)


class Upsample(nn.Module):
    """Twice the resolution by repetition and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels, 2 H, 2 W]."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def _through(layer: nn.Module, x: Tensor, embedding: Tensor | None) -> Tensor:
    return layer(x, embedding) if isinstance(layer, ResnetBlockWithAttention) else layer(x)


class SR3UNet(nn.Module):
    """The denoiser. See the module docstring."""

    def __init__(self, config: SR3UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.multiple_of = config.multiple_of
        inner = config.inner_channel
        self.noise_level_mlp = LevelMLP(inner) if config.with_noise_level_emb else None
        widths = [inner * multiplier for multiplier in config.channel_multipliers]
        last = len(widths) - 1

        downs: list[nn.Module] = [nn.Conv2d(config.in_channel, inner, 3, padding=1)]
        skips, channels = [inner], inner  # every element of `downs` leaves a skip connection
        for level, width in enumerate(widths):
            for _ in range(config.res_blocks):
                downs.append(ResnetBlockWithAttention(channels, width, config, config.has_attention(level)))
                skips.append(channels := width)
            if level < last:
                downs.append(Downsample(channels))
                skips.append(channels)
        self.downs = nn.ModuleList(downs)

        self.mid = nn.ModuleList(
            ResnetBlockWithAttention(channels, channels, config, attention) for attention in (True, False)
        )

        ups: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.res_blocks + 1):
                inputs = channels + skips.pop()
                ups.append(ResnetBlockWithAttention(inputs, width, config, config.has_attention(level)))
                channels = width
            if level > 0:
                ups.append(Upsample(channels))
        self.ups = nn.ModuleList(ups)
        self.final_conv = Block(channels, config.out_channel, config.norm_groups)

    def forward(self, x: Tensor, level: Tensor | None = None, cond: Tensor | None = None) -> Tensor:
        """Return the prediction for a noisy image.

        Args:
            x: [B, C, H, W] noisy image, unit variance; sides multiples of `multiple_of`.
            level: [1 or B] or [1 or B, 1] noise level, sqrt(gamma) for the public weights; None where the
                network is not told it.
            cond: [B, in_channel - C, H, W] condition, in front of the noisy image; None if there is none.

        Returns:
            [B, out_channel, H, W].
        """
        h = x if cond is None else torch.cat([cond, x], dim=1)
        assert h.shape[1] == self.config.in_channel, h.shape
        assert all(side % self.multiple_of == 0 for side in h.shape[2:]), h.shape
        embedding = None
        if self.noise_level_mlp is not None:
            assert level is not None, "this network is told the noise level"
            embedding = self.noise_level_mlp(level.flatten())
        skips: list[Tensor] = []
        for layer in self.downs:
            h = _through(layer, h, embedding)
            skips.append(h)
        for layer in self.mid:
            h = layer(h, embedding)
        for layer in self.ups:
            if isinstance(layer, ResnetBlockWithAttention):
                h = torch.cat([h, skips.pop()], dim=1)
            h = _through(layer, h, embedding)
        return self.final_conv(h)


def build(table: Mapping[str, Any]) -> SR3UNet:
    """Return the network that a config's `network` table describes."""
    return SR3UNet(SR3UNetConfig(**table))


ARCH = Arch(build=build, local=False)  # group normalisation and attention look at the whole tile
