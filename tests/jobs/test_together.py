"""Small files of one size go to the engine together; each still ends on its own, in its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import DeviceError, ExitCode, InputError
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


class Batches:
    """Takes up to four pictures at once and remembers how many came; makes them one by one."""

    def __init__(self, one: Any) -> None:
        self.upscale = one.upscale
        self.loads = 0
        self.seen: list[int] = []
        self.blame: Callable[[Sequence[Picture]], None] = lambda pictures: None

    def __call__(self, options: EngineOptions) -> Batches:
        self.loads += 1
        return self

    def together(self, size: tuple[int, int], target: tuple[int, int]) -> int:
        return 4 if size[0] <= 12 else 1

    def upscale_many(
        self, pictures: Sequence[Picture], size: tuple[int, int], progress: Any = None
    ) -> list[Picture]:
        self.seen.append(len(pictures))
        assert len({picture.size for picture in pictures}) == 1
        self.blame(pictures)
        return [self.upscale(picture, size, progress) for picture in pictures]


class Diary(Listener):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.started_: list[str] = []
        self.thread = threading.current_thread()

    def started(self, jobs: Sequence[Job]) -> None:
        self.started_.append(" ".join(job.source.stem for job in jobs))

    def finished(self, outcome: Outcome) -> None:
        assert threading.current_thread() is self.thread
        self.names.append(outcome.source.stem)


@pytest.fixture
def engine(engine: Any) -> Batches:
    return Batches(engine)


def test_pages_are_no_stills(photo: Photo, request_for: Ask, engine: Batches, tmp_path: Path) -> None:
    """A document among photos of its size keeps its pages."""
    names = [photo(f"{n}.png", seed=n) for n in range(6)]
    document = tmp_path / "3.tif"
    pages = [Image.open(name) for name in names[:3]]
    pages[0].save(document, save_all=True, append_images=pages[1:])
    report = run(plan(request_for(*names[:4], document, *names[4:])), load=engine)
    assert report.exit_code == ExitCode.OK and max(engine.seen) > 1
    with Image.open(tmp_path / "3_4x.tif") as result:
        assert getattr(result, "n_frames", 1) == 3


def test_equal_sizes_go_together(photo: Photo, request_for: Ask, engine: Batches) -> None:
    """The first goes alone, before the engine is there to be asked."""
    names = [photo(f"{n}.png", seed=n) for n in range(10)]
    listener = Diary()
    report = run(plan(request_for(*names)), load=engine, listener=listener)
    assert report.exit_code == ExitCode.OK and engine.loads == 1
    assert engine.seen == [1, 4, 4, 1] and listener.started_ == ["0", "1 2 3 4", "5 6 7 8", "9"]
    assert listener.names == [str(n) for n in range(10)]


def test_results_are_those_of_single_runs(
    photo: Photo, request_for: Ask, engine: Batches, tmp_path: Path
) -> None:
    names = [photo(f"{n}.png", seed=n) for n in range(6)]
    run(plan(request_for(*names, output=f"{tmp_path}/together/")), load=engine)
    assert max(engine.seen) > 1
    for path in names:
        run(plan(request_for(path, output=f"{tmp_path}/alone/")), load=engine)
    for path in (tmp_path / "alone").iterdir():
        assert path.read_bytes() == (tmp_path / "together" / path.name).read_bytes()


def test_sizes_that_take_turns(photo: Photo, request_for: Ask, engine: Batches) -> None:
    """Files of one size are found among others; ends are told in the order of the inputs all the same."""
    names = [photo(f"{n}.png", size=[(12, 8), (8, 12), (50, 50)][n % 3], seed=n) for n in range(12)]
    listener = Diary()
    report = run(plan(request_for(*names)), load=engine, listener=listener)
    assert report.exit_code == ExitCode.OK
    assert listener.names == [str(n) for n in range(12)]
    assert listener.started_ == ["0", "1 4 7 10", "2", "3 6 9", "5", "8", "11"]


def test_outcomes_of_one_size_and_another_target_do_not_mix(
    photo: Photo, request_for: Ask, engine: Batches
) -> None:
    names = [photo(f"{n}.png", size=size) for n, size in enumerate([(12, 8), (8, 12), (12, 8), (6, 12)])]
    assert run(plan(request_for(*names, width=48)), load=engine).exit_code == ExitCode.OK


def test_a_bad_file_does_not_fail_its_mates(photo: Photo, request_for: Ask, engine: Batches) -> None:
    names = [photo(f"{n}.png", seed=n) for n in range(5)]
    settled = plan(request_for(*names))
    names[2].write_bytes(names[2].read_bytes()[:-40])
    listener = Diary()
    report = run(settled, load=engine, listener=listener)
    assert [o.status for o in report.outcomes] == [Status.FAILED if n == 2 else Status.DONE for n in range(5)]
    assert isinstance(report.outcomes[2].error, InputError)
    assert engine.seen == [1, 3] and listener.names == list("01234")


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), MemoryError(), DeviceError("full")], ids=repr)
def test_one_that_cannot_be_computed_does_not_fail_its_mates(
    error: Exception, photo: Photo, request_for: Ask, engine: Batches
) -> None:
    names = [photo(f"{n}.png", mode="L" if n == 3 else "RGB") for n in range(5)]

    def blame(pictures: Sequence[Picture]) -> None:
        if any(picture.is_gray for picture in pictures):
            raise error

    engine.blame = blame
    report = run(plan(request_for(*names)), load=engine)
    assert [o.status for o in report.outcomes] == [Status.FAILED if n == 3 else Status.DONE for n in range(5)]
    assert engine.seen == [1, 4, 1, 1, 1, 1]


def test_interrupt_in_a_batch(photo: Photo, request_for: Ask, engine: Batches, listing: Listing) -> None:
    names = [photo(f"{n}.png", seed=n) for n in range(9)]
    before = listing()

    def blame(pictures: Sequence[Picture]) -> None:
        if len(engine.seen) == 3:
            raise KeyboardInterrupt

    engine.blame = blame
    listener = Diary()
    with pytest.raises(KeyboardInterrupt):
        run(plan(request_for(*names)), load=engine, listener=listener)
    assert set(listing()) - set(before) == {f"{n}_4x.png" for n in range(5)}  # each of them whole
    assert listener.names == list("01234")


def test_ends_held_back_are_told_when_interrupted(photo: Photo, request_for: Ask, engine: Batches) -> None:
    """0, then 1 and 3, then 2: which is interrupted."""
    names = [photo(f"{n}.png", size=(50, 50) if n == 2 else (12, 8)) for n in range(4)]

    def blame(pictures: Sequence[Picture]) -> None:
        if pictures[0].size == (50, 50):
            raise KeyboardInterrupt

    engine.blame = blame
    listener = Diary()
    with pytest.raises(KeyboardInterrupt):
        run(plan(request_for(*names)), load=engine, listener=listener)
    assert listener.names == list("013")


def test_fail_fast_takes_one_at_a_time(photo: Photo, request_for: Ask, engine: Batches) -> None:
    names = [photo(f"{n}.png", mode="L" if n == 2 else "RGB") for n in range(5)]

    def blame(pictures: Sequence[Picture]) -> None:
        if pictures[0].is_gray:
            raise ValueError

    engine.blame = blame
    request = Request(**{**vars(request_for(*names)), "fail_fast": True})
    report = run(plan(request), load=engine)
    assert [report.count(s) for s in (Status.DONE, Status.FAILED, Status.CANCELLED)] == [2, 1, 2]
    assert engine.seen == [1, 1, 1]


def test_what_was_made_meanwhile_is_left_out(photo: Photo, request_for: Ask, engine: Batches) -> None:
    names = [photo(f"{n}.png") for n in range(5)]
    settled = plan(request_for(*names, on_conflict="skip"))

    def blame(pictures: Sequence[Picture]) -> None:
        if len(engine.seen) == 1:
            photo("3_4x.png", size=(48, 32))

    engine.blame = blame
    report = run(settled, load=engine)
    assert [o.status for o in report.outcomes] == [
        Status.SKIPPED if n == 3 else Status.DONE for n in range(5)
    ]
    assert engine.seen == [1, 3]


def animated(path: Path, levels: Sequence[int], size: tuple[int, int] = (10, 6)) -> Path:
    frames = [Image.new("L", size, level) for level in levels]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def test_pages_go_together(request_for: Ask, engine: Batches, tmp_path: Path) -> None:
    """Six pages, of which the second and the third stand still, as does the first of the second four."""
    levels = [10, 10, 10, 40, 40, 60]
    path = animated(tmp_path / "pages.tif", levels)
    report = run(plan(request_for(path)), load=engine)
    assert report.exit_code == ExitCode.OK and engine.seen == [2, 1]
    with Image.open(tmp_path / "pages_4x.tif") as image:
        assert image.n_frames == 6
        for number, level in enumerate(levels):
            image.seek(number)
            assert image.size == (40, 24) and image.convert("L").getextrema() == (level, level)


def test_pages_of_several_sizes(request_for: Ask, engine: Batches, tmp_path: Path) -> None:
    sizes = [(10, 6), (10, 6), (8, 8), (10, 6), (50, 9), (50, 9)]
    pages = [Image.new("L", size, 20 * number) for number, size in enumerate(sizes)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    told: list[tuple[int, int]] = []
    listener = Listener()
    listener.progressed = lambda jobs, progress: told.append((progress.done, progress.total))  # type: ignore[method-assign]
    assert run(plan(request_for(tmp_path / "pages.tif")), load=engine, listener=listener).exit_code == 0
    assert engine.seen == [2, 1, 1, 1, 1]
    with Image.open(tmp_path / "pages_4x.tif") as image:
        for number, (width, height) in enumerate(sizes):
            image.seek(number)
            assert image.size == (4 * width, 4 * height)
            assert image.convert("L").getextrema() == (20 * number, 20 * number)
    assert told[-1][0] == told[-1][1]
