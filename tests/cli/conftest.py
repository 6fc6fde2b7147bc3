"""Small pictures, a tiny network with real weights, and the command line, here or in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from upscale import networks
from upscale.cli.app import app
from upscale.models.checkpoint import save
from upscale.models.config import ModelConfig

NETWORK = {
    "scale": 4,
    "width": 8,
    "inner_width": 8,
    "encoder_blocks": 1,
    "encoder_inner_blocks": 1,
    "outer_blocks": 1,
    "inner_blocks": 1,
    "embedding": 8,
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder with a few thousand weights."""
    folder = tmp_path_factory.mktemp("tiny-model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = networks.get("residual_unet").build(NETWORK)
    config = ModelConfig(name="tiny", arch="residual_unet", network=NETWORK, scale=4, residual_std=0.1)
    save(config, network, folder)
    return str(folder)


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Draw a picture: `photo("a.jpg", size=(12, 8))`."""

    def draw(name: str = "photo.jpg", *, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(levels).convert(mode).save(path)
        return path

    return draw


@pytest.fixture
def cli(model: str) -> Callable[..., Any]:
    """Run the command in this process with the tiny model on the CPU, one step."""

    def invoke(*args: str | Path, stdin: bytes | None = None, defaults: bool = True) -> Any:
        common = ["--model", model, "--steps", "1", "--device", "cpu", "--dtype", "fp32"] if defaults else []
        return CliRunner().invoke(app, [*common, *map(str, args)], input=stdin)

    return invoke


@pytest.fixture
def process(model: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command in a process of its own; `before` is Python code that runs in it first."""

    def run(
        *args: str | Path, before: str = "pass", defaults: bool = True, **popen: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command_line(model, *args, before=before, defaults=defaults),
            check=False,
            timeout=120,
            **{"env": environment(), "capture_output": True, **popen},
        )

    run.command_line = lambda *args, **options: command_line(model, *args, **options)  # type: ignore[attr-defined]
    run.environment = environment  # type: ignore[attr-defined]
    return run


def command_line(model: str, *args: str | Path, before: str = "pass", defaults: bool = True) -> list[str]:
    common = ["--model", model, "--steps", "1", "--device", "cpu", "--dtype", "fp32"] if defaults else []
    code = f"{before}\nfrom upscale.cli.main import main\nmain()"
    return [sys.executable, "-c", code, *common, *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
