"""`--fidelity`, `--preset`, `--samples` and `--uncertainty`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Cli = Callable[..., Any]
Photo = Callable[..., Path]


def test_presets(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    path = photo("a.png")
    assert cli(path, "--preset", "vivid", "--steps", 2, "-o", tmp_path / "v.png").exit_code == 0
    assert cli(path, "--preset", "faithful", "-o", tmp_path / "f.png").exit_code == 0
    assert cli(path, "--steps", 1, "-o", tmp_path / "one.png").exit_code == 0
    vivid, faithful, one = (Image.open(tmp_path / f"{name}.png").tobytes() for name in ("v", "f", "one"))
    assert vivid != faithful == one


def test_start(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    path = photo("a.png")
    pictures = {}
    for start in ("1", "0.7", None):
        target = tmp_path / f"{start}.png"
        given = () if start is None else ("--start", start)
        assert cli(path, *given, "--steps", 2, "-o", target).exit_code == 0
        pictures[start] = Image.open(target).tobytes()
    assert pictures["1"] == pictures[None] != pictures["0.7"]
    shown = cli("info", tmp_path / "0.7.png", defaults=False)
    assert "start 0.7" in " ".join(shown.stdout.split())
    again = cli(path, "--steps", 2, "-o", tmp_path / "0.7.png", "--skip-existing")
    assert again.exit_code == 0 and "start" in again.stderr
    planned = cli(path, "--start", 0.7, "-o", tmp_path / "new.png", "--dry-run")
    assert "start 0.7" in planned.stdout + planned.stderr


def test_map(cli: Cli, photo: Photo, tmp_path: Path, listing: Callable[[], object]) -> None:
    path = photo("a.jpg")
    asked = (path, "--steps", 2, "--samples", 3, "--uncertainty", tmp_path / "maps" / "a.png")
    result = cli(*asked)
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "maps" / "a.png") as map_:
        assert (map_.mode, map_.size) == ("L", (48, 32))
    before = listing()
    again = cli(
        path,
        "--steps",
        2,
        "--samples",
        3,
        "--uncertainty",
        tmp_path / "maps" / "a.png",
        "-o",
        tmp_path / "b.jpg",
    )
    assert again.exit_code == 4 and "exists already" in again.stderr
    assert listing() == before
    assert (
        cli(
            path, "--steps", 2, "--samples", 3, "--uncertainty", tmp_path / "maps" / "a.png", "--overwrite"
        ).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--uncertainty", "u.png", "--steps", 2], "several"),
        (["--uncertainty", "u.png", "--samples", 4, "--steps", 1], "several"),
        (["--uncertainty", "u.xyz", "--samples", 4, "--steps", 2], "cannot be written as .xyz"),
        (["--uncertainty", "big.png", "--samples", 4, "--steps", 2, "-o", "big.png"], "own file"),
        (["--samples", 0], "--samples 0"),
        (["--samples", 65], "--samples 65"),
        (["--start", 0], "--start 0"),
        (["--start", 1.5], "--start 1.5"),
        (["--fidelity", 1.5], "--fidelity 1.5"),
        (["--fidelity", "nan"], "--fidelity nan"),
        (["--fidelity", 1, "--steps", 4], "single step"),
        (["--fidelity", 1, "--preset", "vivid"], "exclude"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_what_makes_no_sense(
    options: list[object], says: str, cli: Cli, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli(photo("a.jpg"), *options)
    assert result.exit_code == 2 and says.lower() in result.stderr.replace("\n", " ").lower()
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_one_map_is_not_for_several_photos(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    result = cli(
        photo("a.jpg"), photo("b.jpg"), "--steps", 2, "--samples", 2, "--uncertainty", tmp_path / "u.png"
    )
    assert result.exit_code == 2 and "one by one" in result.stderr


TWICE = ("--steps", 2, "--samples", 2)


@pytest.mark.parametrize(
    ("map_", "says"),
    [
        ("a.png", "the input itself"),
        ("sub/../a.png", "the input itself"),
        ("sub/../a_4x.png", "the result's own file"),
        ("to-input.png", "the input itself"),
        ("to-result.png", "the result's own file"),
        ("link/a_4x.png", "the result's own file"),
    ],
)
def test_map_never_replaces_the_input_or_the_result(
    map_: str, says: str, cli: Cli, photo: Photo, tmp_path: Path, listing: Callable[[], object]
) -> None:
    path = photo("a.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(".")
    (tmp_path / "to-input.png").symlink_to("a.png")
    (tmp_path / "to-result.png").symlink_to("a_4x.png")  # which is not there yet
    before = listing()
    result = cli(path, *TWICE, "--uncertainty", tmp_path / map_, "--overwrite")
    assert result.exit_code == 2 and says in result.stderr
    assert listing() == before


def test_place_of_the_map_is_looked_at_before_any_work(
    cli: Cli, photo: Photo, tmp_path: Path, listing: Callable[[], object]
) -> None:
    path = photo("a.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    before = listing()
    for place, says in (("file/u.png", "is not a folder"), ("folder.png", "is a folder")):
        result = cli(path, *TWICE, "--uncertainty", tmp_path / place, "-v", "--overwrite")
        assert result.exit_code == 4 and says in result.stderr and "Using model" not in result.stderr
    assert listing() == before


def test_map_that_fails_is_not_called_skipped(
    cli: Cli, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in its place has come there since planning."""
    path, map_ = photo("a.png"), tmp_path / "maps" / "u.png"
    monkeypatch.setattr("upscale.jobs.uncertainty.check", lambda items, files: None)
    map_.parent.mkdir()
    map_.write_bytes(b"somebody else's")
    result = cli(path, *TWICE, "--uncertainty", map_, "--skip-existing")
    assert result.exit_code == 4 and f"{map_} exists already" in result.stderr
    result = cli(path, *TWICE, "--uncertainty", map_ / "u.png", "--overwrite")
    assert result.exit_code == 4 and "u.png cannot be written" in result.stderr
    assert map_.read_bytes() == b"somebody else's"


def test_map_where_there_is_nothing_to_do(cli: Cli, photo: Photo, tmp_path: Path) -> None:
    path, map_ = photo("photos/a.png"), tmp_path / "u.png"
    asked = (*TWICE, "--uncertainty", map_)
    assert cli(path, *asked).exit_code == 0
    assert cli(path, *asked, "--skip-existing").exit_code == 0
    path.unlink()  # what is left in the folder is a result
    assert cli(path.parent, *asked).exit_code == 0
