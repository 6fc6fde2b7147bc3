"""The table of output formats: every row keeps what it promises."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upscale.errors import ExitCode, OutputError, UsageError
from upscale.images.formats import FORMATS, check_size, format_for
from upscale.images.picture import Picture
from upscale.images.write import encode

AVAILABLE = [row for row in FORMATS.values() if row.is_available]


@pytest.mark.parametrize("row", AVAILABLE, ids=lambda row: row.name)
def test_found_by_name_suffix_and_pillow_name(row):
    for key in (row.name, row.name.upper(), row.pillow_name, *row.suffixes, row.suffix.upper()):
        assert format_for(key) is row


@pytest.mark.parametrize(
    ("wrong", "guess"), [("jpge", "jpg"), (".pgn", "png"), ("xyz", "Formats are jpg, png")]
)
def test_unknown_names_get_a_hint(wrong, guess):
    with pytest.raises(UsageError) as caught:
        format_for(wrong)
    assert caught.value.exit_code == ExitCode.USAGE
    assert guess in str(caught.value)


def test_no_suffix():
    with pytest.raises(UsageError, match="without a suffix"):
        format_for("")


@pytest.mark.parametrize("row", [r for r in AVAILABLE if r.max_side_px < 100_000], ids=lambda row: row.name)
def test_the_largest_side_is_the_encoders(row):
    """One pixel more than the row says, and the encoder would fail: so nobody is refused too early."""
    gray = np.zeros((1, row.max_side_px, 1), np.uint8)
    check_size(row, (row.max_side_px, 1))
    encode(Picture(gray), io.BytesIO(), format=row)
    with pytest.raises(OutputError) as caught:
        encode(Picture(np.zeros((1, row.max_side_px + 1, 1), np.uint8)), io.BytesIO(), format=row)
    assert str(row.max_side_px) in caught.value.message
    assert caught.value.exit_code == ExitCode.OUTPUT
    wide = Image.new("L", (row.max_side_px + 1, 1))
    with pytest.raises((OSError, ValueError, RuntimeError, OverflowError)):
        wide.save(io.BytesIO(), row.pillow_name)


@pytest.mark.parametrize(
    ("name", "size"), [("jpg", (70_000, 10)), ("webp", (10, 16_384)), ("bmp", (60_000, 60_000))]
)
def test_limits_are_known_before_any_work(name, size):
    with pytest.raises(OutputError) as caught:
        check_size(FORMATS[name], size, name="big.x")
    assert "big.x would be" in caught.value.message and name in caught.value.message
    assert "png" in (caught.value.hint or "")
    check_size(FORMATS["png"], size)
