"""Which pictures found in a folder are results of earlier runs, so that nobody enlarges them once more."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

_Size = tuple[int, int]

# As results are named unless asked otherwise: `photo_4x`, `photo_2.5x`, `photo_1920x1280`; renamed, with
# `-1` behind.
_NAME = re.compile(r"(?P<stem>.+)_(?:(?P<scale>\d+(?:\.\d+)?)x|(?P<width>\d+)x(?P<height>\d+))(?:-\d+)?")


def results_among(sizes: Mapping[Path, _Size]) -> set[Path]:
    """Return the pictures that are, by name and size, enlargements of another one beside them.

    Args:
        sizes: (width, height) in pixels of all pictures found, by path.
    """
    originals: dict[Path, list[_Size]] = defaultdict(list)
    for path, size in sizes.items():
        originals[path.with_suffix("")].append(size)
        if path.suffix:  # as `plan` tells `a.jpg` and `a.png` apart
            originals[path.with_name(f"{path.stem}_{path.suffix[1:]}")].append(size)
    results = set()
    for path, size in sizes.items():
        match = _NAME.fullmatch(path.stem)
        if match and any(
            _enlarges(size, match, old) for old in originals.get(path.with_name(match["stem"]), [])
        ):
            results.add(path)
    return results


def _enlarges(size: _Size, name: re.Match[str], original: _Size) -> bool:
    if size[0] < original[0] or size[1] < original[1]:  # `photo_1024x768` may be the thumbnail of `photo`
        return False
    if name["scale"] is None:
        return size == (int(name["width"]), int(name["height"]))
    scale = float(name["scale"])
    return size == (round(scale * original[0]), round(scale * original[1]))
