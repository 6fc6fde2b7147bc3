"""Weights come back as they were saved, or a message says what is wrong with them."""

from __future__ import annotations

import errno
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from upscale import networks
from upscale.errors import ExitCode, OutputError, WeightsError
from upscale.models import catalog, checkpoint
from upscale.models.config import ModelConfig
from upscale.models.digest import sha256_of

MakeModel = Callable[..., Path]
ARCHES = networks.names()


def load(folder: Path) -> tuple[ModelConfig, torch.nn.Module]:
    return checkpoint.load(catalog.locate(str(folder)))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a model folder."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_saved_is_loaded(arch: str, dtype: torch.dtype, make_model: MakeModel, tmp_path: Path) -> None:
    config, network = load(make_model(arch))
    path = checkpoint.save(config, network, tmp_path / "again", dtype)
    again_config, again = load(path.parent)
    assert again_config == config
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.float32 and tensor.device.type == "cpu"
        assert torch.equal(tensor, network.state_dict()[name].to(dtype).float())
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["config"] == (path.parent / "config.json").read_text()
        assert file.get_slice(next(iter(file.keys()))).get_dtype() == {4: "F32", 2: "F16"}.get(
            dtype.itemsize if dtype != torch.bfloat16 else 0, "BF16"
        )


def test_a_wrong_checksum(make_model: MakeModel) -> None:
    location = catalog.locate(str(make_model()))
    right = sha256_of(location.weights)
    checkpoint.load(replace(location, hashes={location.weights: right}))
    with pytest.raises(WeightsError, match="SHA-256 is wrong") as caught:
        checkpoint.load(replace(location, hashes={location.weights: right[::-1]}))
    assert caught.value.exit_code is ExitCode.WEIGHTS and "reinstall" in (caught.value.hint or "")


def test_missing_unknown_and_misshapen_tensors_are_named(make_model: MakeModel) -> None:
    folder = make_model()
    rewrite(
        folder,
        lambda t: (t.pop("stem.bias"), t.update({"magic": torch.zeros(1), "head.bias": torch.zeros(7)})),
    )
    with pytest.raises(WeightsError, match="do not fit their config") as caught:
        load(folder)
    for part in (
        "1 missing (such as stem.bias)",
        "1 unknown (such as magic)",
        "1 of another shape (such as head.bias)",
    ):
        assert part in caught.value.message


def test_weights_of_another_size(make_model: MakeModel) -> None:
    folder = make_model()
    config = json.loads((folder / "config.json").read_text())
    config["network"]["width"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="of another shape"):
        load(folder)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file(share: float, make_model: MakeModel) -> None:
    path = make_model() / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load(path.parent)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "C64", "BOOL", "I16"])
def test_tensors_that_are_no_weights(dtype: str, make_model: MakeModel) -> None:
    path = make_model() / "model.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    last = max(
        (name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"][1]
    )
    begin = header[last]["data_offsets"][0]
    bits = {"F4": 4, "F6_E2M3": 6, "C64": 64, "BOOL": 8, "I16": 16}[dtype]
    size = math.prod(header[last]["shape"]) * bits // 8
    header[last] |= {"dtype": dtype, "data_offsets": [begin, begin + size]}
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[start : start + begin] + bytes(size))
    with pytest.raises(WeightsError, match=last.replace(".", r"\.")):
        load(path.parent)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers(value: float, make_model: MakeModel) -> None:
    folder = make_model()
    rewrite(folder, lambda tensors: tensors["head.bias"].fill_(value))
    with pytest.raises(WeightsError, match=r"not finite real numbers: head\.bias"):
        load(folder)


@pytest.mark.parametrize("gone", ["model.safetensors", "config.json"])
def test_files_that_vanish(gone: str, make_model: MakeModel) -> None:
    folder = make_model()
    location = catalog.locate(str(folder))
    (folder / gone).unlink()
    with pytest.raises(WeightsError, match=gone):
        checkpoint.load(location)


def test_an_unknown_architecture(make_model: MakeModel) -> None:
    folder = make_model()
    text = (folder / "config.json").read_text().replace('"residual_unet"', '"../evil"')
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"unknown network architecture: '\.\./evil'") as caught:
        load(folder)
    assert all(arch in (caught.value.hint or "") for arch in ARCHES)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_pickle_by_another_name_is_refused_unopened(
    how: str, with_config: bool, make_model: MakeModel, tmp_path: Path
) -> None:
    folder, harm = make_model(), tmp_path / "harm"
    path = folder / "model.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(harm)))
    else:
        torch.save({"stem.bias": Bomb(harm)}, path)
    with pytest.raises(WeightsError, match=r"not a (whole )?safetensors file"):
        load(folder if with_config else path)
    assert not harm.exists()


@settings(deadline=None, max_examples=60)
@given(
    arch=st.sampled_from(ARCHES),
    changes=st.dictionaries(
        st.sampled_from(
            [
                "scale",
                "width",
                "outer_blocks",
                "inner_channel",
                "norm_groups",
                "attn_res",
                "channel_multipliers",
            ]
        ),
        st.integers(-3, 70)
        | st.floats(-2, 2)
        | st.text(max_size=2)
        | st.lists(st.integers(-1, 4), max_size=3),
        max_size=2,
    ),
)
@example(arch="sr3_unet", changes={"inner_channel": 0})
def test_any_network_table_is_built_or_refused(arch: str, changes: dict[str, Any]) -> None:
    config = ModelConfig(name="x", arch=arch, network=changes, scale=4)
    try:
        network = checkpoint.build(config, "here")
    except WeightsError as error:
        assert "cannot be built" in error.message
    else:
        assert all(p.is_meta for p in network.parameters())  # no memory was taken


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_saving_that_fails_leaves_what_was_there(
    name: str, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    config, network = checkpoint.load(catalog.locate(str(folder)))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        checkpoint.save(config, network, folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after[name] == before[name] and after.keys() == before.keys()
    assert load(folder)[0] == config


def test_saving_where_no_folder_can_be(make_model: Callable[..., Path], tmp_path: Path) -> None:
    config, network = checkpoint.load(catalog.locate(str(make_model())))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        checkpoint.save(config, network, tmp_path / "file" / "model")


def test_a_folder_that_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        checkpoint.check_free(tmp_path / ("x" * 300), overwrite=False)
