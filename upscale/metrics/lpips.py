"""LPIPS v0.1 on AlexNet (Zhang, Isola, Efros, Shechtman, Wang: arXiv 1801.03924).

The weights are not part of the package: the caller gives the path of a safetensors file with the AlexNet
convolutions (`features.{0,3,6,8,10}.{weight,bias}`) and the learned heads (`lin{0..4}.weight`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from upscale.errors import InputError, WeightsError

MIN_PX = 31  # below, AlexNet's second pooling has nothing left
_MEAN = (-0.030, -0.088, -0.188)  # in [-1, 1], from the authors' program
_STD = (0.458, 0.448, 0.450)
_TAPS = (0, 3, 6, 8, 10)  # indices of the convolutions; the features after their ReLU are compared
_POOL_BEFORE = (3, 6)


class LPIPS(nn.Module):
    """Perceptual distance of two pictures; 0 for equal ones, about 0.7 for very different ones.

    Parameters do not ask for gradients, pictures may: it can serve as a loss.

    Args:
        widths: Channels of the five convolutions; AlexNet's own unless a test needs a small net.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256)) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.features = nn.ModuleDict(
            {
                "0": nn.Conv2d(3, a, 11, stride=4, padding=2),
                "3": nn.Conv2d(a, b, 5, padding=2),
                "6": nn.Conv2d(b, c, 3, padding=1),
                "8": nn.Conv2d(c, d, 3, padding=1),
                "10": nn.Conv2d(d, e, 3, padding=1),
            }
        )
        for level, width in enumerate(widths):
            self.add_module(f"lin{level}", nn.Conv2d(width, 1, 1, bias=False))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @classmethod
    def from_file(cls, path: Path) -> LPIPS:
        """Return the metric with the weights of a safetensors file, as float32 on the CPU.

        Raises:
            WeightsError: The file is missing, damaged, or holds other weights.
        """
        metric = cls()
        try:
            metric.load_state_dict({name: w.float() for name, w in load_file(path).items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise WeightsError(
                f"{path} cannot be used as LPIPS weights: {error}",
                hint="Give a safetensors file with features.{0,3,6,8,10}.{weight,bias} and lin{0..4}.weight.",
            ) from error
        return metric.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of each pair, [N] float.

        Args:
            a: [N, 3, H, W] RGB in [0, 1], H and W at least 31.
            b: Like `a`; the order does not matter.

        Raises:
            InputError: The pictures are too small for AlexNet.
        """
        assert a.shape == b.shape and a.ndim == 4 and a.shape[1] == 3, (a.shape, b.shape)
        if min(a.shape[2:]) < MIN_PX:
            raise InputError(
                f"LPIPS needs {MIN_PX} pixels on both sides, the picture has {a.shape[3]}x{a.shape[2]}.",
                hint="Take a larger picture.",
            )
        distance = a.new_zeros(a.shape[0])
        for level, (one, other) in enumerate(zip(self._taps(a), self._taps(b), strict=True)):
            head = self.get_submodule(f"lin{level}")
            difference = (_unit_length(one) - _unit_length(other)).square()  # [N, C, h, w]
            distance = distance + head(difference).mean(dim=(1, 2, 3))
        return distance

    def _taps(self, rgb: Tensor) -> list[Tensor]:
        x = (rgb * 2 - 1 - self.mean) / self.std
        taps = []
        for index in _TAPS:
            if index in _POOL_BEFORE:
                x = F.max_pool2d(x, 3, stride=2)
            x = F.relu(self.features[str(index)](x))
            taps.append(x)
        return taps


def _unit_length(x: Tensor) -> Tensor:
    # The authors add the epsilon to the length, not inside the root: so zero vectors stay zero. The gradient
    # of the root at zero is infinite, hence the clamp; it is far below what float32 can add to a length.
    length = x.square().sum(dim=1, keepdim=True).clamp_min(1e-20).sqrt()
    return x / (length + 1e-10)
