"""The tables of a run tell each step once, whatever stopped it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from upscale.errors import OutputError
from upscale.training.evaluation import scores
from upscale.training.examples.photos import Photos
from upscale.training.loop import log, table
from upscale.training.loop.begin import start
from upscale.training.loop.state import State
from upscale.training.loop.train import train
from upscale.training.recipe import Recipe

COLUMNS = ("step", "loss", "detours")


@pytest.fixture
def state_at(recipe: Recipe) -> Callable[[int, int], State]:
    def build(step: int, detours: int) -> State:
        state = start(recipe, "cpu")
        state.step, state.detours = step, detours
        return state

    return build


def test_what_a_killed_run_does_again_is_told_once(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    """The tables were ahead of the state that was saved last."""
    train(recipe, images, tmp_path, steps=50)
    for name, columns in (("log.csv", log.COLUMNS), ("scores.csv", scores.COLUMNS)):
        ahead = [dict.fromkeys(columns, "") | {"step": step} for step in (50, 100)]
        table.append(tmp_path / name, columns, ahead[1:] if name == "log.csv" else ahead)
    train(recipe, images, tmp_path, steps=100)
    for name, steps in (("log.csv", ["50", "100"]), ("scores.csv", ["50"])):
        rows = (tmp_path / name).read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == steps


@pytest.mark.parametrize(
    ("step", "detours", "kept"),
    [
        (0, 0, []),
        (100, 0, ["50,1,0", "100,2,0"]),
        (70, 1, ["50,1,0", "100,2,0"]),  # the step 100 that the return has undone was done
        (100, 1, ["50,1,0", "100,2,0", "100,3,1"]),
    ],
)
def test_rows_of_before_a_return_stay(
    step: int, detours: int, kept: list[str], state_at: Callable[[int, int], State], tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss,detours\n50,1,0\n100,2,0\n100,3,1\n")
    table.cut(path, COLUMNS, state_at(step, detours))
    assert path.read_text().splitlines() == ["step,loss,detours", *kept]


@pytest.mark.parametrize("left", ["1", "100", "100,0.", "100,0.5150,0.4,0", "\x00\x00", "what,is,this"])
def test_a_row_that_is_not_whole_goes(
    left: str, state_at: Callable[[int, int], State], tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"step,loss,detours\r\n50,1,0\r\n" + left.encode())
    table.cut(path, COLUMNS, state_at(200, 0))
    table.append(path, COLUMNS, [{"step": 250, "loss": 2, "detours": 0}])
    assert path.read_text().splitlines() == ["step,loss,detours", "50,1,0", "250,2,0"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"log\.csv cannot be written: the disk is full"):
        table.append(tmp_path / "log.csv", COLUMNS, [])
