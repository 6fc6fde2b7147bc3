"""Names of devices and dtypes -> what torch has, or a message that says what to do."""

from __future__ import annotations

import pytest
import torch

from upscale.engine import device as devices
from upscale.errors import DeviceError, ExitCode, UsageError
from upscale.options import DTYPES, MIN_TILE_PX

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


@pytest.mark.usefixtures("no_gpu")
def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert devices.resolve_device("auto") == CPU
    assert devices.resolve_device("cpu") == devices.resolve_device("cpu:0") == CPU


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_missing_gpu_is_told(name: str) -> None:
    with pytest.raises(DeviceError, match="No ") as caught:
        devices.resolve_device(name)
    assert caught.value.exit_code is ExitCode.DEVICE
    assert "--device cpu" in (caught.value.hint or "")


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_counted_from_0() -> None:
    assert devices.resolve_device("auto") == torch.device("cuda", 1)
    assert devices.resolve_device("cuda") == CUDA
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="no cuda:2: this machine has 2"):
        devices.resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:x", "xpu"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        devices.resolve_device(name)


@pytest.mark.parametrize("name", [name for name in DTYPES if name not in ("auto", "fp16")])
def test_dtypes_by_name(name: str) -> None:
    dtype = devices.resolve_dtype(name, CPU)
    assert devices.DTYPE_NAMES[dtype] == name


def test_every_dtype_of_the_options_is_known() -> None:
    assert set(devices.DTYPES) == set(DTYPES) - {"auto"}


def test_fp16_is_not_for_cpus() -> None:
    with pytest.raises(UsageError, match="fp16 is not for CPUs"):
        devices.resolve_dtype("fp16", CPU)
    assert devices.resolve_dtype("fp16", CUDA) == torch.float16


@pytest.mark.parametrize(
    ("amx", "avx512", "dtype"),
    [(False, False, torch.float32), (True, False, torch.bfloat16), (False, True, torch.bfloat16)],
)
def test_auto_on_a_cpu_asks_what_it_multiplies_fast(
    amx: bool, avx512: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    assert devices.resolve_dtype("auto", CPU) == dtype


def test_auto_on_a_cpu_does_without_these_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are private to torch, and may go."""
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert devices.resolve_dtype("auto", CPU) == torch.float32


@pytest.mark.parametrize(("capability", "dtype"), [((8, 0), torch.bfloat16), ((7, 5), torch.float16)])
def test_auto_on_a_gpu(
    capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert devices.resolve_dtype("auto", CUDA) == dtype


@pytest.mark.parametrize(("free_gib", "tile_px"), [(0.001, 64), (1, 352), (80, devices.GPU_TILE_PX)], ids=str)
def test_tiles_suit_the_free_memory(free_gib: float, tile_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gib * 2**30), 2**40))
    assert devices.default_tile_px(CUDA) == tile_px
    assert devices.default_tile_px(CPU) == devices.CPU_TILE_PX


def test_tiles_of_networks_on_the_large_image_are_smaller() -> None:
    assert devices.default_tile_px(CPU, 4) == devices.CPU_TILE_PX // 4
    assert devices.default_tile_px(CPU, 16) == MIN_TILE_PX


@pytest.mark.parametrize("name", ["all", "cpu,cpu", "cuda:0,cuda:1"])
def test_one_engine_has_one_device(name: str) -> None:
    with pytest.raises(UsageError, match="One engine computes on one device"):
        devices.resolve_device(name)


def test_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices.all_devices() == ("cuda:0", "cuda:1", "cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.all_devices() == ("cpu",)
