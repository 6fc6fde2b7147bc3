"""Latent super-resolution as diffusers has it: `UNet2DModel` in a latent of the LR size, and `VQModel`.

Rombach et al., arXiv 2112.10752, section 4.4: the U-Net is told the LR image itself, and the decoder of a
vector-quantised autoencoder makes the picture, `factor` times as large as the latent. Both networks are the
diffusers library's. The autoencoder's encoder, which weights files hold as well, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from upscale.networks import Arch
from upscale.networks.unet2d import (
    ACTIVATIONS,
    IMAGE,
    MAX_LAYERS,
    UNet2DConfig,
    is_whole,
    is_width,
    library,
)

ENCODER_BLOCKS = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
DECODER_BLOCKS = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")
MAX_CODES = 65_536
CODES_AT_ONCE = 4096  # latent pixels whose distances to all codes are in memory together


@dataclass(frozen=True)
class VQConfig:
    """The variations of `VQModel` that can be used, by that class's own names and with its defaults.

    The levels have defaults of ours.

    Attributes:
        in_channels: Of the picture.
        out_channels: Likewise.
        latent_channels: Of the latent, which the U-Net denoises.
        block_out_channels: Channels of each level, the picture's first; each but the last halves it.
        down_block_types: Kind of block of each level of the encoder, of `ENCODER_BLOCKS`.
        up_block_types: Likewise of the decoder, of `DECODER_BLOCKS`.
        layers_per_block: Residual layers per level (one more in the decoder).
        act_fn: Activation.
        norm_num_groups: Groups of the group normalisation.
        num_vq_embeddings: Rows of the codebook.
        vq_embed_dim: Channels of a row; None for those of the latent.
        norm_type: `group`.
        mid_block_add_attention: Whether the middle has attention.
    """

    in_channels: int = IMAGE
    out_channels: int = IMAGE
    latent_channels: int = IMAGE
    block_out_channels: tuple[int, ...] = (32, 64, 128)
    down_block_types: tuple[str, ...] = (ENCODER_BLOCKS[0],) * 3
    up_block_types: tuple[str, ...] = (DECODER_BLOCKS[0],) * 3
    layers_per_block: int = 1
    act_fn: str = "silu"
    norm_num_groups: int = 32
    num_vq_embeddings: int = 256
    vq_embed_dim: int | None = None
    norm_type: str = "group"
    mid_block_add_attention: bool = True

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples; raise `ValueError` on what must not be built."""
        for name in ("block_out_channels", "down_block_types", "up_block_types"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        levels = len(self.block_out_channels)
        sound = (
            (self.in_channels, self.out_channels, self.latent_channels) == (IMAGE,) * 3
            and self.vq_embed_dim in (None, IMAGE)
            and 1 <= levels <= 8
            and all(map(is_width, self.block_out_channels))
            and len(self.down_block_types) == len(self.up_block_types) == levels
            and set(self.down_block_types) <= set(ENCODER_BLOCKS)
            and set(self.up_block_types) <= set(DECODER_BLOCKS)
            and is_whole(self.layers_per_block, 1, MAX_LAYERS)
            and is_width(self.norm_num_groups)
            and is_whole(self.num_vq_embeddings, 1, MAX_CODES)
            and self.act_fn in ACTIVATIONS
            and self.norm_type == "group"
        )
        if not sound:
            raise ValueError("its autoencoder is not of a kind that this version knows")

    def build(self) -> nn.Module:
        """Return the whole autoencoder of the library.

        Raises:
            WeightsError: The library is missing.
        """
        autoencoder: nn.Module = library().VQModel(**asdict(self))
        return autoencoder


@dataclass(frozen=True)
class LatentUNet2DConfig:
    """Both networks.

    Attributes:
        unet: What denoises, as the fields of `UNet2DConfig`.
        vqvae: What decodes, as the fields of `VQConfig`.
    """

    unet: Mapping[str, Any] = field(default_factory=dict)
    vqvae: Mapping[str, Any] = field(default_factory=dict)


class LatentUNet2D(nn.Module):
    """A denoiser of latents, and the way from there to the picture."""

    unused = ("vqvae.encoder.", "vqvae.quant_conv.")  # in weights files, by the beginnings of their names

    def __init__(self, unet: UNet2DConfig, vqvae: VQConfig) -> None:
        super().__init__()
        self.multiple_of = unet.multiple_of
        self.unet = unet.build()
        self.vqvae: Any = vqvae.build()
        del self.vqvae.encoder, self.vqvae.quant_conv

    def forward(self, x: Tensor, level: Tensor, cond: Tensor) -> Tensor:
        """Return the prediction [B, 3, h, w].

        Args:
            x: Noisy latent [B, 3, h, w], sides multiples of `multiple_of`.
            level: Timestep [1], int64, 0 for the cleanest.
            cond: LR image [B, 3, h, w].
        """
        prediction: Tensor = self.unet(torch.cat([x, cond], 1), level).sample
        return prediction

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture [B, 3, f h, f w], nominally in [-1, 1], for a latent [B, 3, h, w]."""
        codes = self.quantize(latent)[1].to(self.vqvae.post_quant_conv.weight.dtype)
        picture: Tensor = self.vqvae.decode(codes, force_not_quantize=True).sample
        return picture

    def quantize(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices [B, h, w] of the nearest rows of the codebook, and those rows [B, 3, h, w].

        In float32 whatever the network's dtype, for neighbours are close; and by the part, for the distances
        of a large latent to all rows would fill gigabytes.
        """
        codebook = self.vqvae.quantize.embedding.weight.float()  # [N, 3]
        pixels = latent.float().movedim(1, -1)  # [B, h, w, 3]
        flat = pixels.reshape(-1, pixels.shape[-1])
        indices = torch.cat([torch.cdist(part, codebook).argmin(1) for part in flat.split(CODES_AT_ONCE)])
        return indices.view(pixels.shape[:-1]), codebook[indices].view(pixels.shape).movedim(-1, 1)


def build(table: Mapping[str, Any]) -> nn.Module:
    """Return the network of a config's `network` table."""
    config = LatentUNet2DConfig(**table)
    return LatentUNet2D(UNet2DConfig(**config.unet), VQConfig(**config.vqvae))


ARCH = Arch(build=build, local=False)
