"""LPIPS against an independent computation in numpy, with small random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from upscale.errors import InputError, WeightsError
from upscale.metrics.lpips import LPIPS

WIDTHS = (4, 5, 6, 5, 4)


@pytest.fixture
def tiny() -> LPIPS:
    torch.manual_seed(0)
    metric = LPIPS(WIDTHS)
    for level in range(5):  # learned heads are not negative
        metric.get_submodule(f"lin{level}").weight.data.abs_()
    return metric


def pictures(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 40, 47, generator=torch.Generator().manual_seed(seed))


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))[
        :, ::stride, ::stride
    ]
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def pool(x: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


def by_hand(weights: dict[str, np.ndarray], a: np.ndarray, b: np.ndarray) -> float:
    def taps(rgb: np.ndarray) -> list[np.ndarray]:
        x = rgb * 2 - 1 - np.array([-0.030, -0.088, -0.188])[:, None, None]
        x = x / np.array([0.458, 0.448, 0.450])[:, None, None]
        out = []
        for index, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
            if index in (3, 6):
                x = pool(x)
            w, c = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
            x = np.maximum(conv(x, w, c, stride, padding), 0)
            out.append(x / (np.sqrt((x**2).sum(axis=0, keepdims=True)) + 1e-10))
        return out

    distance = 0.0
    for level, (one, other) in enumerate(zip(taps(a), taps(b), strict=True)):
        head = weights[f"lin{level}.weight"][0]
        distance += float((head * (one - other) ** 2).sum(axis=0).mean())
    return distance


def test_equals_the_formula(tiny: LPIPS) -> None:
    a, b = pictures(1), pictures(2)
    weights = {name: w.double().numpy() for name, w in tiny.state_dict().items()}
    expected = [by_hand(weights, a[n].double().numpy(), b[n].double().numpy()) for n in range(2)]
    np.testing.assert_allclose(tiny(a, b).numpy(), expected, rtol=1e-5)


def test_is_zero_for_equal_pictures_symmetric_and_grows(tiny: LPIPS) -> None:
    a, b = pictures(1), pictures(2)
    assert torch.equal(tiny(a, a), torch.zeros(2))
    torch.testing.assert_close(tiny(a, b), tiny(b, a))
    near = tiny(a, a + 0.1 * (b - a))
    assert (near > 0).all() and (near < tiny(a, b)).all()


def test_gradients_reach_the_picture_and_are_finite_where_it_is_equal(tiny: LPIPS) -> None:
    a, b = pictures(1), pictures(2)
    b[1] = a[1]
    a.requires_grad_()
    tiny(a, b).sum().backward()
    assert a.grad is not None and a.grad.isfinite().all() and a.grad[0].abs().max() > 0
    assert all(p.grad is None for p in tiny.parameters())


def test_small_pictures_are_refused_and_the_limit_works(tiny: LPIPS) -> None:
    with pytest.raises(InputError, match="31 pixels"):
        tiny(pictures(1)[:, :, :30], pictures(2)[:, :, :30])
    assert tiny(pictures(1)[:, :, :31, :31], pictures(2)[:, :, :31, :31]).shape == (2,)


def test_from_file_reads_half_precision_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = {name: w.half() for name, w in LPIPS().state_dict().items()}
    save_file(saved, tmp_path / "alex.safetensors")
    metric = LPIPS.from_file(tmp_path / "alex.safetensors")
    assert {w.dtype for w in metric.state_dict().values()} == {torch.float32}
    assert torch.equal(metric.features["10"].weight, saved["features.10.weight"].float())


@pytest.mark.parametrize("content", [None, b"no weights", "other keys"])
def test_from_file_refuses_missing_damaged_and_foreign_files(
    tmp_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "alex.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file({"lin0.weight": torch.zeros(1, 64, 1, 1)}, path)
    with pytest.raises(WeightsError, match=r"alex\.safetensors"):
        LPIPS.from_file(path)
