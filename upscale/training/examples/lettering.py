"""Pages of text and lines, drawn in code: photographs hold too few letters to learn from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

VOCABULARY = """
about afternoon bakery Bicycle boat bread Bridge Café coffee corner Danger exit family Flowers garden harbour
Hotel island journey Kitchen ladder letter light Market museum north Open orange platform Police queue quick
river school Street summer Telephone ticket Tram umbrella village water Welcome yellow zoo
0123 456 789 10:30 24h No. 5 12.50 £3 1987 A7 X-ray & + % ! ? (left) [B] §2 @home 3/4 #1
"""
WORDS = VOCABULARY.split()
FAINTEST = 60  # levels of brightness between letters and what they stand on
Color = tuple[int, int, int]
AnyFont = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_page(seed: int, side: int, fonts: Sequence[Path] = ()) -> Image.Image:
    """Return a page [side x side, RGB] of words in lines, signs and rules; all of it follows from `seed`.

    Args:
        seed: Decides everything.
        side: In pixels. Letters are 8 pixels to a fifth of it high.
        fonts: TrueType files to choose from; none for the font that comes with Pillow.
    """
    chance = random.Random(seed)
    finer = chance.choice((1, 2))  # drawn twice as large and reduced, as letters in photographs are softer
    full = side * finer
    paper, written = _colors(chance)
    page = Image.new("RGB", (full, full), paper)
    if chance.random() < 0.5:
        shade = Image.linear_gradient("L").resize(page.size)
        page.paste(Image.new("RGB", page.size, _near(chance, paper)), mask=shade)
    draw = ImageDraw.Draw(page)
    y = 0
    while y < full:
        size = round(full * 0.2 * (40 / side) ** chance.random())  # from a fifth of the side down to 8 pixels
        ink = written
        if chance.random() < 0.2:
            band, ink = _colors(chance)
            draw.rectangle((0, y, full, round(y + 1.3 * size)), fill=band)
        if chance.random() < 0.12:
            _shapes(draw, chance, y, size, full, ink)
        else:
            font = _font(chance, fonts, size)
            line = " ".join(chance.choices(WORDS, k=max(2, full // (2 * size))))
            draw.text((chance.randrange(-size, size), y), line, fill=ink, font=font)
        y += round(size * chance.uniform(1.1, 1.6))
    if chance.random() < 0.5:
        page = page.rotate(chance.gauss(0, 8), Image.Resampling.BICUBIC, fillcolor=paper)
    return page.resize((side, side), Image.Resampling.BICUBIC) if finer > 1 else page


def draw_pages(folder: Path, count: int, side: int, fonts: Sequence[Path] = ()) -> None:
    """Write `count` pages as PNG into `folder`, with seeds from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        draw_page(seed, side, fonts).save(folder / f"page-{seed:03}.png")


def _font(chance: random.Random, fonts: Sequence[Path], size: int) -> AnyFont:
    if not fonts:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(chance.choice(fonts)), size)


def _colors(chance: random.Random) -> tuple[Color, Color]:
    """Return two colours that differ enough to be read; often almost black and white."""
    while True:
        spread = (0, 40) if chance.random() < 0.5 else (0, 255)
        dark = (chance.randint(*spread), chance.randint(*spread), chance.randint(*spread))
        light = tuple(255 - chance.randint(*spread) for _ in dark)
        if sum(light) - sum(dark) >= 3 * FAINTEST:
            pair = (dark, (light[0], light[1], light[2]))
            return pair if chance.random() < 0.4 else (pair[1], pair[0])


def _near(chance: random.Random, color: Color) -> Color:
    moved = [min(255, max(0, part + chance.randint(-30, 30))) for part in color]
    return moved[0], moved[1], moved[2]


def _shapes(
    draw: ImageDraw.ImageDraw, chance: random.Random, y: int, size: int, full: int, ink: Color
) -> None:
    """Draw a row of rules, bars, circles or slanting lines."""
    kind, pitch, width = chance.randrange(4), max(4, size // 2), max(1, size // chance.randint(6, 40))
    if kind == 0:
        draw.line((0, y + size // 2, full, y + size // 2), fill=ink, width=width)
        return
    for x in range(0, full, pitch):
        if kind == 1:
            draw.rectangle((x, y, x + pitch // 2, y + size), fill=ink)
        elif kind == 2:
            draw.ellipse((x, y, x + pitch - 2, y + pitch - 2), outline=ink, width=width)
        else:
            draw.line((x, y, x + size, y + size), fill=ink, width=width)
