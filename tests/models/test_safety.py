"""What files of strangers may not do: run, take memory or time without end, reach outside, end in traces."""

from __future__ import annotations

import json
import os
import pickle
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog, checkpoint, hub
from upscale.models.reference import Reference

MakeModel = Callable[..., Path]


class Bomb:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.safetensors", "weights.pth", "model.pkl", "config.json"])
@pytest.mark.parametrize("zipped", [True, False])
def test_no_command_runs_what_is_in_a_pickle(
    name: str, zipped: bool, make_model: MakeModel, tmp_path: Path
) -> None:
    harm, folder = tmp_path / "harm", make_model()
    path = folder / name
    if zipped:
        torch.save({"denoise_fn.downs.0.weight": Bomb(harm)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(harm)))
    options = ["--norm-groups", "4", "--scale", "4", "-o", str(tmp_path / "m")]
    convert = ["models", "convert", str(path), *options]
    upscale = [str(tmp_path / "none.jpg"), "--model", str(path), "--dry-run"]
    for command in (convert, ["models", "info", str(path)], ["models", "verify", str(path)], upscale):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == ExitCode.WEIGHTS, command
        assert "Error:" in result.stderr and "Traceback" not in result.stderr
    if name in ("model.safetensors", "config.json"):
        assert CliRunner().invoke(app, ["models", "verify", str(folder)]).exit_code == ExitCode.WEIGHTS
        with pytest.raises(WeightsError):
            checkpoint.load(catalog.locate(str(folder)))
    assert not harm.exists()


@pytest.mark.parametrize(
    ("arch", "change"),
    [
        ("residual_unet", {"outer_blocks": 100_000}),
        ("residual_unet", {"encoder_blocks": 1e5}),
        ("residual_unet", {"width": 10**9}),
        ("residual_unet", {"width": 1e308}),
        ("sr3_unet", {"res_blocks": 100_000}),
        ("sr3_unet", {"channel_multipliers": [1] * 50_000}),
        ("sr3_unet", {"channel_multipliers": [1] * 30}),
        ("sr3_unet", {"channel_multipliers": [[1] * 1000] * 1000}),
        ("sr3_unet", {"inner_channel": -(10**12)}),
        ("sr3_unet", {"attn_res": {str(i): i for i in range(100)}}),
        ("sr3_unet", {"norm_groups": 0}),
        ("sr3_unet", {"inner_channel": 99_998, "norm_groups": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value)[:40],
)
def test_absurd_configs_are_refused_at_once(arch: str, change: dict[str, Any], make_model: MakeModel) -> None:
    folder = make_model(arch)
    config = json.loads((folder / "config.json").read_text())
    config["network"].update(change)
    (folder / "config.json").write_text(json.dumps(config))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(WeightsError):
        checkpoint.load(catalog.locate(str(folder)))
    assert time.process_time() - began < 3
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_config_of_any_length_is_read_in_part_only(make_model: MakeModel) -> None:
    folder = make_model()
    with (folder / "config.json").open("r+b") as file:
        file.truncate(20 << 30)  # of zeros, without a disk to hold them
    with pytest.raises(WeightsError, match="too long"):
        catalog.describe(str(folder))


def test_a_header_that_promises_more_than_the_file(make_model: MakeModel) -> None:
    """Tensors of 4 TB in a file of some KB."""
    path = make_model() / "model.safetensors"
    header = {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        checkpoint.load(catalog.locate(str(path.parent)))
    assert CliRunner().invoke(app, ["models", "verify", str(path.parent)]).exit_code == ExitCode.WEIGHTS


@pytest.mark.parametrize("revision", ["main", "f" * 40])
@pytest.mark.parametrize("commit", ["../../../escaped", "/escaped", "..\\..\\escaped"])
def test_a_server_that_names_a_folder_elsewhere(
    revision: str,
    commit: str,
    hub_server: Any,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commit it tells becomes a folder's name in the cache."""

    def lying(handler: Any, content: bytes) -> bool:
        handler.commit = commit
        handler.send(content, content)
        return True

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub_server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "a" / "b" / "c" / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub_server.add("owner/sr3", {path.name: path.read_bytes() for path in make_model().iterdir()})
    repository = hub_server.repositories["owner/sr3"]
    repository.commits["f" * 40] = repository.commits[repository.refs["main"]]
    hub_server.fault = lying
    with pytest.raises(WeightsError):
        hub.fetch(Reference("owner/sr3", revision))
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and (tmp_path / "a/b/c/cache") not in p.parents]
    assert outside == []
