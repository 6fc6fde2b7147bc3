"""How a picture is cut into tiles, as pure geometry.

A tile has a core, the pixels it answers for, and a window, its core with a halo of context. Cores cover the
picture without overlap, all edges lie on multiples of what the network needs, and windows end at the
picture's border, so that a tile there sees the same border as the untiled picture does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: columns `left` to `right` - 1, rows `top` to `bottom` - 1."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    @property
    def area(self) -> int:
        """Pixels."""
        return self.width * self.height

    def times(self, factor: int) -> Box:
        """Return the same rectangle on a `factor` times finer grid."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)

    def within(self, width: int, height: int) -> Box:
        """Return the part inside a picture of that size."""
        return Box(self.left, self.top, min(self.right, width), min(self.bottom, height))


@dataclass(frozen=True)
class Tiling:
    """How to cut.

    Attributes:
        size: (width, height) of the picture in pixels.
        multiple_of: Edges lie on multiples of this; beyond the picture if its size is not one.
        halo_px: Context around each core.
    """

    size: tuple[int, int]
    multiple_of: int
    halo_px: int

    @property
    def padded(self) -> tuple[int, int]:
        """(width, height) rounded up to multiples of `multiple_of`."""
        width, height = (_round_up(side, self.multiple_of) for side in self.size)
        return width, height

    def cores(self, tile_px: int) -> list[Box]:
        """Return cores of about equal size, at most `tile_px` wide and high, row by row."""
        width, height = self.padded
        return list(self.split(Box(0, 0, width, height), tile_px))

    def split(self, core: Box, tile_px: int) -> list[Box]:
        """Return the parts of a core that are at most `tile_px` wide and high."""
        rows = _cuts(core.top, core.bottom, tile_px, self.multiple_of)
        columns = _cuts(core.left, core.right, tile_px, self.multiple_of)
        return [Box(left, top, right, bottom) for top, bottom in rows for left, right in columns]

    def window(self, core: Box) -> Box:
        """Return the core with its halo, cut off at the padded picture's border."""
        halo = _round_up(self.halo_px, self.multiple_of)
        width, height = self.padded
        return Box(
            max(0, core.left - halo),
            max(0, core.top - halo),
            min(width, core.right + halo),
            min(height, core.bottom + halo),
        )

    def full_px(self, tile_px: int) -> int:
        """Return the most pixels that the window of a tile of `tile_px` can have in any picture."""
        most = max(self.multiple_of, tile_px // self.multiple_of * self.multiple_of)
        return (most + 2 * _round_up(self.halo_px, self.multiple_of)) ** 2


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _cuts(start: int, stop: int, most: int, multiple: int) -> list[tuple[int, int]]:
    most = max(multiple, most // multiple * multiple)
    count = -(-(stop - start) // most)
    units = (stop - start) // multiple
    edges = [start + units * i // count * multiple for i in range(count + 1)]
    return list(zip(edges, edges[1:], strict=False))
