"""Option values that are more than a number."""

from __future__ import annotations

import pytest

from upscale.cli.values import parse_denoise, parse_fidelity, parse_shrink, parse_size, parse_tile
from upscale.errors import UsageError


def test_size() -> None:
    assert parse_size(None) is None
    assert parse_size("1920x1080") == parse_size(" 1920X1080") == parse_size("1920×1080") == (1920, 1080)


@pytest.mark.parametrize("text", ["", "1920", "1920x", "x1080", "1920 by 1080", "-1x5", "1.5x2", "axb"])
def test_size_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        parse_size(text)


def test_tile() -> None:
    assert parse_tile("auto") is None
    assert parse_tile("128") == 128


@pytest.mark.parametrize("text", ["", "Auto", "12.5", "12px"])
def test_tile_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--tile"):
        parse_tile(text)


def test_presets_are_fidelities() -> None:
    assert parse_fidelity(None, None) is parse_fidelity(None, "balanced") is None
    assert (parse_fidelity(None, "faithful"), parse_fidelity(None, "vivid")) == (1, 0)
    assert parse_fidelity(0.25, None) == 0.25


def test_denoise() -> None:
    assert parse_denoise("auto") is None and parse_denoise("0.2") == 0.2
    with pytest.raises(UsageError, match="--denoise much"):
        parse_denoise("much")


def test_shrink() -> None:
    assert parse_shrink("auto") is None and parse_shrink("1.5") == 1.5
    with pytest.raises(UsageError, match="--shrink much"):
        parse_shrink("much")


@pytest.mark.parametrize(("fidelity", "preset"), [(None, "sharp"), (None, ""), (0.5, "vivid")])
def test_presets_that_are_none(fidelity: float | None, preset: str) -> None:
    with pytest.raises(UsageError, match="--preset"):
        parse_fidelity(fidelity, preset)
