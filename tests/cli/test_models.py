"""`upscale models`: list, info, path, verify, convert."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from upscale.errors import ExitCode
from upscale.models import catalog
from upscale.models.inventory import inspect
from upscale.options import DEFAULT_MODEL

GOLDEN = Path(__file__).parents[1] / "golden" / "janspiry_micro"
COMMANDS = ["list", "info", "path", "pull", "rm", "verify", "convert"]
Cli = Callable[..., Any]


@pytest.fixture
def models(cli: Cli) -> Cli:
    return lambda *args: cli("models", *args, defaults=False)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The recorded micro checkpoint, as the project writes it."""
    path = tmp_path / "I8_E1_gen.pth"
    torch.save(OrderedDict(load_file(GOLDEN / "I8_E1_gen.safetensors")), path)
    return path


def lines(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("args", [[], *([command] for command in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\n"
        "from upscale.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted(m.split('.')[0] for m in sys.modules), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "models", *args, "--help"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0 and "Usage: upscale models" in run.stdout
    assert not {"torch", "numpy", "PIL", "huggingface_hub", "safetensors"} & set(run.stderr.split())


def test_the_main_help_names_it(cli: Cli) -> None:
    assert "upscale models" in cli("--help", defaults=False).stdout


def test_list(models: Cli) -> None:
    result = models("list")
    assert result.exit_code == 0
    for name, entry in catalog.load().items():
        (row,) = [line for line in result.stdout.splitlines() if name in line]
        item = inspect(name)  # models of the Hub may be in the cache of who runs this
        assert f"{item.scale}x" in row and entry.licence in row and item.where in row
        assert (item.where == "embedded") == (not entry.repo)
    rows = lines(models("list", "--json"))
    assert [row["name"] for row in rows] == list(catalog.load())
    assert all(row["schema"] == 1 and row["type"] == "model" for row in rows)
    here = [row for row in rows if row["where"] == "embedded"]
    assert here and all(Path(row["weights"]).stat().st_size == row["size"] for row in here)


def test_info(models: Cli, model: str) -> None:
    text = models("info", DEFAULT_MODEL).stdout
    assert catalog.load()[DEFAULT_MODEL].sha256 in text and "4x" in text and "residual_unet" in text
    (row,) = lines(models("info", model, "--json"))
    assert (row["name"], row["where"], row["config"]["network"]["width"]) == (model, "local", 8)
    assert "SHA-256" not in models("info", model).stdout


def test_path(models: Cli, model: str) -> None:
    result = models("path", model)
    assert result.exit_code == 0 and Path(result.stdout.strip()).samefile(Path(model) / "model.safetensors")


@pytest.mark.parametrize("command", ["info", "path", "verify"])
def test_unknown_names(command: str, models: Cli) -> None:
    result = models(command, DEFAULT_MODEL[:-1])
    assert result.exit_code == ExitCode.WEIGHTS and result.stdout == ""
    assert "no model" in result.stderr and DEFAULT_MODEL in result.stderr


def test_verify(models: Cli, model: str) -> None:
    result = models("verify")
    assert result.exit_code == 0 and f"{DEFAULT_MODEL}: as published" in result.stdout
    assert "as far as can be told" in models("verify", model).stdout


def test_one_bad_model_among_good_ones(models: Cli, model: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes((Path(model) / "model.safetensors").read_bytes()[:-1])
    result = models("verify", model, str(bad), DEFAULT_MODEL)
    assert result.exit_code == ExitCode.WEIGHTS
    assert "bytes long instead of" in result.stderr and DEFAULT_MODEL in result.stdout
    rows = lines(models("verify", str(bad), DEFAULT_MODEL, "--json"))
    assert [row["ok"] for row in rows] == [False, True] and "bytes long" in rows[0]["error"]


def test_convert_and_use(
    models: Cli, cli: Cli, checkpoint: Path, photo: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "faces-4x"
    result = models("convert", checkpoint, "--config", GOLDEN / "config.json", "--scale", "4", "-o", folder)
    assert result.exit_code == 0 and "4x, 8 steps of ddpm" in result.stdout, result.stderr
    large = tmp_path / "large.png"
    run = cli(photo(), "-o", large, "--model", folder, "--device", "cpu", "--steps", "2", defaults=False)
    assert run.exit_code == 0, run.stderr
    with Image.open(large) as image:
        assert image.size == (48, 32)
    assert models("verify", folder).exit_code == 0
    again = models("convert", checkpoint, "--norm-groups", "4", "--scale", "2", "-o", folder)
    assert again.exit_code == ExitCode.OUTPUT and "--overwrite" in again.stderr
    args = (
        "convert",
        checkpoint,
        "--norm-groups",
        "4",
        "--scale",
        "2",
        "-o",
        folder,
        "--overwrite",
        "--json",
    )
    (row,) = lines(models(*args))
    assert row["scale"] == 2 and catalog.describe(str(folder)).scale == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], ExitCode.USAGE, "norm-groups and scale"),
        (["--norm-groups", "4"], ExitCode.USAGE, "their scale"),
        (["--scale", "17"], ExitCode.USAGE, "--scale"),
        (["--config", "none.json", "--scale", "4"], ExitCode.WEIGHTS, "none.json"),
        (["--norm-groups", "3", "--scale", "4"], ExitCode.WEIGHTS, "norm_groups 3"),
    ],
    ids=str,
)
def test_convert_refuses(
    args: list[str],
    code: ExitCode,
    said: str,
    models: Cli,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # Typer folds its own messages
    result = models("convert", checkpoint, "-o", tmp_path / "m", *args)
    assert result.exit_code == code and said in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "m").exists()


def test_convert_refuses_what_is_no_checkpoint(
    models: Cli, photo: Callable[..., Path], tmp_path: Path
) -> None:
    result = models("convert", photo(), "--norm-groups", "4", "--scale", "4", "-o", tmp_path / "m")
    assert result.exit_code == ExitCode.WEIGHTS and "photo.jpg" in result.stderr
