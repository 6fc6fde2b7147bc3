"""Names and formats of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.errors import UsageError
from upscale.images.formats import FORMATS, OutputFormat, format_for
from upscale.images.read import ImageInfo
from upscale.jobs import naming
from upscale.jobs.destination import Destination, Kind
from upscale.jobs.source import Source
from upscale.options import FileOptions, TargetSize

BESIDE = Destination(Kind.BESIDE)
FOLDER = Destination(Kind.FOLDER, Path("out"))
FIELDS = {"scale": "4", "size": "4x", "width": 48, "height": 32, "model": "tiny", "seed": 7}


def info(format: str) -> ImageInfo:
    return ImageInfo(format=format, size=(12, 8), mode="RGB", bit_depth=8, has_alpha=False, frames=1)


def target_of(source: Source, destination: Destination, fmt: OutputFormat, **options: str) -> Path | None:
    template = naming.template_of(destination, FileOptions(**options))
    return naming.target_of(source, destination, fmt, template, FIELDS)


@pytest.mark.parametrize(
    ("size", "label"),
    [
        (TargetSize(), "4x"),
        (TargetSize(scale=8), "8x"),
        (TargetSize(scale=2.5), "2.5x"),
        (TargetSize(scale=1), "1x"),
        (TargetSize(width=1920), "1920x1280"),
        (TargetSize(box=(1920, 1280)), "1920x1280"),
        (TargetSize(megapixels=2.5), "1920x1280"),
    ],
)
def test_label_says_what_was_asked_for(size: TargetSize, label: str) -> None:
    assert naming.size_label(size, (1920, 1280)) == label


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("photo.jpg", "JPEG", "photo_4x.jpg"),
        ("photo.JPG", "JPEG", "photo_4x.JPG"),
        ("photo.jpeg", "JPEG", "photo_4x.jpeg"),
        ("my.photo.png", "PNG", "my.photo_4x.png"),
        ("photo.jpg", "PNG", "photo_4x.png"),  # a wrong suffix must not lose alpha or 16 bits
        ("photo.jpg", "MPO", "photo_4x.jpg"),  # phones' JPEG with an appendix
        ("photo.ico", "ICO", "photo_4x.png"),  # not written by us
        ("photo", "JPEG", "photo_4x.jpg"),
        (".hidden", "PNG", ".hidden_4x.png"),
    ],
)
def test_name_beside_the_input(name: str, content: str, expected: str) -> None:
    source = Source(Path("folder") / name)
    fmt = naming.format_of(source, info(content))
    assert target_of(source, BESIDE, fmt) == Path("folder") / expected


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for_by_name_and_by_suffix(name: str) -> None:
    fmt = FORMATS[name]
    assert naming.requested_format(BESIDE, FileOptions(format=name)) is fmt
    for suffix in fmt.suffixes:
        to_file = Destination(Kind.FILE, Path(f"large{suffix}"))
        assert naming.requested_format(to_file, FileOptions()) is fmt


def test_format_changes_the_suffix() -> None:
    source = Source(Path("photo.jpg"))
    assert target_of(source, BESIDE, format_for("webp")) == Path("photo_4x.webp")


def test_folder_takes_the_name_along() -> None:
    target = target_of(Source(Path("a/b.png")), FOLDER, format_for("png"))
    assert target == Path("out/b_4x.png")


def test_tree_is_kept_below_the_folder() -> None:
    source = Source(Path("photos/2019/may/b.png"), root=Path("photos"))
    assert target_of(source, FOLDER, format_for("png")) == Path("out/2019/may/b_4x.png")
    assert target_of(source, BESIDE, format_for("png")) == Path("photos/2019/may/b_4x.png")


@pytest.mark.parametrize(
    ("options", "beside", "in_folder"),
    [
        ({"suffix": "_big"}, "photos/a/b_big.png", "out/a/b_big.png"),
        ({"suffix": ""}, "photos/a/b.png", "out/a/b.png"),
        ({"suffix": "{stem}"}, "photos/a/b{stem}.png", "out/a/b{stem}.png"),
        ({"output_template": "{parent}/{stem}_{scale}x{suffix}"}, "photos/a/b_4x.png", "out/a/b_4x.png"),
        (
            {"output_template": "big/{stem}-{width}x{height}{suffix}"},
            "big/b-48x32.png",
            "out/big/b-48x32.png",
        ),
        ({"output_template": "{{{seed}}}_{model}{suffix}"}, "{7}_tiny.png", "out/{7}_tiny.png"),
    ],
)
def test_names_that_are_asked_for(options: dict[str, str], beside: str, in_folder: str) -> None:
    source = Source(Path("photos/a/b.png"), root=Path("photos"))
    for destination, expected in ((BESIDE, beside), (FOLDER, in_folder)):
        assert target_of(source, destination, format_for("png"), **options) == Path(expected)


@pytest.mark.parametrize("template", ["/abs/{stem}{suffix}"])
def test_absolute_template_and_a_folder_contradict(template: str) -> None:
    files = FileOptions(output_template=template)
    assert naming.template_of(BESIDE, files) == template
    with pytest.raises(UsageError, match="contradict"):
        naming.template_of(FOLDER, files)


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.STDOUT])
@pytest.mark.parametrize("options", [{"suffix": "_big"}, {"output_template": "{stem}{suffix}"}])
def test_name_given_twice(kind: Kind, options: dict[str, str]) -> None:
    path = Path("large.png") if kind is Kind.FILE else None
    with pytest.raises(UsageError, match="has no use"):
        naming.template_of(Destination(kind, path), FileOptions(**options))


def test_picture_from_stdin_in_a_folder() -> None:
    target = target_of(Source(data=b"x"), FOLDER, format_for("png"))
    assert target == Path("out/stdin_4x.png")


@pytest.mark.parametrize("name", ["large.xyz", "large", "large.mp4"])
def test_unknown_suffix_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        naming.requested_format(Destination(Kind.FILE, Path(name)), FileOptions())
    assert "png" in str(caught.value) and "jpg" in str(caught.value)


def test_unknown_suffix_is_fine_where_the_format_is_given() -> None:
    to_file = Destination(Kind.FILE, Path("large.part"))
    assert naming.requested_format(to_file, FileOptions(format="png")) is format_for("png")


def test_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="png"):
        naming.requested_format(BESIDE, FileOptions(format="mp4"))


def test_format_against_the_suffix_is_refused() -> None:
    with pytest.raises(UsageError, match="contradict"):
        naming.requested_format(Destination(Kind.FILE, Path("large.jpg")), FileOptions(format="png"))
