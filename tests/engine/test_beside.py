"""Host work is done in threads beside a device, and in its turn on a CPU."""

from __future__ import annotations

import threading

import pytest

from upscale.engine.beside import THREADS, Beside


def test_things_are_made_ahead() -> None:
    made = threading.Event()
    with Beside(threaded=True) as beside:
        beside.make_ahead({"a": lambda: made.set() or threading.current_thread().name}.items())
        assert made.wait(30)  # though nobody has asked for it yet
        assert beside.take("a", lambda: "now").startswith("ahead")
        assert beside.take("a", lambda: "now") == "now"  # it is given once


def test_several_are_made_at_once() -> None:
    together = threading.Barrier(THREADS)
    with Beside(threaded=True) as beside:
        beside.make_ahead({i: lambda: together.wait(30) for i in range(THREADS)}.items())
        assert {beside.take(i, lambda: -1) for i in range(THREADS)} == set(range(THREADS))


def test_what_is_forgotten_is_made_anew() -> None:
    with Beside(threaded=True) as beside:
        beside.make_ahead({"a": lambda: "before"}.items())
        beside.forget()
        assert beside.take("a", lambda: "now") == "now"


def test_what_is_forgotten_is_not_begun() -> None:
    go, begun = threading.Event(), []
    with Beside(threaded=True) as beside:
        beside.make_ahead({i: lambda: go.wait(30) for i in range(THREADS)}.items())
        beside.make_ahead({"late": lambda: begun.append(1)}.items())
        beside.forget()
        go.set()
        beside.make_ahead({"later": lambda: 2}.items())
        assert beside.take("later", lambda: 1) == 2 and not begun


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
        beside.make_ahead({"a": fail}.items())
        with pytest.raises(OSError, match="full"):
            beside.take("a", fail)
        with pytest.raises(OSError, match="full"):
            beside.do(fail)
            beside.wait()
        beside.wait()  # said once


def test_without_threads_all_is_done_in_its_turn() -> None:
    done: list[int] = []
    with Beside(threaded=False) as beside:
        beside.make_ahead({"a": lambda: done.append(0)}.items())
        assert not done
        assert beside.take("a", threading.current_thread) is threading.current_thread()
        beside.do(lambda: done.append(1))
        assert done == [1]
