"""What jobs will take, and those that no disk can hold."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from upscale.cli.dry_run import duration, outlook
from upscale.engine.plan import plan_cascade
from upscale.errors import OutputError
from upscale.images import scratch
from upscale.jobs import forecast as forecasts
from upscale.jobs import pace
from upscale.jobs.forecast import forecast, size, together
from upscale.jobs.plan import Plan, plan
from upscale.jobs.report import Outcome, Report
from upscale.jobs.request import Request

Ask = Callable[..., Request]
Photo = Callable[..., Path]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def planned(photo: Photo, request_for: Ask) -> Callable[..., Plan]:
    def make(side: tuple[int, int], *, mode: str = "RGB", **options: object) -> Plan:
        name = "a.bmp" if mode == "RGB" else "a.png"  # quick to write
        return plan(request_for(photo(name, size=side, mode=mode), **{"format": "png", **options}))

    return make


def of(plan: Plan, pace: float | None = None) -> forecasts.Forecast:
    (job,) = plan.jobs
    return forecast(job, plan.request.engine, pace)


def test_memory_is_bounded_and_disk_grows_with_the_picture(planned: Callable[..., Plan]) -> None:
    small, middle, large = (of(planned((side, side), scale=8)) for side in (500, 1500, 3000))
    assert small.temporary_bytes == 0 < middle.temporary_bytes < large.temporary_bytes
    assert large.memory_bytes < 2 * small.memory_bytes
    # Two stages: 144 MP, then 576 MP. The second needs its input (36 MP x 6 bytes) and its result (3 bytes).
    assert large.temporary_bytes == 36_000_000 * 6 + 576_000_000 * 3
    assert 576_000_000 * 3 <= large.output_bytes <= 1.05 * 576_000_000 * 3


def test_of_a_picture_on_disk_a_row_of_tiles_is_in_memory(planned: Callable[..., Plan]) -> None:
    decoding = 9_000_000 * (4 + 3)
    row = 12_000 * (256 * 4) * 3
    rest = forecasts._BASE_BYTES + 336**2 * forecasts._TILE_BYTES_PER_PX + forecasts._STRIPS_BYTES
    assert of(planned((3000, 3000), scale=4, shrink=1)).memory_bytes == rest + decoding + row
    shrinking = 9_000_000 * (3 + 6)  # the photo, and what a first stage has made of a smaller copy
    assert of(planned((3000, 3000), scale=4)).memory_bytes == rest + shrinking + row


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tiff", "avif", "bmp", "ppm"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
def test_results_are_no_larger_than_foretold(
    format: str, mode: str, planned: Callable[..., Plan], tmp_path: Path
) -> None:
    """Noise in all channels: there is nothing harder to compress."""
    import numpy as np

    from upscale.images.formats import format_for
    from upscale.images.picture import Picture
    from upscale.images.write import write

    if not format_for(format).is_available:
        pytest.skip(f"this Pillow has no {format}")
    settled = planned((40, 30), mode=mode, scale=4, format=format)
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 4), np.uint8)
    color = noise[..., :3] if mode.startswith("RGB") else noise[..., :1]
    if mode == "I;16":
        color = color.astype(np.uint16) * 257
    write(Picture(color, noise[..., 3] if mode.endswith("A") else None), tmp_path / "out", format=format)
    assert (tmp_path / "out").stat().st_size <= of(settled).output_bytes


def test_several_files(photo: Photo, request_for: Ask) -> None:
    settled = plan(request_for(photo("a.png"), photo("b.png"), scale=2))
    each = [forecast(job, settled.request.engine, 2.0) for job in settled.jobs]
    total = together(each)
    assert total.output_bytes == sum(one.output_bytes for one in each)
    assert total.seconds == pytest.approx(2 * each[0].seconds) and total.memory_bytes >= each[0].memory_bytes
    assert together([each[0], forecast(settled.jobs[1], settled.request.engine)]).seconds is None


def test_a_full_disk_is_noticed_before_any_work(
    photo: Photo, request_for: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9, 0, 10**8))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    large, small = photo("large.bmp", size=(1500, 1000)), photo("small.png")
    settled = plan(request_for(large, small, scale=8, format="png"))
    (failure,) = settled.failures
    assert isinstance(failure.error, OutputError) and len(settled.jobs) == 1
    message = failure.error.message
    assert "large.bmp at 12000x8000 may need" in message and "only 100 MB are free" in message
    assert f"temporary files in {tmp_path}" in message and "TMPDIR" in str(failure.error.hint)


def test_room_counts_once_for_folders_on_one_disk(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scratch, "folder", lambda: tmp_path)
    need = of(planned((1500, 1000), scale=8))
    both = need.output_bytes + need.temporary_bytes
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, both))
    assert planned((1500, 1000), scale=8).jobs
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, both - 1))
    assert planned((1500, 1000), scale=8).failures


def test_pace_is_remembered_for_the_same_settings(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UPSCALE_CACHE", str(tmp_path / "cache"))
    settled = planned((100, 50))
    (job,) = settled.jobs
    assert pace.pace_of(settled) is None and "no estimate of the time yet" in outlook(settled)
    pace.remember(settled, Report((Outcome(job.source, job, OutputError("no")),)))
    assert pace.pace_of(settled) is None
    (tiny,) = planned((8, 8)).jobs
    pace.remember(settled, Report((Outcome(tiny.source, tiny, seconds=1.1),)))  # two days for a photo
    assert pace.pace_of(settled) is None
    pace.remember(settled, Report((Outcome(job.source, job, seconds=0.4),)))
    assert pace.pace_of(settled) == pytest.approx(0.4 / 0.005)
    assert of(settled, pace.pace_of(settled)).seconds == pytest.approx(0.4)
    pace.remember(settled, Report((Outcome(job.source, job, seconds=0.1),)))
    assert pace.pace_of(settled) == pytest.approx((0.2 + 0.1) / (0.0025 + 0.005))
    made = plan_cascade(job.info.size, job.output_size, shrink=2.0)  # 50x25 pixels, then those of 4x by 4
    pace.remember(settled, Report((Outcome(job.source, job, seconds=0.1, cascade=made),)))
    assert pace.pace_of(settled) == pytest.approx((0.15 + 0.1) / (0.00375 + 0.00125 + 0.005))
    assert pace.pace_of(planned((100, 50), steps=7)) is None
    assert "from your last runs" in outlook(settled)
    for nonsense in (
        b"",
        b"[1]",
        b'{"a": 3}',
        b'{"a": ["x", 1]}',
        b"\xff",
        json.dumps({"a": [0, 0]}).encode(),
    ):
        (tmp_path / "cache" / "pace.json").write_bytes(nonsense)
        assert pace.pace_of(settled) is None


def test_how_it_is_said() -> None:
    assert [duration(s) for s in (0.2, 40, 100, 5000, 9000)] == ["1 s", "40 s", "2 min", "83 min", "2.5 h"]
    assert [size(b) for b in (1, 250_000_000, 2_400_000_000)] == ["1 MB", "250 MB", "2.4 GB"]
