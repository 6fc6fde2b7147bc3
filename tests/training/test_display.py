"""What is shown while a run goes on."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from upscale.training import recipe as recipes
from upscale.training.evaluation.evaluate import Score, Setting
from upscale.training.loop.begin import start
from upscale.training.loop.display import Lines, Live, Pace, clock, display
from upscale.training.loop.log import Report
from upscale.training.loop.state import State

REPORT = Report(50, 9.5, 0.5123, 0.6, None, 0.25, 3, 1e-3, 0.042, 16384.0, 0)


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=110, color_system=None)


def text_of(shown: Lines) -> str:
    file = shown.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture
def state(recipe_file: Callable[..., Path]) -> State:
    state = start(recipes.load(str(recipe_file())), "cpu")
    state.step, state.losses, state.skipped, state.detours = 120, [0.4566, 0.4568], 3, 1
    return state


def test_a_terminal_gets_a_picture_and_anything_else_lines() -> None:
    assert type(display(console(True), 10, None)) is Live
    assert type(display(console(False), 10, None)) is Lines


def test_lines(state: State) -> None:
    with display(console(False), 200, None) as shown:
        shown.stepped(state)
        shown.reported(REPORT)
        shown.scored(
            120, {Setting("ddim", 1): Score(28.184, 0.4161, 0.1), Setting("ddim", 4): Score(27, None, 0)}
        )
    first, second = text_of(shown).splitlines()
    assert first == (
        "step 50  loss 0.5123 (high 0.6000, low 0.0000)  norm 0.250  skipped 3  loading 4.2%  16.4 kpx/s"
    )
    assert second == "step 120  ddim 1: 28.18 dB / 0.416  ddim 4: 27.00 dB"


def test_the_live_picture(state: State) -> None:
    shown = display(console(True), 200, None)
    with shown:
        shown.stepped(state)
        for step in range(50, 450, 50):
            shown.reported(Report(step, *list(vars(REPORT).values())[1:]))
        shown.scored(100, {Setting("ddim", 4): Score(27.6, 0.328, 0.1)})
    last = text_of(shown)[-1500:]
    assert "step 120/200" in last and "loss 0.4567" in last and "skipped 3" in last and "returns 1" in last
    assert " left" in last and "4.2%" in last and "ddim 4" in last and "27.60 dB / 0.328" in last
    steps = [line.split()[0] for line in last.splitlines() if line.endswith("16.4  ")]
    assert steps[-5:] == ["200", "250", "300", "350", "400"]  # the last lines of the log only


def test_pace_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(steps=60, minutes=None)
    assert pace.left_s is None and pace.share is None
    for step in range(21, 31):  # a run that was at step 20
        now[0] += 2
        pace.at(step)
    assert (pace.elapsed_s, pace.left_s, pace.share) == (20, 60, 0.25)
    pace.at(25)  # back at a good state
    assert pace.left_s == pytest.approx(35 * 20 / 11) and pace.share == 0.125


def test_pace_by_minutes_and_by_whichever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    timed, both, endless = Pace(None, 2), Pace(1000, 2), Pace(None, None)
    now[0] = 30
    for pace in (timed, both, endless):
        pace.at(1)
    assert (timed.left_s, timed.share) == (90, 0.25)
    assert (both.left_s, both.share) == (90, 0.25)
    assert (endless.left_s, endless.share) == (None, None)
    now[0] = 200
    assert (timed.left_s, timed.share) == (0, 1)


def test_durations() -> None:
    assert [clock(s) for s in (0, 59.6, 3725)] == ["0:00:00", "0:01:00", "1:02:05"]
