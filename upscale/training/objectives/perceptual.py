"""What the first layers of VGG-16 see of a picture: for losses, never for scores.

As in LPIPS (Zhang et al., arXiv 1801.03924), each place's vector of features is scaled to length 1. Train on
VGG, score with AlexNet, so that the score stays honest.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from upscale.errors import WeightsError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # torchvision's numbering
POOL_BEFORE = (5, 10, 17)
TAPS = (2, 7, 14, 21)  # relu1_2, relu2_2, relu3_3, relu4_3


class VGGFeatures(nn.Module):
    """The features of VGG-16 up to relu4_3; weights from a safetensors file.

    Attributes:
        widths: Channels of each layer that `forward` returns.

    Raises:
        WeightsError: The file is missing, damaged, or holds other weights.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        try:
            tensors = load_file(path)
            pairs = {
                i: (tensors[f"features.{i}.weight"], tensors[f"features.{i}.bias"]) for i in CONVOLUTIONS
            }
        except (OSError, SafetensorError, KeyError) as error:
            raise WeightsError(
                f"{path} cannot be used as VGG weights: {error}.",
                hint="Give a safetensors file with features.N.weight and features.N.bias.",
            ) from None
        self.dtype = dtype
        self.widths = tuple(len(pairs[index][0]) for index in TAPS)
        for index, (weight, bias) in pairs.items():
            weight = weight.to(dtype, memory_format=torch.channels_last)
            self.register_buffer(f"weight{index}", weight, persistent=False)
            self.register_buffer(f"bias{index}", bias.to(dtype), persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features [B, C, H / s, W / s] for s = 1, 2, 4, 8 of images [B, 3, H, W] in [-1, 1]."""
        x = ((image + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        x = x.to(self.dtype, memory_format=torch.channels_last)
        taps = []
        for index in CONVOLUTIONS:
            if index in POOL_BEFORE:
                x = F.max_pool2d(x, 2)
            weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if index in TAPS:
                taps.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-3))
        return taps
