"""An architecture is a file; whatever is found there keeps the registry's promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from upscale import networks
from upscale.errors import ExitCode, WeightsError

FOLDER = Path(networks.__file__).parent


def needs_diffusers(name: str) -> None:
    if name.endswith("unet2d"):
        pytest.importorskip("diffusers", reason="needs the extra: pip install 'upscale[diffusers]'")


def test_every_file_is_an_architecture() -> None:
    assert networks.names() == sorted(p.stem for p in FOLDER.iterdir() if not p.stem.startswith("__"))


@pytest.mark.parametrize("name", networks.names())
def test_architectures_build_from_plain_tables(name: str) -> None:
    needs_diffusers(name)
    arch = networks.get(name)
    network = arch.build({})
    assert isinstance(network, nn.Module) and isinstance(arch.local, bool)
    multiple_of = network.multiple_of
    assert isinstance(multiple_of, int) and multiple_of >= 1
    assert sum(p.numel() for p in network.parameters()) > 1_000_000  # the defaults are a real model


@pytest.mark.parametrize("name", networks.names())
def test_unknown_entries_of_a_table_are_type_errors(name: str) -> None:
    needs_diffusers(name)
    with pytest.raises(TypeError, match="magic"):
        networks.get(name).build({"magic": 1})


@pytest.mark.parametrize("name", ["", "unet", "__init__", "os", "../residual_unet", "residual_unet.ARCH"])
def test_unknown_architectures(name: str) -> None:
    with pytest.raises(WeightsError, match="unknown network architecture") as caught:
        networks.get(name)
    assert caught.value.exit_code is ExitCode.WEIGHTS
    assert all(known in (caught.value.hint or "") for known in networks.names())
