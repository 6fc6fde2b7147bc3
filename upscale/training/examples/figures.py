"""Drawings of flat colours, as icons and cartoons are: discs, buttons, stars, slices and curves."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from upscale.training.examples.colors import Color, any_color, paper, two_colors

FINER = 4  # drawn so many times as large and averaged, since Pillow draws edges in steps
SMALLEST, LARGEST = 16.0, 0.6  # of a figure: pixels, and share of the side
Point = tuple[float, float]


def draw_figures(seed: int, side: int) -> Image.Image:
    """Return a drawing [side x side, RGB] of figures over each other; all of it follows from `seed`.

    Args:
        seed: Decides everything.
        side: In pixels. Figures are about `SMALLEST` pixels to `LARGEST` of it wide; edges are smooth.
    """
    chance = random.Random(seed)
    full = side * FINER
    color, ink = two_colors(chance)
    canvas = paper(chance, full, color)
    draw = ImageDraw.Draw(canvas)
    fills = [ink, *(any_color(chance) for _ in range(chance.randint(1, 6)))]
    outlined = chance.random()  # of the figures of this drawing
    share = LARGEST
    while share * side > SMALLEST:  # from large to small, so that none hides all others
        for _ in range(round(1.2 / share)):
            size = share * full * chance.uniform(0.6, 1)
            fill = None if chance.random() < 0.2 else chance.choice(fills)
            edge = ink if fill is None or chance.random() < outlined else None
            width = max(1, round(min(chance.uniform(2, 9) * FINER, size / 8)))
            pencil = _Pencil(draw, chance, fill, edge, width)
            figure = chance.choice((pencil.disc, pencil.button, pencil.star, pencil.slice, pencil.curve))
            figure((chance.uniform(0, full), chance.uniform(0, full)), size)
        share *= 0.7
    return canvas.resize((side, side), Image.Resampling.BOX)


@dataclass(frozen=True)
class _Pencil:
    """Draws one figure, `size` pixels long, around a point."""

    draw: ImageDraw.ImageDraw
    chance: random.Random
    fill: Color | None
    edge: Color | None
    width: int  # of the edge, in pixels

    def disc(self, center: Point, size: float) -> None:
        self.draw.ellipse(self._box(center, size, self.chance.choice((1.0, 0.5))), *self._ink)

    def button(self, center: Point, size: float) -> None:
        """Draw a rectangle, often with round corners."""
        left, top, right, bottom = box = self._box(center, size, 0.4)
        radius = min(right - left, bottom - top) * self.chance.choice((0.0, 0.15, 0.3, 0.5))
        self.draw.rounded_rectangle(box, radius, *self._ink)

    def star(self, center: Point, size: float) -> None:
        """Draw a star, a triangle or another polygon."""
        corners = self.chance.randint(3, 8)
        radii = self.chance.choice(((0.5,), (0.5, 0.2), (0.5, 0.3))) * corners
        turned = self.chance.uniform(0, math.tau)
        angles = [turned + math.tau * index / len(radii) for index in range(len(radii))]
        points = [
            (center[0] + size * radius * math.cos(angle), center[1] + size * radius * math.sin(angle))
            for radius, angle in zip(radii, angles, strict=True)
        ]
        self.draw.polygon(points, *self._ink)

    def slice(self, center: Point, size: float) -> None:
        """Draw a slice of a pie."""
        first = self.chance.uniform(0, 360)
        last = first + self.chance.uniform(20, 340)
        self.draw.pieslice(self._box(center, size, 1.0), first, last, *self._ink)

    def curve(self, center: Point, size: float) -> None:
        """Draw a line with round ends, straight or a cubic Bezier curve."""
        a, b, c, d = (complex(*(part + self.chance.gauss(0, size) for part in center)) for _ in range(4))
        if self.chance.random() < 0.4:
            b, c = a, d
        times = [step / 32 for step in range(33)]
        curve = [(1 - t) ** 3 * a + 3 * t * (1 - t) * ((1 - t) * b + t * c) + t**3 * d for t in times]
        ink, half = self.edge or self.fill, self.width / 2
        self.draw.line([(z.real, z.imag) for z in curve], ink, self.width, joint="curve")
        for z in (a, d):
            self.draw.ellipse((z.real - half, z.imag - half, z.real + half, z.imag + half), ink)

    @property
    def _ink(self) -> tuple[Color | None, Color | None, int]:
        return self.fill, self.edge, self.width

    def _box(self, center: Point, size: float, flattest: float) -> tuple[int, int, int, int]:
        """Return a box, lying or standing, its shorter side at least `flattest` of the longer one."""
        width, height = size, size * self.chance.uniform(flattest, 1)
        if self.chance.random() < 0.5:
            width, height = height, width
        left, top = round(center[0] - width / 2), round(center[1] - height / 2)
        return left, top, left + round(width), top + round(height)
