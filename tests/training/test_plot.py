"""The plot of a run: which rows it takes, and that a picture comes of it."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from upscale.training.__main__ import app
from upscale.training.evaluation.plot import column, rows_of, smoothed

LOG = "step,loss,detours\n50,0.6,0\n100,0.5,0\n150,0.9,0\n100,0.5,1\n150,0.4,1\n"
SCORES = "step,setting,psnr_y,lpips,drift\n100,ddim 1,27.5,0.44,0.1\n100,ddim 4,27.0,0.35,0.1\n"


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a-run"
    folder.mkdir()
    (folder / "log.csv").write_text(LOG)
    return folder


def test_what_a_return_has_undone_is_left_out(run: Path) -> None:
    steps, losses = column(rows_of(run / "log.csv"), "loss")
    assert (steps, losses) == ([50, 100, 150], [0.6, 0.5, 0.4])
    assert column(rows_of(run / "log.csv"), "lpips") == ([], [])


def test_several_rows_of_one_step_are_kept(run: Path) -> None:
    (run / "scores.csv").write_text(SCORES)
    assert column(rows_of(run / "scores.csv"), "psnr_y") == ([100, 100], [27.5, 27.0])


def test_smoothing() -> None:
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smoothed([0.0, 1.0], memory=0.5) == pytest.approx([0, 1 / 1.5])
    assert smoothed([]) == []


@pytest.mark.parametrize(
    ("scores", "panels"), [(None, 1), (SCORES, 3), (SCORES.replace("0.44", "").replace("0.35", ""), 2)]
)
def test_the_picture(scores: str | None, panels: int, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    if scores:
        (run / "scores.csv").write_text(scores)
    result = call("plot", run, run, "-o", tmp_path / "x.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (800, 300 * panels)
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20


def test_a_critic_has_a_panel_of_its_own(run: Path, tmp_path: Path) -> None:
    """Also beside a run that has none."""
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    taught = tmp_path / "taught"
    taught.mkdir()
    (taught / "log.csv").write_text("step,loss,critic\n50,0.6,0.1\n100,0.5,0.8\n")
    for runs, panels in (([taught], 2), ([run, taught], 2), ([run], 1)):
        assert call("plot", *runs, "-o", tmp_path / "x.png").exit_code == 0
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.size == (800, 300 * panels)


def test_without_matplotlib(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    result = call("plot", run, "-o", tmp_path / "x.png")
    assert result.exit_code == 2 and "upscale[plot]" in result.stderr


@pytest.mark.parametrize("log", [None, "nothing", "step,loss\nx,1\n", "step,loss\n1\n2,y\n"])
def test_folders_without_a_log(log: str | None, run: Path, tmp_path: Path) -> None:
    (run / "log.csv").unlink()
    if log is not None:
        (run / "log.csv").write_text(log)
    result = call("plot", run, "-o", tmp_path / "x.png")
    assert result.exit_code == 3 and "cannot be read as the log" in result.stderr, result.output


def test_a_run_that_has_just_begun_is_left_out(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    (tmp_path / "new").mkdir()
    result = call("plot", tmp_path / "new", run, "-o", tmp_path / "x.png")
    assert (
        result.exit_code == 0 and "new has no log yet" in result.stderr and "a-run has" not in result.stderr
    )


@pytest.mark.parametrize(("name", "code"), [("x.nonsense", 2), ("none/x.png", 4)])
def test_pictures_that_cannot_be(name: str, code: int, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    result = call("plot", run, "-o", tmp_path / name)
    assert result.exit_code == code and "Traceback" not in result.output
