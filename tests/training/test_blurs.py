"""Blurred, sharpened and enlarged pictures."""

from __future__ import annotations

import pytest
import torch

from upscale.training.examples.blurs import blur, make_soft, soften, unsharp


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_blur_keeps_flat_areas_and_spreads_points() -> None:
    flat = torch.full((1, 3, 20, 20), 0.4)
    sigma = torch.tensor([1.5])
    assert torch.allclose(blur(flat, sigma, sigma, torch.zeros(1)), flat, atol=1e-6)
    point = torch.zeros(1, 1, 31, 31)
    point[0, 0, 15, 15] = 1
    sigma_x, sigma_y = torch.tensor([1.5]), torch.tensor([0.8])
    grid = torch.arange(31.0) - 15
    for angle, (along_x, along_y) in ((0.0, (1.5, 0.8)), (torch.pi / 2, (0.8, 1.5))):
        spread = blur(point, sigma_x, sigma_y, torch.tensor([angle]))[0, 0]
        assert spread.sum() == pytest.approx(1, abs=1e-5)
        assert (spread.sum(0) * grid**2).sum().sqrt() == pytest.approx(along_x, rel=0.05)
        assert (spread.sum(1) * grid**2).sum().sqrt() == pytest.approx(along_y, rel=0.05)


def test_every_example_has_its_own_blur() -> None:
    point = torch.zeros(2, 1, 15, 15)
    point[:, 0, 7, 7] = 1
    sigma = torch.tensor([0.05, 2.0])  # the first is none at all
    spread = blur(point, sigma, sigma, torch.zeros(2))
    assert torch.allclose(spread[0], point[0]) and spread[1].max() < 0.1


def test_narrow_kernels_hold_no_denormal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would make the convolution many times slower."""
    seen = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda x, w, **more: seen.append(w) or convolve(x, w, **more)
    )
    sigma = torch.linspace(0.3, 2.8, 26)
    blur(torch.zeros(26, 3, 16, 16), sigma, 0.6 * sigma, sigma)
    (kernels,) = seen
    assert not ((kernels > 0) & (kernels < torch.finfo(torch.float32).tiny)).any()
    assert torch.allclose(kernels.sum((1, 2, 3)), torch.ones(78))


def test_unsharp_masking_steepens_edges_and_keeps_flat_areas() -> None:
    edge = torch.full((2, 3, 24, 24), -0.5)
    edge[..., 12:] = 0.5
    sigma = torch.tensor([1.0, 1.0])
    sharp = unsharp(edge, sigma, torch.tensor([0.0, 0.8]))
    assert torch.allclose(sharp[0], edge[0], atol=1e-6)
    assert torch.allclose(sharp[1, ..., :5], edge[1, ..., :5], atol=1e-6)
    row = sharp[1, 0, 10]
    # Beside the edge a Gaussian of std 1 leaves 0.5 - 0.3085 of the step: pixel centres are half a pixel off.
    kernel = torch.exp(-0.5 * torch.arange(-6.0, 7) ** 2)
    low = float((kernel / kernel.sum())[7:].sum())
    assert row[12] == pytest.approx(0.5 + 0.8 * low, abs=1e-4) and row[11] == pytest.approx(
        -0.5 - 0.8 * low, abs=1e-4
    )


def test_conditioning_blur_takes_its_share_over_three_pixels() -> None:
    point = torch.full((400, 1, 9, 9), 0.0)
    point[:, 0, 4, 4] = 1
    out = soften(point, 0.5, generator())
    blurred = (out != point).flatten(1).any(1)
    assert 0.4 < blurred.float().mean() < 0.6
    peaks = out[blurred][:, 0, 4, 4]
    assert 0.4 < peaks.min() < 0.46 and 0.84 < peaks.max() < 0.92  # of std 0.6 and 0.4
    assert torch.count_nonzero(out[blurred][0]) == 9 and torch.allclose(out.sum((1, 2, 3)), torch.ones(400))
    assert torch.equal(out, soften(point, 0.5, generator())) and torch.equal(
        soften(point, 0.0, generator()), point
    )


def test_soft_ones_are_blurred_or_enlarged() -> None:
    """A point keeps its sum and spreads; what is enlarged by the largest factor has no finer detail left."""
    point = torch.zeros(2, 1, 33, 33)
    point[:, :, 16, 16] = 1
    one, most = make_soft(point, torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]]))
    at = torch.arange(33.0) - 16
    assert one.sum() == pytest.approx(1, abs=1e-4) and most.sum() == pytest.approx(1, abs=1e-4)
    assert float((most[0].sum(0) * at**2).sum()) == pytest.approx(1.2**2, rel=0.05)
    checks = ((torch.arange(32)[:, None] + torch.arange(32)) % 2).float()[None, None]
    for kind in (0.5, 0.9):  # bicubic, bilinear
        enlarged = make_soft(checks, torch.tensor([[0.9, 0.999, kind, 0.0]]))
        assert enlarged.shape == checks.shape and enlarged.std() < 0.03
        assert make_soft(checks, torch.tensor([[0.9, 0.0, kind, 0.0]])).std() > enlarged.std()


def test_soft_ones_in_blocks() -> None:
    """Of 2x2 or 3x3 pixels, anywhere, each as light as what it hides."""
    picture = torch.rand(1, 3, 24, 24, generator=generator()) * 0.2 + torch.linspace(-0.5, 0.5, 24)
    corners = set()
    for size, side in ((0.9, 2), (0.1, 3)):
        for place in torch.linspace(0, 0.999, 9).tolist():
            out = make_soft(picture, torch.tensor([[0.9, size, 0.1, place]]))
            rows, columns = (
                out.diff(dim=axis).ne(0).flatten(0, 1).any(0).any(3 - axis).nonzero()[:, 0] + 1
                for axis in (2, 3)
            )
            assert (rows.diff() == side).all() and (columns.diff() == side).all()
            corners.add((side, int(rows[0]) % side, int(columns[0]) % side))
            assert float((out - picture).mean()) == pytest.approx(0, abs=0.03)
    assert len(corners) == 4 + 9  # every place that a block of either size may begin at
