"""Names -> inputs: folders are looked through, lists are read; no picture is opened yet.

Links to folders are not followed, so that loops and folders elsewhere are no concern; a link to a file is as
good as the file. Hidden files, the folder of the results and what no picture is are left alone and counted.
"""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from upscale.errors import InputError
from upscale.images.read import readable_suffixes
from upscale.jobs.identity import identity, look_again
from upscale.jobs.source import Source
from upscale.options import FolderOptions


@dataclass(frozen=True)
class Gathered:
    """All inputs, each file once.

    Attributes:
        sources: Those named, in their order; those found in a folder stand where it was named, sorted.
        left_alone: How many files were passed over, by what they are.
    """

    sources: tuple[Source, ...]
    left_alone: Mapping[str, int]


def gather(
    sources: Iterable[Source], options: FolderOptions | None = None, *, results: Path | None = None
) -> Gathered:
    """Replace the folders among some inputs by the pictures in them.

    Args:
        sources: Files, folders, and bytes from a pipe.
        options: Which files of a folder count.
        results: Folder that results go to; not looked through where it lies in one of the folders.
    """
    look_again()
    search = _Search(options or FolderOptions(), None if results is None else identity(results / "x").parent)
    named = list(sources)
    taken = {identity(s.path) for s in named if s.path is not None and s.root is None}
    gathered: list[Source] = []
    for source in named:
        if source.path is None or source.error is not None:
            gathered.append(source)
            continue
        for item in search.inside(source) if _is_folder(source.path) else (source,):
            assert item.path is not None
            if item.error is not None:
                gathered.append(item)
                continue
            place = identity(item.path)
            if item.root is not None and place in taken:  # named and found, or found twice: once is enough
                continue
            taken.add(place)
            gathered.append(item)
    return Gathered(tuple(gathered), search.left_alone)


def listed(data: bytes, *, nul: bool) -> list[Source]:
    r"""Return the inputs that a list names, one a line or separated by `\0`; their order and tree are kept.

    A relative name keeps its folders below `-o`, as with rsync; an absolute one, or one through `..`, does
    not.
    """
    data = data.removeprefix(codecs.BOM_UTF8)  # which editors on Windows write
    names = data.split(b"\0") if nul else data.splitlines()
    paths = [Path(os.fsdecode(name)) for name in names if name]
    return [Source(path, root=path.parent if _leads_away(path) else Path()) for path in paths]


def _leads_away(path: Path) -> bool:
    return path.is_absolute() or bool(path.anchor) or ".." in path.parts


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # reading it will say what is wrong
        return False


@dataclass
class _Search:
    options: FolderOptions
    results: Path | None  # with its parents resolved
    left_alone: Counter[str] = field(default_factory=Counter)

    def inside(self, source: Source) -> list[Source]:
        """Return the pictures in a folder; in one of a list, with the list's tree."""
        assert source.path is not None
        found = self.pictures(source.path)
        if source.root is None or _leads_away(source.path):
            return found
        return [replace(item, root=source.root) for item in found]

    def pictures(self, root: Path) -> list[Source]:
        """Return the pictures in a folder, or one source that says why there are none."""
        found = list(self._walk(root))
        if found:
            return found
        hint = None if self.options.recursive else "Give --recursive to look into its folders too."
        if self.options.include or self.options.exclude:
            hint = "Check --include and --exclude."
        error = InputError(f"There is no picture in the folder {root}.", hint=hint)
        return [Source(root, root=root, found=True, error=error)]

    def _walk(self, root: Path) -> Iterator[Source]:
        waiting = [root]  # no recursion: folders may lie deeper than Python's stack
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                reason = InputError(f"The folder {folder} cannot be looked through: {error.strerror}.")
                yield Source(folder, root=root, found=True, error=reason)
                continue
            inner: list[Path] = []
            for entry in ordered:
                path = folder / entry.name
                if entry.name.startswith("."):
                    self.left_alone["hidden"] += 1
                elif entry.is_dir(follow_symlinks=False):
                    inner.append(path)
                elif _is_folder(path):
                    self.left_alone["links to folders"] += 1
                elif kind := self._refused(path, path.relative_to(root)):
                    self.left_alone[kind] += 1
                elif entry.is_symlink() or entry.is_file():  # a dangling link is an input that cannot be read
                    yield Source(path, root=root, found=True)
                else:
                    self.left_alone["no files"] += 1  # sockets, pipes
            for path in reversed(inner):  # the first of them is looked through next
                if not self.options.recursive:
                    self.left_alone["folders"] += 1
                elif _matches(path.relative_to(root), self.options.exclude):
                    self.left_alone["excluded"] += 1
                elif self.results is not None and identity(path) == self.results:
                    self.left_alone["the results' folder"] += 1
                else:
                    waiting.append(path)

    def _refused(self, path: Path, inside: PurePath) -> str:
        """Return as what a file is left alone; empty if it is not."""
        if _matches(inside, self.options.exclude):
            return "excluded"
        if self.options.include:
            return "" if _matches(inside, self.options.include) else "not included"
        suffix = path.suffix.lower()
        return "" if suffix in readable_suffixes() else suffix or "without suffix"


def _matches(inside: PurePath, patterns: Iterable[str]) -> bool:
    """Whether a pattern fits the name, or if it has a slash, the path below the folder; in any case."""
    path = inside.as_posix().casefold()
    name = inside.name.casefold()
    return any(
        fnmatchcase(path if "/" in pattern.strip("/") else name, pattern.strip("/").casefold())
        for pattern in patterns
    )
