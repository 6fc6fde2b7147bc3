"""Planning settles everything and touches nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from upscale.errors import ExitCode, InputError, OutputError, UsageError, WeightsError
from upscale.jobs.items import Job
from upscale.jobs.plan import plan
from upscale.jobs.request import Request
from upscale.jobs.source import Source
from upscale.models.config import ModelConfig
from upscale.options import MAX_SCALE

Ask = Callable[..., Request]
Photo = Callable[..., Path]
Listing = Callable[[], dict[str, str]]


def test_one_photo(photo: Photo, request_for: Ask) -> None:
    path = photo(size=(13, 7))
    (job,) = plan(request_for(path, scale=8)).jobs
    assert job.info.size == (13, 7) and job.output_size == (104, 56)
    assert job.target == path.with_name("photo_8x.jpg")
    assert [stage.input_size for stage in job.cascade.stages] == [(13, 7), (26, 14)]
    assert job.cascade.output_size == (104, 56)


@pytest.mark.parametrize(("shrink", "first"), [(None, (13, 7)), (1, (13, 7)), (2, (6, 4))])
def test_stages_are_those_of_the_photo_made_smaller_where_that_is_known(
    shrink: float | None, first: tuple[int, int], photo: Photo, request_for: Ask
) -> None:
    (job,) = plan(request_for(photo(size=(13, 7)), scale=4, shrink=shrink)).jobs
    assert [stage.input_size for stage in job.cascade.stages][0] == first
    assert len(job.cascade.stages) == (2 if shrink == 2 else 1) and job.output_size == (52, 28)


def test_sizes_of_a_turned_photo_are_those_of_the_upright_one(photo: Photo, request_for: Ask) -> None:
    from PIL import Image

    path = photo("turned.jpg")
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # a quarter turn
        image.save(path, exif=exif)
    (job,) = plan(request_for(path, width=32)).jobs
    assert job.info.size == (8, 12) and job.output_size == (32, 48)


def test_items_keep_the_order_of_the_inputs(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    settled = plan(request_for(photo("a.png"), tmp_path / "missing.png", photo("b.png")))
    assert [item.source.path.name for item in settled.items if item.source.path] == [
        "a.png",
        "missing.png",
        "b.png",
    ]
    assert len(settled.jobs) == 2 and len(settled.failures) == 1


def test_nothing_to_do(request_for: Ask) -> None:
    with pytest.raises(UsageError, match="Nothing to do"):
        plan(request_for())


def test_unknown_model_is_found_out_before_anything(photo: Photo, request_for: Ask) -> None:
    with pytest.raises(WeightsError, match="sr3-foto"):
        plan(request_for(photo(), model="sr3-foto"))


def test_unknown_sampler_is_found_out_before_weights_load(photo: Photo, request_for: Ask) -> None:
    with pytest.raises(UsageError, match="dpmpp_2m"):
        plan(request_for(photo(), sampler="dpmp_2m"))


def test_sizes_that_would_shrink_are_this_file_s_failure(photo: Photo, request_for: Ask) -> None:
    settled = plan(request_for(photo("small.png"), photo("large.png", size=(60, 40)), width=48))
    assert len(settled.jobs) == 1
    (failure,) = settled.failures
    assert isinstance(failure.error, UsageError) and "smaller than the input" in failure.error.message


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_thin_pictures_can_be_planned(size: tuple[int, int], photo: Photo, request_for: Ask) -> None:
    (job,) = plan(request_for(photo("thin.png", size=size), scale=MAX_SCALE)).jobs
    assert job.output_size == (size[0] * 64, size[1] * 64)


def test_jpeg_limit_is_known_before_any_work(photo: Photo, request_for: Ask) -> None:
    (failure,) = plan(request_for(photo("long.jpg", size=(1100, 1)), scale=64)).failures
    assert isinstance(failure.error, OutputError) and "jpg allows at most" in failure.error.message
    assert plan(request_for(photo("long.jpg", size=(1100, 1)), scale=64, format="png")).jobs


# --- outputs that are in the way ---------------------------------------------------------------------------


def test_existing_output_fails_this_file_only(photo: Photo, request_for: Ask, listing: Listing) -> None:
    photos = photo("a.png"), photo("b.png")
    photo("a_4x.png")
    before = listing()
    settled = plan(request_for(*photos))
    (failure,) = settled.failures
    assert isinstance(failure.error, OutputError) and "a_4x.png exists already" in failure.error.message
    assert "--overwrite" in (failure.error.hint or "")
    assert [job.source.path for job in settled.jobs] == [photos[1]]
    assert listing() == before


def test_existing_output_with_overwrite(photo: Photo, request_for: Ask) -> None:
    path = photo("a.png")
    photo("a_4x.png")
    assert plan(request_for(path, on_conflict="overwrite")).jobs


def test_output_onto_its_input_needs_overwrite(photo: Photo, request_for: Ask) -> None:
    path = photo("a.png")
    (failure,) = plan(request_for(path, output=str(path))).failures
    assert isinstance(failure.error, OutputError) and "is the input itself" in failure.error.message
    assert plan(request_for(path, output=str(path), on_conflict="overwrite")).jobs


def test_output_onto_its_input_is_seen_through_links(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    path = photo("a.png")
    (tmp_path / "link.png").symlink_to(path)
    (failure,) = plan(request_for(path, output=str(tmp_path / "link.png"))).failures
    assert "is the input itself" in failure.error.message


def test_clash_of_two_inputs_names_both(
    photo: Photo, request_for: Ask, tmp_path: Path, listing: Listing
) -> None:
    one, other = photo("x/a.png"), photo("y/a.png")
    before = listing()
    with pytest.raises(UsageError) as caught:
        plan(request_for(one, other, output=f"{tmp_path}/out/"))
    assert str(one) in caught.value.message and str(other) in caught.value.message
    assert "a_4x.png" in caught.value.message
    assert listing() == before and not (tmp_path / "out").exists()


def test_clash_within_one_format_names_what_was_asked_for(
    photo: Photo, request_for: Ask, tmp_path: Path
) -> None:
    """`a_png` and `a_png` would be no better than `a` and `a`."""
    paths = [photo("x/a.png"), photo("y/a.png")]
    asked = request_for(*paths, output=f"{tmp_path}/out/")
    found = tuple(Source(path, root=path.parent, found=True) for path in paths)
    with pytest.raises(UsageError, match=r"out/a_4x\.png"):
        plan(replace(asked, sources=found))


def test_clash_by_format(photo: Photo, request_for: Ask) -> None:
    with pytest.raises(UsageError, match="both be written to"):
        plan(request_for(photo("a.png"), photo("a.jpg"), format="webp"))
    assert len(plan(request_for(photo("a.png"), photo("a.jpg"))).jobs) == 2


def test_clash_through_two_spellings_of_a_folder(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    path = photo("x/a.png")
    (tmp_path / "same").symlink_to(tmp_path / "x")
    with pytest.raises(UsageError, match="given twice"):
        plan(request_for(path, tmp_path / "same" / "a.png"))


def test_result_onto_another_input_is_refused_even_with_overwrite(photo: Photo, request_for: Ask) -> None:
    with pytest.raises(UsageError, match="would replace the input"):
        plan(request_for(photo("a.png"), photo("a_4x.png"), on_conflict="overwrite"))


def test_result_onto_an_input_that_cannot_be_carried_out_is_refused(
    photo: Photo, request_for: Ask, tmp_path: Path
) -> None:
    small, large = photo("a.png", size=(20, 20)), photo("a_b.png", size=(400, 400))
    asked = {"long_side": 80, "suffix": "_b", "on_conflict": "overwrite"}
    with pytest.raises(UsageError, match="would replace the input"):
        plan(request_for(small, large, **asked))
    large.write_bytes(b"")  # nothing can be lost of it
    assert [job.source.path for job in plan(request_for(small, large, **asked)).jobs] == [small]
    assert plan(request_for(small, tmp_path / "a_b.png", **asked)).jobs


def test_found_picture_that_is_too_large_is_no_result(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    """Unless it has the size that the result would have."""
    found = [
        Source(photo(f"{name}.png", size=size), root=tmp_path, found=True)
        for name, size in (("a", (20, 20)), ("a_b", (400, 400)))
    ]
    asked = request_for(found[0].path, long_side=80, suffix="_b", on_conflict="overwrite")
    settled = plan(replace(asked, sources=tuple(found)))
    assert not settled.jobs and ["replace" in f.error.message for f in settled.failures] == [True, False]
    asked = request_for(found[0].path, scale=20, suffix="_b", on_conflict="overwrite", max_input_mpix=0.1)
    settled = plan(replace(asked, sources=tuple(found)))
    assert len(settled.jobs) == len(settled.items) == 1 and settled.left_alone == {"results of upscale": 1}


def test_rest_of_a_result_may_be_replaced(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    """What was found in a result's place and is no picture; not what was named."""
    original, rest = photo("x.png"), tmp_path / "x_4x.png"
    rest.write_bytes(b"half of it")
    asked = request_for(original, on_conflict="overwrite")
    found = tuple(Source(path, root=tmp_path, found=True) for path in (original, rest))
    assert [job.target for job in plan(replace(asked, sources=found)).jobs] == [rest]
    with pytest.raises(UsageError, match="would replace the input"):
        plan(request_for(original, rest, on_conflict="overwrite"))


