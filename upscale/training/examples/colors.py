"""Colours and paper of drawn pages, by chance."""

from __future__ import annotations

import random

from PIL import Image

FAINTEST = 60  # levels of brightness between what is drawn and what it stands on
Color = tuple[int, int, int]


def two_colors(chance: random.Random) -> tuple[Color, Color]:
    """Return two colours that differ enough to be read; often almost black and white."""
    while True:
        spread = (0, 40) if chance.random() < 0.5 else (0, 255)
        dark = (chance.randint(*spread), chance.randint(*spread), chance.randint(*spread))
        light = tuple(255 - chance.randint(*spread) for _ in dark)
        if sum(light) - sum(dark) >= 3 * FAINTEST:
            pair = (dark, (light[0], light[1], light[2]))
            return pair if chance.random() < 0.4 else (pair[1], pair[0])


def any_color(chance: random.Random) -> Color:
    """Return any colour."""
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def paper(chance: random.Random, side: int, color: Color) -> Image.Image:
    """Return an empty page [side x side, RGB] of that colour; half of them run over into another near it."""
    page = Image.new("RGB", (side, side), color)
    if chance.random() < 0.5:
        shade = Image.linear_gradient("L").resize(page.size)
        page.paste(Image.new("RGB", page.size, _near(chance, color)), mask=shade)
    return page


def _near(chance: random.Random, color: Color) -> Color:
    """Return a colour that differs from `color` by at most 30 levels."""
    moved = [min(255, max(0, part + chance.randint(-30, 30))) for part in color]
    return moved[0], moved[1], moved[2]
