"""`--help` and `--version`: quick, grouped, and true to the options' one place."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from upscale.cli import files
from upscale.diffusion.samplers import SAMPLERS
from upscale.images.formats import FORMATS
from upscale.options import EngineOptions, FileOptions, TargetSize
from upscale.version import __version__

HEAVY = {"torch", "numpy", "PIL", "huggingface_hub", "safetensors"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_answers_without_loading_anything_heavy(option: str) -> None:
    code = (
        "import sys\n"
        "from upscale.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted(m.split('.')[0] for m in sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and run.stdout
    assert not HEAVY & set(run.stderr.split())


def test_help_answers_at_once() -> None:
    """0.4 s is the aim on an idle machine; the bound leaves room for a slower one, none for loading torch.

    Seconds of the processor, since other work beside the tests makes those of the clock say nothing.
    """

    def seconds() -> float:
        began, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-m", "upscale", "--help"], capture_output=True, check=True)
        after = os.times()
        used = sum(after[2:4]) - sum(before[2:4])  # user and system time of finished children
        return used or time.perf_counter() - began  # Windows does not count it

    assert min(seconds() for _ in range(3)) < 0.8


def test_help_is_grouped(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = cli("--help", defaults=False).stdout
    for panel in ("How large", "Where the result goes", "How it looks", "How this computer", "What is shown"):
        assert panel in text
    for parameter in set(inspect.signature(files.upscale_files).parameters) - {"files"}:
        assert f"--{parameter.replace('_', '-')} " in text


def test_version(cli: Callable[..., Any]) -> None:
    assert cli("--version", defaults=False).stdout == f"upscale {__version__}\n"


def test_defaults_are_those_of_the_options() -> None:
    """Every field has its option, and with the same default; four are spelled otherwise."""
    defaults = {name: p.default for name, p in inspect.signature(files.upscale_files).parameters.items()}
    respelled = {"box": "size", "tile_px": "tile", "map_uncertainty": "uncertainty"}
    for kind in (TargetSize, EngineOptions, FileOptions):
        for field in fields(kind):
            name = respelled.get(field.name, field.name)
            assert name in defaults, f"{kind.__name__}.{field.name} has no option"
            if field.name not in {*respelled, "denoise", "shrink"}:
                assert defaults[name] == field.default, name
    assert defaults["size"] is TargetSize.box is None
    assert files.parse_tile(defaults["tile"]) == EngineOptions.tile_px
    assert files.parse_denoise(defaults["denoise"]) == EngineOptions.denoise
    assert files.parse_shrink(defaults["shrink"]) == EngineOptions.shrink


def test_names_in_the_help_exist() -> None:
    source = inspect.getsource(files)
    assert {"ddim", "dpmpp_2m", "ddpm"} <= set(SAMPLERS) and "ddim, dpmpp_2m, ddpm" in source
    assert {"jpg", "png", "webp"} <= set(FORMATS) and "jpg, png, webp" in source