def test_output_that_is_a_folder(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    (tmp_path / "photo_4x.jpg").mkdir()
    (failure,) = plan(request_for(photo(), on_conflict="overwrite")).failures
    assert isinstance(failure.error, OutputError) and "is a folder" in failure.error.message


def test_file_in_the_place_of_the_output_folder(photo: Photo, request_for: Ask) -> None:
    path = photo()
    (failure,) = plan(request_for(path, output=f"{path}/sub/")).failures
    assert isinstance(failure.error, OutputError) and "is not a folder" in failure.error.message


def test_name_that_gets_too_long(photo: Photo, request_for: Ask) -> None:
    (failure,) = plan(request_for(photo("n" * 251 + ".png"))).failures
    assert isinstance(failure.error, OutputError) and failure.error.hint


# --- inputs that are none ----------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD_INPUTS: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "missing.jpg",
    "empty": lambda folder: write(folder / "empty.jpg", b""),
    "text": lambda folder: write(folder / "text.jpg", b"this is no picture\n"),
    "folder": lambda folder: folder,
    "device": lambda folder: Path("/dev/null"),
    "loop": lambda folder: (folder / "loop.jpg").symlink_to("loop.jpg") or folder / "loop.jpg",
    "dangling": lambda folder: (folder / "link.jpg").symlink_to("gone.jpg") or folder / "link.jpg",
    "below a file": lambda folder: write(folder / "file", b"x") / "a.jpg",
    "long name": lambda folder: folder / ("n" * 300),
    "broken bytes": lambda folder: folder / os.fsdecode(b"\xff\xfe.jpg"),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_bad_input_is_its_own_failure(
    kind: str, photo: Photo, request_for: Ask, tmp_path: Path, listing: Listing
) -> None:
    good = photo("good.png")
    bad = BAD_INPUTS[kind](tmp_path)
    before = listing()
    settled = plan(request_for(bad, good))
    assert [job.source.path for job in settled.jobs] == [good]
    (failure,) = settled.failures
    assert isinstance(failure.error, InputError) and failure.error.exit_code == ExitCode.INPUT
    assert str(bad) in failure.error.message
    assert listing() == before


def test_too_many_pixels(photo: Photo, request_for: Ask) -> None:
    path = photo("many.png", size=(100, 80))
    (failure,) = plan(request_for(path, max_input_mpix=0.007)).failures
    assert isinstance(failure.error, InputError) and "--max-input-mpix" in (failure.error.hint or "")
    assert plan(request_for(path, max_input_mpix=0.008)).jobs


def test_bytes_from_a_pipe(photo: Photo, request_for: Ask, tmp_path: Path) -> None:
    data = photo("a.png").read_bytes()
    (job,) = plan(request_for(data, output="-")).jobs
    assert job.target is None and job.format == plan(request_for(tmp_path / "a.png")).jobs[0].format
    assert plan(request_for(data, output="-", format="webp")).jobs[0].format != job.format
    assert plan(request_for(data, output=f"{tmp_path}/")).jobs[0].target == tmp_path / "stdin_4x.png"


def test_planning_does_not_load_torch(photo: Photo, model: str) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from upscale.jobs.plan import plan\n"
        "from upscale.jobs.request import Request\n"
        "from upscale.jobs.source import Source\n"
        "from upscale.options import EngineOptions\n"
        "options = EngineOptions(sys.argv[2], sampler='ddim')\n"
        "settled = plan(Request((Source(Path(sys.argv[1])),), engine=options))\n"
        "sys.exit(len(settled.jobs) != 1 or 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(photo()), model], check=False)
    assert run.returncode == 0


def test_plan_is_plain_data(photo: Photo, request_for: Ask) -> None:
    (item,) = plan(request_for(photo())).items
    assert isinstance(item, Job)
    assert isinstance(item.source, Source)
    with pytest.raises(AttributeError):
        item.target = None  # type: ignore[misc]


def test_only_the_first_model_is_told_of_noise(
    photo: Photo, request_for: Ask, model: str, tmp_path: Path
) -> None:
    """And it has to be one that can be told."""
    other = tmp_path / "deaf"
    other.mkdir()
    config = ModelConfig(name="deaf", arch="none", network={}, scale=4, target="image")
    (other / "config.json").write_text(config.to_json())
    (other / "model.safetensors").write_bytes(b"other")
    path = photo("a.png")
    with pytest.raises(UsageError, match="deaf has no --denoise"):
        plan(request_for(path, model=str(other), denoise=0.2))
    assert plan(request_for(path, model=str(other), denoise=0.0)).jobs
    assert plan(request_for(path, model=f"{model},{other}", scale=16, denoise=0.2)).jobs
