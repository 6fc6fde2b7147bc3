"""Running a plan: every input ends in its own way, and no file is harmed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upscale.errors import DeviceError, ExitCode, InputError, OutputError, WeightsError
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


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def stems(jobs: Sequence[Job]) -> str:
    return " ".join(job.source.stem for job in jobs)


class Diary(Listener):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def loaded(self, engine: Any) -> None:
        self.entries.append("loaded")

    def started(self, jobs: Sequence[Job]) -> None:
        self.entries.append(f"started {stems(jobs)}")

    def progressed(self, jobs: Sequence[Job], progress: Any) -> None:
        self.entries.append(f"{stems(jobs)} {progress.done}/{progress.total}")

    def finished(self, outcome: Outcome) -> None:
        self.entries.append(f"finished {outcome.source.stem}{' badly' if outcome.error else ''}")


@pytest.mark.parametrize("scale", [1, 2.5, 4, 8])
def test_one_photo(scale: float, photo: Photo, request_for: Ask, engine: Any) -> None:
    path = photo(size=(13, 7))
    report = run(plan(request_for(path, scale=scale)), load=engine)
    assert report.exit_code == ExitCode.OK and not report.failed
    assert size_of(path.with_name(f"photo_{scale:g}x.jpg")) == (round(scale * 13), round(scale * 7))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_thin_pictures(size: tuple[int, int], photo: Photo, request_for: Ask, engine: Any) -> None:
    path = photo("thin.png", size=size)
    assert run(plan(request_for(path)), load=engine).exit_code == ExitCode.OK
    assert size_of(path.with_name("thin_4x.png")) == (size[0] * 4, size[1] * 4)


def test_folders_are_made(photo: Photo, request_for: Ask, engine: Any, tmp_path: Path) -> None:
    settled = plan(request_for(photo("a.png"), photo("b.jpg"), output=f"{tmp_path}/deep/out/"))
    assert not (tmp_path / "deep").exists()
    assert run(settled, load=engine).exit_code == ExitCode.OK
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == ["a_4x.png", "b_4x.jpg"]


def test_one_bad_file_never_stops_the_others(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing, tmp_path: Path
) -> None:
    good, torn, last = photo("good.png"), photo("torn.jpg", size=(64, 64)), photo("last.png")
    torn.write_bytes(torn.read_bytes()[:1500])
    before = listing()
    diary = Diary()
    report = run(plan(request_for(tmp_path / "missing.png", good, torn, last)), load=engine, listener=diary)

    assert report.exit_code == ExitCode.PARTIAL
    assert [outcome.error is None for outcome in report.outcomes] == [False, True, False, True]
    assert all(isinstance(outcome.error, InputError) for outcome in report.failed)
    assert {"good_4x.png", "last_4x.png"} == set(listing()) - set(before)
    assert {name: before[name] for name in before} == {name: listing()[name] for name in before}
    assert engine.loads == 1
    assert diary.entries[:6] == [
        "finished missing badly",  # what planning refused is said first
        "started good",
        "loaded",
        "good 1/3",
        "good 2/3",
        "good 3/3",
    ]
    # While a result is written the next input may begin, but they end in order.
    begun = [entry for entry in diary.entries[6:] if not entry.startswith("finished")]
    assert begun == ["started torn", "started last", "last 1/3", "last 2/3", "last 3/3"]
    ended = [entry for entry in diary.entries if entry.startswith("finished")]
    assert ended == ["finished missing badly", "finished good", "finished torn badly", "finished last"]


@pytest.mark.parametrize("kind", ["missing", "torn"])
def test_single_bad_input_has_its_own_code_and_loads_nothing(
    kind: str, photo: Photo, request_for: Ask, engine: Any, listing: Listing, tmp_path: Path
) -> None:
    path = photo("torn.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:1500])
    before = listing()
    report = run(plan(request_for(path if kind == "torn" else tmp_path / "missing.jpg")), load=engine)
    assert report.exit_code == ExitCode.INPUT and engine.loads == 0
    assert listing() == before


def test_file_that_vanishes_after_planning(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing
) -> None:
    path = photo("a.png")
    settled = plan(request_for(path))
    path.unlink()
    assert run(settled, load=engine).exit_code == ExitCode.INPUT
    assert listing() == {}


def test_file_that_changes_after_planning(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing
) -> None:
    """Another picture of the same size is as good; one of another size would come out distorted."""
    path = photo("a.png", size=(12, 8))
    settled = plan(request_for(path))
    photo("a.png", size=(12, 9), seed=1)
    report = run(settled, load=engine)
    assert report.exit_code == ExitCode.INPUT and "changed" in str(report.outcomes[0].error)
    assert set(listing()) == {"a.png"} and engine.loads == 0
    photo("a.png", size=(12, 8), seed=2)
    assert run(settled, load=engine).exit_code == ExitCode.OK


def test_result_that_another_process_makes_meanwhile(photo: Photo, request_for: Ask, engine: Any) -> None:
    path = photo("a.png")
    settled = plan(request_for(path, on_conflict="skip"))
    engine.hook = lambda picture: photo("a_4x.png", size=(48, 32))
    (outcome,) = run(settled, load=engine).outcomes
    assert outcome.status is Status.SKIPPED and outcome.error is None
    assert [o.status for o in run(settled, load=engine).outcomes] == [Status.SKIPPED] and engine.loads == 1


def test_output_that_appears_meanwhile_is_not_touched(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing
) -> None:
    path = photo("a.png")
    settled = plan(request_for(path))
    engine.hook = lambda picture: path.with_name("a_4x.png").write_bytes(b"somebody else's")
    report = run(settled, load=engine)
    assert report.exit_code == ExitCode.OUTPUT
    assert path.with_name("a_4x.png").read_bytes() == b"somebody else's"
    assert set(listing()) == {"a.png", "a_4x.png"}


def test_overwrite_replaces_output_and_input(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing
) -> None:
    path = photo("a.png")
    path.with_name("a_4x.png").write_bytes(b"old")
    assert run(plan(request_for(path, on_conflict="overwrite")), load=engine).exit_code == ExitCode.OK
    assert size_of(path.with_name("a_4x.png")) == (48, 32)
    assert (
        run(plan(request_for(path, output=str(path), on_conflict="overwrite")), load=engine).exit_code
        == ExitCode.OK
    )
    assert size_of(path) == (48, 32)
    assert set(listing()) == {"a.png", "a_4x.png"}


def test_stdout_gets_the_whole_picture(photo: Photo, request_for: Ask, engine: Any, listing: Listing) -> None:
    data = photo("a.png").read_bytes()
    before = listing()
    stdout = io.BytesIO()
    settled = plan(request_for(data, output="-", format="jpg"))
    assert run(settled, load=engine, stdout=stdout).exit_code == ExitCode.OK
    with Image.open(stdout) as image:
        assert image.format == "JPEG" and image.size == (48, 32)
    assert listing() == before


def test_stdout_that_takes_a_part_at_a_time(photo: Photo, request_for: Ask, engine: Any) -> None:
    class Narrow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:100])

    narrow, wide = Narrow(), io.BytesIO()
    for stdout in (narrow, wide):
        assert run(plan(request_for(photo("a.png"), output="-")), load=engine, stdout=stdout).exit_code == 0
    assert narrow.getvalue() == wide.getvalue() and len(wide.getvalue()) > 300


def test_reader_of_stdout_that_has_gone_ends_everything(photo: Photo, request_for: Ask, engine: Any) -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(plan(request_for(photo(), output="-")), load=engine, stdout=Gone())


@pytest.mark.parametrize("moment", ["progressed", "finished", "computed"])
@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_a_listener_that_fails_ends_the_run(
    moment: str, devices: str, photo: Photo, request_for: Ask, engine: Any
) -> None:
    """With its own error: no file is to blame for it."""
    diary = Diary()

    def full(*_: object) -> None:
        diary.entries.append("full")
        raise OutputError("The disk is full.")

    setattr(diary, moment, full)
    names = [photo(f"{number}.png") for number in range(5)]
    with pytest.raises(OutputError, match="disk is full"):
        run(plan(request_for(*names, device=devices)), load=engine, listener=diary)
    assert "full" in diary.entries and not any("badly" in entry for entry in diary.entries)


def test_what_the_engine_cannot_is_this_file_s_failure(photo: Photo, request_for: Ask, engine: Any) -> None:
    calls: list[Picture] = []

    def once(picture: Picture) -> None:
        calls.append(picture)
        if len(calls) == 1:
            raise DeviceError("The GPU is out of memory.", hint="Take a smaller --tile.")

    engine.hook = once
    report = run(plan(request_for(photo("a.png"), photo("b.png"))), load=engine)
    assert [type(outcome.error) for outcome in report.outcomes] == [DeviceError, type(None)]
    assert report.exit_code == ExitCode.PARTIAL


def test_out_of_memory_is_explained(photo: Photo, request_for: Ask, engine: Any) -> None:
    def greedy(picture: Picture) -> None:
        raise MemoryError

    engine.hook = greedy
    report = run(plan(request_for(photo())), load=engine)
    assert report.exit_code == ExitCode.DEVICE
    assert "--scale" in str(report.outcomes[0].error)


def test_bug_on_one_file_is_no_reason_to_leave_the_others(
    photo: Photo, request_for: Ask, engine: Any
) -> None:
    def stumble(picture: Picture) -> None:
        if picture.size == (5, 5):
            raise ZeroDivisionError("oops")

    engine.hook = stumble
    report = run(plan(request_for(photo("odd.png", size=(5, 5)), photo("b.png"))), load=engine)
    assert report.exit_code == ExitCode.PARTIAL
    assert isinstance(report.failed[0].error, ZeroDivisionError)
    alone = run(plan(request_for(photo("odd.png", size=(5, 5)))), load=engine)
    assert alone.exit_code == ExitCode.BUG


def test_missing_weights_end_everything(photo: Photo, request_for: Ask, listing: Listing) -> None:
    paths = photo("a.png"), photo("b.png")
    before = listing()

    def load(options: EngineOptions) -> Any:
        raise WeightsError("The weights are damaged.", hint="Reinstall upscale.")

    with pytest.raises(WeightsError, match="damaged"):
        run(plan(request_for(*paths)), load=load)
    assert listing() == before


@pytest.mark.parametrize("moment", ["upscaling", "progress"])
def test_interrupt_leaves_nothing_half_written(
    moment: str, photo: Photo, request_for: Ask, engine: Any, listing: Listing
) -> None:
    paths = photo("a.png"), photo("b.png")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    listener = Listener()
    if moment == "upscaling":
        engine.hook = interrupt
    else:
        listener.progressed = interrupt  # type: ignore[method-assign]
    before = listing()
    with pytest.raises(KeyboardInterrupt):
        run(plan(request_for(*paths)), load=engine, listener=listener)
    assert listing() == before


def test_notes_of_reading_and_writing_are_reported(
    photo: Photo, request_for: Ask, engine: Any, tmp_path: Path
) -> None:
    Image.new("CMYK", (6, 4)).save(tmp_path / "print.tif")
    (outcome,) = run(plan(request_for(tmp_path / "print.tif")), load=engine).outcomes
    assert outcome.error is None and any("CMYK" in note for note in outcome.notes)

    frames = [Image.new("L", (6, 4), level) for level in (0, 99)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (outcome,) = run(plan(request_for(tmp_path / "moving.gif")), load=engine).outcomes
    assert outcome.error is None and not outcome.notes
    assert (tmp_path / "moving_4x.gif").exists()


def test_write_errors_of_the_system_are_output_errors(
    photo: Photo, request_for: Ask, engine: Any, listing: Listing, tmp_path: Path
) -> None:
    settled = plan(request_for(photo("a.png"), output=f"{tmp_path}/out/"))
    (tmp_path / "out").write_bytes(b"in the way since planning")
    before = listing()
    report = run(settled, load=engine)
    assert isinstance(report.outcomes[0].error, OutputError)
    assert listing() == before
