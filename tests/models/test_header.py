"""The header is read by hand, so everything that can be wrong with it is tried."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from upscale.errors import WeightsError
from upscale.models.header import config_text, data_size, read_metadata


def raw(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


def test_metadata_are_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata={"config": '{"é": 1}', "format": "pt"})
    assert read_metadata(path) == {"config": '{"é": 1}', "format": "pt"}
    assert config_text(path) == '{"é": 1}'


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_that_does_not_say_what_it_is(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match="does not say what model it is") as caught:
        config_text(path)
    assert "config.json" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\0\0",
        raw(b"{}", length=0),
        raw(b"{}", length=3_000),
        raw(b"{}", length=2**63),
        raw(b"\x80" * 50),
        raw(b"{" * 50),
        raw(b"[" * 100_000),
        raw(b"[]"),
        raw(b"3 "),
        raw(json.dumps({"__metadata__": []}).encode()),
        raw(json.dumps({"__metadata__": "config"}).encode()),
        b"PK\x03\x04" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
    ids=range(14),
)
def test_what_is_not_safetensors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.safetensors is not a safetensors file") as caught:
        read_metadata(path)
    assert caught.value.hint


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for bytes_ in (content, raw(content)):
        path.write_bytes(bytes_)
        with pytest.raises(WeightsError):
            config_text(path)


def test_the_size_that_a_whole_file_has(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.zeros(2, 5, dtype=torch.float16)}, path)
    whole = path.stat().st_size
    assert data_size(path) == whole
    path.write_bytes(path.read_bytes()[:-7])
    assert data_size(path) == whole


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"data_offsets": 3},
        {"data_offsets": [0]},
        {"data_offsets": [0, "x"]},
        {"data_offsets": [0, math.inf]},
    ],
)
def test_headers_without_offsets(entry: object, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw(json.dumps({"a": entry}).encode()))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        data_size(path)
