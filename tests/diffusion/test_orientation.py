"""Ways up."""

from __future__ import annotations

import torch

from upscale.diffusion.orientation import turned, turned_back


def test_all_eight_differ_and_can_be_undone() -> None:
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    views = [turned(x, way) for way in range(8)]
    for i, view in enumerate(views):
        assert view.shape == ((2, 3, 6, 4) if i // 2 % 2 else (2, 3, 4, 6)) and view.is_contiguous()
        assert torch.equal(turned_back(view, i), x)
        assert not any(torch.equal(view, other) for other in views[:i])


def test_the_first_is_upright_the_second_mirrored_then_come_quarters() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert turned(x, 0) is x and turned_back(x, 0) is x
    assert turned(x, 1)[0, 0].tolist() == [[2, 1], [4, 3]]
    assert turned(x, 2)[0, 0].tolist() == [[2, 4], [1, 3]]
