"""Several devices share the files: each takes the next one; one that fails leaves its files to the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from upscale.errors import DeviceError, ExitCode, WeightsError
from upscale.images.picture import Picture
from upscale.jobs.items import Job
from upscale.jobs.listener import Listener
from upscale.jobs.plan import plan
from upscale.jobs.report import Outcome, Status
from upscale.jobs.request import Request
from upscale.jobs.run import run
from upscale.options import EngineOptions

Ask = Callable[..., Request]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]
PATIENCE_S = 20.0


class Diary(Listener):
    def __init__(self) -> None:
        self.entries: list[str] = []
        self.names: list[str] = []
        self.thread = threading.current_thread()

    def loaded(self, engine: Any) -> None:
        assert threading.current_thread() is self.thread
        self.entries.append("loaded")

    def gave_up(self, device: str, error: Exception) -> None:
        self.entries.append(f"{device} gave up: {error}")

    def progressed(self, jobs: Sequence[Job], progress: Any) -> None:
        assert threading.current_thread() is self.thread

    def finished(self, outcome: Outcome) -> None:
        assert threading.current_thread() is self.thread
        self.names.append(outcome.source.stem)


class Pair:
    """Loads an engine for each device; `hook(number, picture)` is called before each picture."""

    def __init__(self, kind: Callable[[], Any]) -> None:
        self.kind = kind
        self.lock = threading.Lock()
        self.devices: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.done: list[int] = []
        self.hook: Callable[[int, Picture], None] = lambda number, picture: None

    def __call__(self, options: EngineOptions) -> Any:
        with self.lock:
            number = len(self.devices)
            self.devices.append(options.device)
        engine = self.kind()

        def hook(picture: Picture) -> None:
            self.hook(number, picture)
            with self.lock:
                self.threads.add(threading.current_thread())
                self.done.append(number)

        engine.hook = hook
        return engine


@pytest.fixture
def pair(engine: Any) -> Pair:
    return Pair(type(engine))


def test_they_work_beside_each_other(photo: Photo, request_for: Ask, pair: Pair) -> None:
    """Each picture waits for one on the other device: one after the other would never end."""
    meeting = threading.Barrier(2)
    pair.hook = lambda number, picture: (meeting.wait(PATIENCE_S), None)[1]
    names = [photo(f"{n}.png", seed=n) for n in range(8)]
    listener = Diary()
    report = run(plan(request_for(*names, device="cpu,cpu")), load=pair, listener=listener)
    assert report.exit_code == ExitCode.OK and pair.devices == ["cpu", "cpu"]
    assert len(pair.threads) == 2 and sorted(pair.done) == [0] * 4 + [1] * 4
    assert listener.names == [str(n) for n in range(8)] and listener.entries == ["loaded", "loaded"]


def test_a_slow_one_holds_nobody_up(photo: Photo, request_for: Ask, pair: Pair) -> None:
    """The first picture takes until all others are done; its end is told first all the same."""
    others = threading.Semaphore(0)

    def hook(number: int, picture: Picture) -> None:
        if picture.size == (5, 5):
            assert all(others.acquire(timeout=PATIENCE_S) for _ in range(7))
        else:
            others.release()

    pair.hook = hook
    names = [photo("0.png", size=(5, 5)), *(photo(f"{n}.png") for n in range(1, 8))]
    listener = Diary()
    report = run(plan(request_for(*names, device="cpu,cpu")), load=pair, listener=listener)
    assert report.exit_code == ExitCode.OK and listener.names == [str(n) for n in range(8)]


def test_results_do_not_depend_on_their_number(
    photo: Photo, request_for: Ask, pair: Pair, tmp_path: Path
) -> None:
    names = [photo(f"{n}.png", seed=n) for n in range(5)]
    for devices in ("cpu", "cpu,cpu", "cpu,cpu,cpu"):
        run(plan(request_for(*names, device=devices, output=f"{tmp_path}/{devices}/")), load=pair)
    for path in (tmp_path / "cpu").iterdir():
        for devices in ("cpu,cpu", "cpu,cpu,cpu"):
            assert path.read_bytes() == (tmp_path / devices / path.name).read_bytes()


@pytest.mark.parametrize("others_wait", [True, False])
def test_a_device_that_fails_leaves_its_files_to_the_others(
    others_wait: bool, photo: Photo, request_for: Ask, pair: Pair
) -> None:
    """Also when the others had nothing left to do by then."""
    failed, ended = threading.Event(), threading.Semaphore(0)

    def hook(number: int, picture: Picture) -> None:
        if number == 0:
            if others_wait:
                failed.set()
            else:
                assert all(ended.acquire(timeout=PATIENCE_S) for _ in range(5))
            raise DeviceError("cuda:0 ran out of memory even with tiles of 32 pixels.")
        assert failed.wait(PATIENCE_S) or not others_wait
        ended.release()

    if not others_wait:
        failed.set()
    pair.hook = hook
    names = [photo(f"{n}.png", seed=n) for n in range(6)]
    listener = Diary()
    report = run(plan(request_for(*names, device="cpu,cpu")), load=pair, listener=listener)
    assert report.exit_code == ExitCode.OK and listener.names == [str(n) for n in range(6)]
    assert [e for e in listener.entries if "gave up" in e] == [
        "cpu gave up: cuda:0 ran out of memory even with tiles of 32 pixels."
    ]


def test_the_last_device_keeps_its_failures(photo: Photo, request_for: Ask, pair: Pair) -> None:
    """One picture is too much for every device: it fails, the others do not."""

    def hook(number: int, picture: Picture) -> None:
        if picture.size == (5, 5):
            raise DeviceError("too much")

    pair.hook = hook
    names = [photo(f"{n}.png", size=(5, 5) if n == 2 else (12, 8)) for n in range(6)]
    report = run(plan(request_for(*names, device="cpu,cpu")), load=pair)
    assert [o.status for o in report.outcomes] == [Status.FAILED if n == 2 else Status.DONE for n in range(6)]


def test_a_device_without_room_for_the_weights(photo: Photo, request_for: Ask, engine: Any) -> None:
    lock, loads = threading.Lock(), []

    def load(options: EngineOptions) -> Any:
        with lock:
            loads.append(options)
            if len(loads) == 1:
                raise DeviceError("cuda:0 has not enough memory for the model.")
        return type(engine)()

    names = [photo(f"{n}.png") for n in range(4)]
    listener = Diary()
    report = run(plan(request_for(*names, device="cpu,cpu")), load=load, listener=listener)
    assert report.exit_code == ExitCode.OK and len(listener.entries) == 2


def test_no_device_has_room(photo: Photo, request_for: Ask) -> None:
    def load(options: EngineOptions) -> Any:
        raise DeviceError("not enough memory for the model")

    with pytest.raises(DeviceError, match="not enough"):
        run(plan(request_for(photo("a.png"), photo("b.png"), device="cpu,cpu")), load=load)


def test_weights_that_are_missing_end_everything(photo: Photo, request_for: Ask, listing: Listing) -> None:
    def load(options: EngineOptions) -> Any:
        raise WeightsError("The weights are damaged.")

    names = [photo(f"{n}.png") for n in range(4)]
    before = listing()
    with pytest.raises(WeightsError):
        run(plan(request_for(*names, device="cpu,cpu")), load=load)
    assert listing() == before


def test_interrupt_stops_all(photo: Photo, request_for: Ask, pair: Pair, listing: Listing) -> None:
    """Ctrl-C reaches the thread that listens; the engines stop at their next report."""
    names = [photo(f"{n}.png") for n in range(30)]
    listener = Diary()

    def interrupt(outcome: Outcome) -> None:
        listener.names.append(outcome.source.stem)
        if len(listener.names) == 2:
            raise KeyboardInterrupt

    listener.finished = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(plan(request_for(*names, device="cpu,cpu")), load=pair, listener=listener)
    assert len(pair.done) < 30
    assert not [name for name in listing() if "part" in name]


def test_a_bug_of_the_listener_ends_the_run(photo: Photo, request_for: Ask, pair: Pair) -> None:
    listener = Diary()

    def broken(*_: Any) -> None:
        raise BrokenPipeError

    listener.progressed = broken  # type: ignore[method-assign]
    names = [photo(f"{n}.png") for n in range(10)]
    with pytest.raises(BrokenPipeError):
        run(plan(request_for(*names, device="cpu,cpu")), load=pair, listener=listener)


def test_fail_fast_begins_nothing_more(photo: Photo, request_for: Ask, pair: Pair) -> None:
    def hook(number: int, picture: Picture) -> None:
        raise ValueError("oops")

    pair.hook = hook
    names = [photo(f"{n}.png") for n in range(10)]
    request = Request(**{**vars(request_for(*names, device="cpu,cpu")), "fail_fast": True})
    report = run(plan(request), load=pair)
    assert 1 <= report.count(Status.FAILED) <= 2
    assert report.count(Status.FAILED) + report.count(Status.CANCELLED) == 10


@pytest.mark.parametrize("bad", range(4))
def test_bad_files_among_good_ones(bad: int, photo: Photo, request_for: Ask, pair: Pair) -> None:
    names = [photo(f"{n}.png") for n in range(4)]
    settled = plan(request_for(*names, device="cpu,cpu,cpu"))
    names[bad].write_bytes(names[bad].read_bytes()[:-40])
    listener = Diary()
    report = run(settled, load=pair, listener=listener)
    assert report.exit_code == ExitCode.PARTIAL and [o.source.stem for o in report.failed] == [str(bad)]
    assert listener.names == list("0123")
