"""What the denoiser is told besides the noisy image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from upscale.diffusion.conditioning import upsample_bicubic


def test_what_a_device_lacks_is_done_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Apple GPUs do by torch 2.6; here the first try stands for one there."""
    lr = torch.rand(1, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected, interpolate, tries = upsample_bicubic(lr, 4), F.interpolate, []

    def lacking(x: Tensor, **how: Any) -> Tensor:
        tries.append(x.device.type)
        if len(tries) == 1:
            raise NotImplementedError("The operator 'aten::_upsample_bicubic2d_aa.out' is not implemented.")
        return interpolate(x, **how)

    monkeypatch.setattr(F, "interpolate", lacking)
    assert torch.equal(upsample_bicubic(lr, 4), expected) and len(tries) == 2
