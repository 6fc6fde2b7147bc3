"""The embedded network (`network`), and the way a CPU runs it (`onednn`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from upscale.networks import Arch
from upscale.networks.residual_unet import onednn
from upscale.networks.residual_unet.network import ResidualUNet, ResidualUNetConfig


def build(table: Mapping[str, Any]) -> ResidualUNet:
    """Return the network that a config's `network` table describes."""
    return ResidualUNet(ResidualUNetConfig(**table))


def narrow(network: ResidualUNet, dtype: torch.dtype) -> None:
    """Make convolutions compute in a dtype; biases and what makes scales and shifts of a level stay float32.

    A picture shares one level, so what is rounded in these is off everywhere alike: in bfloat16 that moved
    colours by up to a third of a level of 255.
    """
    for weight in network.parameters():
        weight.data = weight.data.to(dtype if weight.ndim == 4 else torch.float32)


def laid_out(network: ResidualUNet) -> Any:
    """Return what computes as the network does, faster where this processor has the means."""
    weight = network.stem.weight
    if weight.device.type != "cpu" or not onednn.serves(weight.dtype):
        return network
    return onednn.NetworkLaidOut(network)


ARCH = Arch(build=build, local=True, runner=laid_out, narrow=narrow)
