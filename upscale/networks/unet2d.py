"""diffusers' `UNet2DModel` as an upscaler: a denoiser on the noisy image and a condition beside it.

The network itself is the diffusers library's (the extra `diffusers`); this file says which of its variations
are upscalers, and holds them to honest sizes before anything is laid out. It normalises over all pixels, so
it is not local. What is known of schedules, samplers or predictions is known elsewhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from upscale.errors import WeightsError
from upscale.networks import Arch

DOWN_BLOCKS = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP_BLOCKS = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")
MAX_CHANNELS = 8192
MAX_LAYERS = 32
IMAGE = 3  # channels of a picture, and of the latents that stand for one


@dataclass(frozen=True)
class UNet2DConfig:
    """The variations of `UNet2DModel` that can be used, by that class's own names and with its defaults.

    Channels and levels have defaults of ours.

    Attributes:
        in_channels: Of the noisy image and the condition together, noisy first.
        out_channels: Of the prediction.
        block_out_channels: Channels of each level; each level but the last halves the resolution.
        down_block_types: Kind of block of each level on the way down, of `DOWN_BLOCKS`.
        up_block_types: Likewise on the way up, of `UP_BLOCKS`.
        layers_per_block: Residual layers per level on the way down (one more on the way up).
        attention_head_dim: Channels of an attention head; None for one head.
        add_attention: Whether the middle has attention.
        norm_num_groups: Groups of the group normalisation.
        norm_eps: Added to its variance.
        attn_norm_num_groups: Groups of the normalisation before the middle's attention; None as elsewhere.
        act_fn: Activation, of `ACTIVATIONS`.
        dropout: In training only.
        center_input_sample: Whether inputs in [0, 1] are expected and moved to [-1, 1].
        flip_sin_to_cos: Order of the halves of the timestep's embedding.
        freq_shift: Of its frequencies.
        time_embedding_dim: Channels of the embedding; None for four times those of the first level.
        downsample_padding: Of the convolutions with stride.
        downsample_type: `conv` or `resnet`, for blocks that leave it open.
        upsample_type: Likewise.
        resnet_time_scale_shift: `default`: the embedding is added; `scale_shift`: it scales and shifts.
        mid_block_scale_factor: Divides the sums of the middle's residual layers.
        mid_block_type: `UNetMidBlock2D`, or None for no middle.
        time_embedding_type: `positional`.
        last_step: Whether a second network of the same kind takes the cleanest level, timestep 0, as that of
            Karlo does, which was tuned for the last step.
    """

    in_channels: int = 2 * IMAGE
    out_channels: int = IMAGE
    block_out_channels: tuple[int, ...] = (64, 128, 256)
    down_block_types: tuple[str, ...] = (DOWN_BLOCKS[2],) * 3
    up_block_types: tuple[str, ...] = (UP_BLOCKS[2],) * 3
    layers_per_block: int = 2
    attention_head_dim: int | None = 8
    add_attention: bool = True
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    attn_norm_num_groups: int | None = None
    act_fn: str = "silu"
    dropout: float = 0.0
    center_input_sample: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: float = 0
    time_embedding_dim: int | None = None
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    resnet_time_scale_shift: str = "default"
    mid_block_scale_factor: float = 1
    mid_block_type: str | None = "UNetMidBlock2D"
    time_embedding_type: str = "positional"
    last_step: bool = False

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples; raise `ValueError` on what must not be built."""
        for name in ("block_out_channels", "down_block_types", "up_block_types"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        levels = len(self.block_out_channels)
        wrong = [
            name
            for name, right in {
                "in_channels": self.in_channels == 2 * IMAGE,
                "out_channels": self.out_channels == IMAGE,
                "block_out_channels": 1 <= levels <= 8 and all(map(is_width, self.block_out_channels)),
                "down_block_types": len(self.down_block_types) == levels,
                "up_block_types": len(self.up_block_types) == levels,
                "layers_per_block": is_whole(self.layers_per_block, 1, MAX_LAYERS),
                "norm_num_groups": is_width(self.norm_num_groups),
                "downsample_padding": self.downsample_padding in (0, 1),
                **{
                    name: getattr(self, name) is None or is_width(getattr(self, name))
                    for name in ("attention_head_dim", "attn_norm_num_groups", "time_embedding_dim")
                },
            }.items()
            if not right
        ]
        kinds = (
            *((kind, DOWN_BLOCKS) for kind in self.down_block_types),
            *((kind, UP_BLOCKS) for kind in self.up_block_types),
            (self.act_fn, ACTIVATIONS),
            (self.downsample_type, ("conv", "resnet")),
            (self.upsample_type, ("conv", "resnet")),
            (self.resnet_time_scale_shift, ("default", "scale_shift")),
            (self.mid_block_type, ("UNetMidBlock2D", None)),
            (self.time_embedding_type, ("positional",)),
        )
        unknown = [kind for kind, known in kinds if kind not in known]
        if unknown:
            raise ValueError(f"{str(unknown[0])[:60]!r} is not a part of upscalers that this version knows")
        if not wrong and self.attention_head_dim is not None:
            wrong = (
                ["attention_head_dim"] if self.attention_head_dim > min(self._attended, default=1e9) else []
            )
        if wrong:
            raise ValueError(f"{wrong[0]} is {str(getattr(self, wrong[0]))[:60]}")

    @property
    def _attended(self) -> list[int]:
        """Channels of the levels that have attention."""
        ways = (self.down_block_types, self.up_block_types[::-1])
        kinds = zip(self.block_out_channels, *ways, strict=True)
        middle = self.block_out_channels[-1:] if self.add_attention else ()
        return [*middle, *(width for width, *pair in kinds if any(kind.startswith("Attn") for kind in pair))]

    @property
    def multiple_of(self) -> int:
        """Sides of the noisy image must be multiples of this many pixels."""
        return int(2 ** (len(self.block_out_channels) - 1))

    def build(self) -> nn.Module:
        """Return a network of the library.

        Raises:
            WeightsError: The library is missing.
        """
        own = {f.name for f in fields(self)} - {"last_step"}
        table = {name: value for name, value in asdict(self).items() if name in own}
        network: nn.Module = library().UNet2DModel(**table)
        return network


class UNet2D(nn.Module):
    """One network for all noise levels, or two: the second for timestep 0."""

    def __init__(self, config: UNet2DConfig) -> None:
        super().__init__()
        self.multiple_of = config.multiple_of
        self.unet = config.build()
        self.last = config.build() if config.last_step else None

    def forward(self, x: Tensor, level: Tensor, cond: Tensor) -> Tensor:
        """Return the prediction [B, 3, H, W].

        Args:
            x: Noisy image [B, 3, H, W], sides multiples of `multiple_of`.
            level: Timestep [1], int64, 0 for the cleanest.
            cond: What it is an image of [B, 3, H, W].
        """
        network = self.last if self.last is not None and not level.any() else self.unet
        prediction: Tensor = network(torch.cat([x, cond], 1), level).sample
        return prediction


def library() -> Any:
    """Return the module `diffusers`.

    Raises:
        WeightsError: It is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "diffusers"
        raise WeightsError(
            "Models in the format of diffusers need the diffusers library"
            + ("." if absent else f", which cannot be imported ({str(error).splitlines()[0][:200]})."),
            hint="Install it: pip install 'upscale[diffusers]'",
        ) from None


def is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether `value` is a whole number from `low` to `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_width(value: Any) -> bool:
    """Return whether `value` is an honest number of channels."""
    return is_whole(value, 1, MAX_CHANNELS)


def build(table: Mapping[str, Any]) -> nn.Module:
    """Return the network of a config's `network` table."""
    return UNet2D(UNet2DConfig(**table))


ARCH = Arch(build=build, local=False)
