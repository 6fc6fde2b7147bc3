"""Host work is done in threads beside a device, and in its turn on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from upscale.engine.beside import THREADS, Beside


@dataclass(frozen=True)
class Recipe:
    """Makes what its function returns; equal to others of the same number."""

    make: Callable[[], Any]
    number: int

    def __call__(self) -> Any:
        return self.make()


def test_things_are_made_ahead() -> None:
    made = threading.Event()

    def thread() -> str:
        made.set()
        return threading.current_thread().name

    with Beside(threaded=True) as beside:
        beside.make_ahead([thread])
        assert made.wait(30)  # though nobody has asked for it yet
        assert beside.take(thread).startswith("ahead")
        assert not beside.take(thread).startswith("ahead")  # it is given once


def test_several_are_made_at_once() -> None:
    together = threading.Barrier(THREADS)
    recipes = [Recipe(partial(together.wait, 30), i) for i in range(THREADS)]
    with Beside(threaded=True) as beside:
        beside.make_ahead(recipes)
        assert {beside.take(recipe) for recipe in recipes} == set(range(THREADS))


def test_equal_recipes_are_one() -> None:
    made: list[int] = []

    def make() -> None:
        made.append(1)

    with Beside(threaded=True) as beside:
        beside.make_ahead([Recipe(make, 1), Recipe(make, 1)])
        beside.take(Recipe(make, 1))
    assert made == [1]


def test_what_is_forgotten_is_made_anew() -> None:
    with Beside(threaded=True) as beside:
        beside.make_ahead([threading.current_thread])
        beside.forget()
        assert beside.take(threading.current_thread) is threading.current_thread()


def test_what_is_forgotten_is_not_begun() -> None:
    go, begun = threading.Event(), []

    def late() -> None:
        begun.append(1)

    def later() -> int:
        return 2

    with Beside(threaded=True) as beside:
        beside.make_ahead(Recipe(partial(go.wait, 30), i) for i in range(THREADS))
        beside.make_ahead([late])
        beside.forget()
        go.set()
        beside.make_ahead([later])
        assert beside.take(later) == 2 and not begun


def test_tasks_are_done_in_order_while_others_go_on() -> None:
    go, done = threading.Event(), []
    with Beside(threaded=True) as beside:
        beside.do(lambda: go.wait(30) and done.append(1))
        assert not done
        go.set()
        beside.do(lambda: done.append(2))
        beside.wait()
        assert done == [1, 2]
    assert not any(thread.name.startswith(("ahead", "behind")) for thread in threading.enumerate())


@pytest.mark.parametrize("threaded", [False, True])
def test_what_goes_wrong_there_is_said_here(threaded: bool) -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    with Beside(threaded=threaded) as beside:
        beside.make_ahead([fail])
        with pytest.raises(OSError, match="full"):
            beside.take(fail)
        with pytest.raises(OSError, match="full"):
            beside.do(fail)
            beside.wait()
        beside.wait()  # said once


def test_without_threads_all_is_done_in_its_turn() -> None:
    done: list[int] = []
    with Beside(threaded=False) as beside:
        beside.make_ahead([lambda: done.append(0)])
        assert not done
        assert beside.take(threading.current_thread) is threading.current_thread()
        beside.do(lambda: done.append(1))
        assert done == [1]
