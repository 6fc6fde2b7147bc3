"""Folders and lists become inputs."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from upscale.errors import InputError
from upscale.jobs.gather import gather, listed
from upscale.jobs.source import Source
from upscale.options import FolderOptions

Photo = Callable[..., Path]

TREE = (
    "b.png",
    "a.JPG",
    "notes.txt",
    "Thumbs.db",
    ".DS_Store",
    ".hidden.png",
    "camera.cr2",
    "README",
    "raw/c.tif",
    "raw/deep/d.webp",
    ".cache/e.png",
    "2019/f.png",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in TREE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"looked at by nobody yet")
    return folder


def found(folder: Path, results: Path | None = None, **options: object) -> list[str]:
    sources = gather([Source(folder)], FolderOptions(**options), results=results).sources  # type: ignore[arg-type]
    assert all(source.found and source.root == folder and source.error is None for source in sources)
    return [str(source.path.relative_to(folder)) for source in sources if source.path]


def test_one_level_unless_asked_for_more(tree: Path) -> None:
    assert found(tree) == ["a.JPG", "b.png"]
    assert found(tree, recursive=True) == ["a.JPG", "b.png", "2019/f.png", "raw/c.tif", "raw/deep/d.webp"]


def test_folders_deeper_than_the_stack(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*"d" * 200, "a.png")
    path.parent.mkdir(parents=True)
    path.touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        assert found(tmp_path, recursive=True) == [str(path.relative_to(tmp_path))]
    finally:
        sys.setrecursionlimit(limit)


def test_what_is_left_alone_is_counted(tree: Path) -> None:
    (tree / "link").symlink_to(tree / "raw")
    os.mkfifo(tree / "pipe.png")
    assert gather([Source(tree)], FolderOptions(recursive=True)).left_alone == {
        "hidden": 3,
        ".txt": 1,
        ".db": 1,
        ".cr2": 1,
        "without suffix": 1,
        "links to folders": 1,
        "no files": 1,
    }
    assert gather([Source(tree)]).left_alone["folders"] == 2


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"include": ("*.jpg",)}, ["a.JPG"]),
        ({"include": ("*.JPG", "raw/*")}, ["a.JPG", "raw/c.tif", "raw/deep/d.webp"]),
        ({"include": ("README",)}, ["README"]),
        ({"exclude": ("raw",)}, ["a.JPG", "b.png", "2019/f.png"]),
        ({"exclude": ("raw/",)}, ["a.JPG", "b.png", "2019/f.png"]),
        ({"exclude": ("raw/deep",)}, ["a.JPG", "b.png", "2019/f.png", "raw/c.tif"]),
        ({"exclude": ("*.png", "*.jpg")}, ["raw/c.tif", "raw/deep/d.webp"]),
        ({"include": ("*.png",), "exclude": ("2019/*",)}, ["b.png"]),
    ],
)
def test_patterns(options: dict[str, tuple[str, ...]], names: list[str], tree: Path) -> None:
    assert found(tree, recursive=True, **options) == names


def test_folder_of_results_is_not_looked_through(tree: Path) -> None:
    assert "raw/c.tif" not in found(tree, results=tree / "raw", recursive=True)
    assert "raw/c.tif" not in found(tree, results=tree / "2019" / ".." / "raw", recursive=True)
    assert len(found(tree, results=tree, recursive=True)) == 5


def test_loops_of_links_are_survived(tree: Path) -> None:
    (tree / "raw" / "up").symlink_to("..")
    (tree / "2019" / "again.png").symlink_to(tree)
    (tree / "self").symlink_to("self")
    assert len(found(tree, recursive=True)) == 5


def test_links_to_files_count_and_dangling_ones_are_not_hushed_up(tree: Path) -> None:
    (tree / "link.png").symlink_to("b.png")
    (tree / "dangling.png").symlink_to("gone.png")
    assert found(tree) == ["a.JPG", "b.png", "dangling.png", "link.png"]


def test_folder_may_be_a_link_itself(tree: Path) -> None:
    link = tree.with_name("link")
    link.symlink_to(tree)
    assert found(link) == ["a.JPG", "b.png"]


@pytest.mark.parametrize("options", [FolderOptions(), FolderOptions(recursive=True, exclude=("*",))])
def test_folder_without_pictures_is_an_error_of_its_own(options: FolderOptions, tree: Path) -> None:
    (tree / "a.JPG").unlink()
    (tree / "b.png").unlink()
    (source,) = gather([Source(tree)], options).sources
    assert isinstance(source.error, InputError) and "no picture in the folder" in source.error.message
    assert source.error.hint and ("--exclude" if options.exclude else "--recursive") in source.error.hint


def test_folder_that_may_not_be_entered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "raw":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    sources = gather([Source(tree)], FolderOptions(recursive=True)).sources
    assert [s.path.name for s in sources if s.path and not s.error] == ["a.JPG", "b.png", "f.png"]
    (bad,) = (source for source in sources if source.error)
    assert str(tree / "raw") in str(bad.error) and "Permission denied" in str(bad.error)


def test_each_file_once(tree: Path) -> None:
    sources = gather([Source(tree), Source(tree / "b.png"), Source(tree), Source(tree / "gone.png")]).sources
    assert [source.path.name for source in sources if source.path] == ["a.JPG", "b.png", "gone.png"]
    assert [source.found for source in sources] == [True, False, False]


def test_pipes_pass_through() -> None:
    source = Source(data=b"x")
    assert gather([source]).sources == (source,)


# --- lists ------------------------------------------------------------------------------------------------


def test_list_by_lines() -> None:
    data = "a.jpg\n\nb c.png\r\nümlaut.tif".encode()
    for mark in (b"", b"\xef\xbb\xbf"):  # editors on Windows begin a file with it
        paths = [source.path for source in listed(mark + data, nul=False)]
        assert paths == [Path("a.jpg"), Path("b c.png"), Path("ümlaut.tif")]


def test_list_with_zero_bytes_may_hold_any_name() -> None:
    names = ["a\nb.jpg", "'\" .png", "-dash.jpg", os.fsdecode(b"\xff\xfe.png"), "-"]
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    assert [str(source.path) for source in listed(data, nul=True)] == names


@pytest.mark.parametrize(
    ("name", "place"),
    [("./a/b/c.jpg", "a/b"), ("a/c.jpg", "a"), ("c.jpg", "."), ("/a/b/c.jpg", "."), ("../a/c.jpg", ".")],
)
def test_relative_names_keep_their_tree(name: str, place: str) -> None:
    (source,) = listed(name.encode(), nul=False)
    assert source.place == Path(place) and not source.found


def test_folder_in_a_list_is_looked_through(tree: Path) -> None:
    sources = gather(listed(str(tree).encode(), nul=False)).sources
    assert [source.root for source in sources] == [tree, tree]


def test_relative_folder_in_a_list_keeps_its_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the files in it would, if the list named them; patterns are those of the folder all the same."""
    monkeypatch.chdir(tree.parent)
    options = FolderOptions(recursive=True, include=("raw/*",))
    sources = gather(listed(b"./photos", nul=False), options).sources
    assert [source.place for source in sources] == [Path("photos/raw"), Path("photos/raw/deep")]
    monkeypatch.chdir(tree)
    sources = gather(listed(b"..", nul=False), FolderOptions(recursive=True)).sources
    assert {source.place for source in sources} >= {Path("photos/raw")}
    assert not any(".." in source.place.parts for source in sources)


def test_line_that_comes_twice_counts_once() -> None:
    assert len(gather(listed(b"a.jpg\n./a.jpg\nb.jpg", nul=False)).sources) == 2


def test_folders_that_moved_between_two_plans_are_seen(photo: Photo, tmp_path: Path) -> None:
    """Where a folder is is remembered while planning, and no longer."""
    photo("one/a.png")
    (tmp_path / "link").symlink_to("one")
    named = [Source(tmp_path / "one" / "a.png"), Source(tmp_path / "link", found=True)]
    assert len(gather(named).sources) == 1  # found once more through the link
    photo("two/a.png")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("two")
    assert len(gather(named).sources) == 2
