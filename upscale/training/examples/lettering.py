"""Pages of text and rules, drawn in code."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from upscale.training.examples.colors import Color, paper, two_colors

VOCABULARY = """
about afternoon bakery Bicycle boat bread Bridge Café coffee corner Danger exit family Flowers garden harbour
Hotel island journey Kitchen ladder letter light Market museum north Open orange platform Police queue quick
river school Street summer Telephone ticket Tram umbrella village water Welcome yellow zoo
0123 456 789 10:30 24h No. 5 12.50 £3 1987 A7 X-ray & + % ! ? (left) [B] §2 @home 3/4 #1
"""
WORDS = VOCABULARY.split()
AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_text(seed: int, side: int, fonts: Sequence[Path] = ()) -> Image.Image:
    """Return a page [side x side, RGB] of words in lines, signs and rules; all of it follows from `seed`.

    Args:
        seed: Decides everything.
        side: In pixels. Letters are 8 pixels to a fifth of it high.
        fonts: TrueType files to choose from; none for the font that comes with Pillow.
    """
    chance = random.Random(seed)
    finer = chance.choice((1, 2))  # drawn twice as large and reduced, as letters in photographs are softer
    full = side * finer
    color, written = two_colors(chance)
    page = paper(chance, full, color)
    draw = ImageDraw.Draw(page)
    y = 0
    while y < full:
        size = round(full * 0.2 * (40 / side) ** chance.random())  # from a fifth of the side down to 8 pixels
        ink = written
        if chance.random() < 0.2:
            band, ink = two_colors(chance)
            draw.rectangle((0, y, full, round(y + 1.3 * size)), fill=band)
        if chance.random() < 0.12:
            _rules(draw, chance, y, size, full, ink)
        else:
            font = _font(chance, fonts, size)
            line = " ".join(chance.choices(WORDS, k=max(2, full // (2 * size))))
            draw.text((chance.randrange(-size, size), y), line, fill=ink, font=font)
        y += round(size * chance.uniform(1.1, 1.6))
    if chance.random() < 0.5:
        page = page.rotate(chance.gauss(0, 8), Image.Resampling.BICUBIC, fillcolor=color)
    return page.resize((side, side), Image.Resampling.BICUBIC) if finer > 1 else page


def _font(chance: random.Random, fonts: Sequence[Path], size: int) -> AnyFont:
    if not fonts:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(chance.choice(fonts)), size)


def _rules(
    draw: ImageDraw.ImageDraw, chance: random.Random, y: int, size: int, full: int, ink: Color
) -> None:
    """Draw a rule or a row of bars."""
    if chance.random() < 0.5:
        width = max(1, size // chance.randint(6, 40))
        draw.line((0, y + size // 2, full, y + size // 2), fill=ink, width=width)
        return
    pitch = max(4, size // 2)
    for x in range(0, full, pitch):
        draw.rectangle((x, y, x + pitch // 2, y + size), fill=ink)
