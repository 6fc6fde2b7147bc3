"""Weights files -> networks, and back. Nothing in a file is executed.

Sizes are checked against the network's before memory is taken: the network is laid out without storage first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save as as_safetensors
from torch import nn

from upscale import networks
from upscale.errors import OutputError, WeightsError
from upscale.images.atomic import new_file, output_error
from upscale.models import diffusers_weights
from upscale.models.catalog import Location, read_config
from upscale.models.config import ModelConfig
from upscale.models.digest import check_hashes
from upscale.models.entry import CONFIG_FILE, WEIGHTS_FILE
from upscale.models.header import CONFIG_KEY
from upscale.models.tensors import Tensors, open_safetensors


def load(location: Location) -> tuple[ModelConfig, nn.Module]:
    """Return the config and the network at a location, on the CPU, in evaluation mode, in float32.

    Raises:
        WeightsError: Files are missing, damaged, changed, or do not fit each other.
    """
    path = location.weights
    check_hashes(location.hashes)
    config = read_config(location)
    network = build(config, str(path))
    if not location.parts:
        return config, fill(network, open_safetensors(path), str(path))
    tensors = diffusers_weights.open_parts(location.parts).without(getattr(network, "unused", ()))
    return config, fill(network, tensors, str(location.folder))


def build(config: ModelConfig, where: str) -> nn.Module:
    """Return the network that a config describes, without storage (on the meta device).

    Raises:
        WeightsError: The architecture does not know such a network.
    """
    try:
        with torch.device("meta"):
            return networks.get(config.arch).build(config.network)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        raise WeightsError(
            f"{where} describes a {config.arch} network that cannot be built ({error})."
        ) from None


def check_shapes(network: nn.Module, found: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise `WeightsError` unless weights with these names and shapes are exactly those of the network."""
    if apart := difference(network, found):
        raise WeightsError(f"The weights {where} do not fit their config: {apart}.")


def difference(network: nn.Module, found: Mapping[str, tuple[int, ...]]) -> str:
    """Return how weights with these names and shapes differ from the network's, in words; nothing if not."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    changed = [name for name in expected if name in found and expected[name] != found[name]]
    parts = [
        f"{len(names)} {what} (such as {names[0]})"
        for names, what in ((missing, "missing"), (surplus, "unknown"), (changed, "of another shape"))
        if names
    ]
    return ", ".join(parts)


def fill(network: nn.Module, tensors: Tensors, where: str) -> nn.Module:
    """Return a network with these weights, in evaluation mode, in float32.

    Raises:
        WeightsError: They are those of another network, or no numbers.
    """
    check_shapes(network, tensors.shapes, where)
    network.load_state_dict({name: _numbers(tensors, name, where) for name in tensors.shapes}, assign=True)
    return network.eval().requires_grad_(False)


def _numbers(tensors: Tensors, name: str, where: str) -> torch.Tensor:
    """Return a tensor in float32; raises `WeightsError` if it has none, or others than finite numbers."""
    try:
        tensor = tensors.read(name)
    except SafetensorError as error:  # a dtype that torch has not, or not in that shape
        raise WeightsError(f"The weights {where} cannot be read: {name} ({error}).") from None
    # One number that is not finite makes the sum so; to ask each of them takes six times as long.
    if not tensor.is_floating_point() or not (numbers := tensor.float()).sum().isfinite():
        raise WeightsError(
            f"The weights {where} hold values that are not finite real numbers: {name} ({tensor.dtype}).",
            hint="They were damaged, or their training went astray: get others.",
        )
    return numbers


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` if a folder holds a model already, unless it may be replaced."""
    try:
        held = any((folder / name).exists() for name in (WEIGHTS_FILE, CONFIG_FILE))
    except OSError as error:  # a folder that may not be entered, a name longer than the system's
        raise output_error(folder, error) from error
    if held and not overwrite:
        raise OutputError(f"{folder} holds a model already.", hint="Choose another, or use --overwrite.")


def save(config: ModelConfig, network: nn.Module, folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write `config.json` and `model.safetensors` into a folder, and return the weights file.

    The tensors are stored as `dtype`; the config goes into the weights' metadata as well. Each file appears
    whole or not at all, and what was there before stays until then.

    Raises:
        OutputError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in network.state_dict().items()
    }
    weights = folder / WEIGHTS_FILE
    contents = {
        weights: as_safetensors(tensors, metadata={"format": "pt", CONFIG_KEY: config.to_json()}),
        folder / CONFIG_FILE: config.to_json().encode(),
    }
    for path, content in contents.items():
        with new_file(path, overwrite=True) as file:
            file.write(content)
    return weights
