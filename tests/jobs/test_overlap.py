"""Reading, upscaling and writing run beside each other, bounded, and end in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from upscale.errors import ExitCode
from upscale.jobs import steps
from upscale.jobs.listener import Listener
from upscale.jobs.plan import plan
from upscale.jobs.report import Outcome, Status
from upscale.jobs.request import Request
from upscale.jobs.run import run

Ask = Callable[..., Request]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]

PATIENCE_S = 20.0


class Ends(Listener):
    def __init__(self) -> None:
        self.names: list[str] = []

    def finished(self, outcome: Outcome) -> None:
        self.names.append(outcome.source.stem)


def test_next_is_read_while_this_one_is_computed(
    photo: Photo, request_for: Ask, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_read = threading.Event()
    read = steps.read

    def watched(path: Path, **options: Any) -> Any:
        if path.stem == "b":
            second_read.set()
        return read(path, **options)

    monkeypatch.setattr(steps, "read", watched)
    engine.hook = lambda picture: second_read.wait(PATIENCE_S) or pytest.fail("nobody reads ahead")
    assert run(plan(request_for(photo("a.png"), photo("b.png"))), load=engine).exit_code == ExitCode.OK


def test_last_is_written_while_this_one_is_computed(
    photo: Photo, request_for: Ask, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_computed = threading.Event()
    write = steps.write

    def waiting(picture: Any, path: Path, **options: Any) -> Any:
        assert path.stem != "a_4x" or second_computed.wait(PATIENCE_S)
        return write(picture, path, **options)

    monkeypatch.setattr(steps, "write", waiting)
    engine.hook = lambda picture: picture.size == (5, 5) and second_computed.set()
    listener = Ends()
    settled = plan(request_for(photo("a.png"), photo("b.png", size=(5, 5)), photo("c.png")))
    assert run(settled, load=engine, listener=listener).exit_code == ExitCode.OK
    assert listener.names == ["a", "b", "c"]


def test_end_is_told_before_the_next_one_ends(photo: Photo, request_for: Ask, engine: Any) -> None:
    """The engine's progress is when there is time to tell."""
    listener = Ends()

    def progressed(jobs: Any, progress: Any) -> None:
        (job,) = jobs
        if job.source.stem == "b" and progress.done == 1:
            time.sleep(0.3)  # for writing a.png
        elif job.source.stem == "b":
            assert listener.names == ["a"]

    listener.progressed = progressed  # type: ignore[method-assign]
    settled = plan(request_for(photo("a.png"), photo("b.png")))
    assert not run(settled, load=engine, listener=listener).failed


def test_memory_is_bounded(
    photo: Photo, request_for: Ask, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow writing is, one picture is read ahead and one result waits for the disk."""
    count = {"read": 0, "computed": 0, "written": 0}
    most = {"pictures": 0, "results": 0}
    lock = threading.Lock()
    read, write = steps.read, steps.write

    def tell(kind: str) -> None:
        with lock:
            count[kind] += 1
            most["pictures"] = max(most["pictures"], count["read"] - count["computed"])
            most["results"] = max(most["results"], count["computed"] - count["written"])

    def counted(path: Path, **options: Any) -> Any:
        tell("read")
        return read(path, **options)

    def slow(picture: Any, path: Path, **options: Any) -> Any:
        time.sleep(0.05)
        try:
            return write(picture, path, **options)
        finally:
            tell("written")

    monkeypatch.setattr(steps, "read", counted)
    monkeypatch.setattr(steps, "write", slow)
    engine.hook = lambda picture: tell("computed")
    settled = plan(request_for(*(photo(f"{number}.png") for number in range(8))))
    assert run(settled, load=engine).exit_code == ExitCode.OK
    assert count == {"read": 8, "computed": 8, "written": 8}
    assert most["pictures"] <= 2 and most["results"] <= 2


def test_interrupt_lets_the_result_that_is_being_written_end(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = steps.write

    def slow(picture: Any, path: Path, **options: Any) -> Any:
        time.sleep(0.2)
        return write(picture, path, **options)

    def interrupt(picture: Any) -> None:
        if picture.size == (5, 5):
            raise KeyboardInterrupt

    monkeypatch.setattr(steps, "write", slow)
    engine.hook = interrupt
    listener = Ends()
    settled = plan(request_for(photo("a.png"), photo("b.png", size=(5, 5)), photo("c.png")))
    before = listing()
    with pytest.raises(KeyboardInterrupt):
        run(settled, load=engine, listener=listener)
    assert set(listing()) - set(before) == {"a_4x.png"} and listener.names == ["a"]


def test_failures_of_writing_are_the_file_s_own(
    photo: Photo, request_for: Ask, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = steps.write

    def failing(picture: Any, path: Path, **options: Any) -> Any:
        if path.stem == "a_4x":
            raise MemoryError
        return write(picture, path, **options)

    monkeypatch.setattr(steps, "write", failing)
    report = run(plan(request_for(photo("a.png"), photo("b.png"))), load=engine)
    assert [outcome.status for outcome in report.outcomes] == [Status.FAILED, Status.DONE]
    assert "not enough memory for" in str(report.outcomes[0].error)


def test_fail_fast_waits_for_the_writing(
    photo: Photo, request_for: Ask, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        time.sleep(0.1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(steps, "write", failing)
    computed: list[Any] = []
    engine.hook = computed.append
    request = request_for(photo("a.png"), photo("b.png"), photo("c.png"))
    report = run(plan(Request(**{**vars(request), "fail_fast": True})), load=engine)
    assert [o.status for o in report.outcomes] == [Status.FAILED, Status.CANCELLED, Status.CANCELLED]
    assert len(computed) == 1


def test_many_in_order(photo: Photo, request_for: Ask, engine: Any) -> None:
    paths = [photo(f"{number}.png") for number in range(12)]
    for number in (0, 5, 11):
        paths[number].write_bytes(paths[number].read_bytes()[:-40])
    photo("3_4x.png", size=(48, 32))
    listener = Ends()
    report = run(plan(request_for(*paths, on_conflict="skip")), load=engine, listener=listener)
    assert listener.names == [str(number) for number in range(12)]
    assert [report.count(status) for status in (Status.DONE, Status.SKIPPED, Status.FAILED)] == [8, 1, 3]
