"""What `-o` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.errors import UsageError
from upscale.jobs.destination import Destination, Kind, settle


def test_nothing_is_beside_the_input() -> None:
    assert settle(None, inputs=3) == Destination(Kind.BESIDE)


def test_dash_is_stdout_for_one_input_only() -> None:
    assert settle("-", inputs=1) == Destination(Kind.STDOUT)
    with pytest.raises(UsageError, match="2 inputs cannot all go to standard output"):
        settle("-", inputs=2)


def test_slash_at_the_end_is_a_folder_that_may_be_missing(tmp_path: Path) -> None:
    assert settle(f"{tmp_path}/new/", inputs=2) == Destination(Kind.FOLDER, tmp_path / "new")


def test_existing_folder_needs_no_slash(tmp_path: Path) -> None:
    assert settle(str(tmp_path), inputs=2).kind is Kind.FOLDER


def test_anything_else_is_a_file_for_one_input_only(tmp_path: Path) -> None:
    name = str(tmp_path / "large.png")
    assert settle(name, inputs=1) == Destination(Kind.FILE, Path(name))
    with pytest.raises(UsageError) as caught:
        settle(name, inputs=2)
    assert caught.value.hint is not None and f"{name}/" in caught.value.hint


def test_what_comes_from_a_folder_makes_no_folder_that_looks_like_a_file(tmp_path: Path) -> None:
    for name in ("out.jpg", "out.TIFF"):
        with pytest.raises(UsageError, match="looks like a file") as caught:
            settle(str(tmp_path / name), inputs=2, tree=True)
        assert f"{name}/" in str(caught.value.hint)
        assert settle(f"{tmp_path / name}/", inputs=2, tree=True).kind is Kind.FOLDER
    assert settle(str(tmp_path / "out.new"), inputs=2, tree=True).kind is Kind.FOLDER
    (tmp_path / "out.jpg").mkdir()
    assert settle(str(tmp_path / "out.jpg"), inputs=2, tree=True).kind is Kind.FOLDER


def test_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="empty name"):
        settle("", inputs=1)
