"""Photos in memory and random crops of them.

All photos are decoded once and kept as uint8, on the training device. Which crops a step sees depends only on
the generator it is given, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from upscale.errors import InputError
from upscale.training.examples.decode import NoPicture, decoded
from upscale.training.examples.resample import resample
from upscale.training.examples.tones import recolored, without_color
from upscale.training.recipe import Data


class Photos:
    """Photographs to crop from, chosen with probability in proportion to their area.

    Attributes:
        images: uint8 tensors [3, H, W].
    """

    def __init__(self, images: list[Tensor]) -> None:
        self.images = images
        areas = torch.tensor([float(image.shape[1] * image.shape[2]) for image in images])
        self._weights = areas / areas.sum()

    @classmethod
    def load(cls, folders: Iterable[Path], *, min_side: int, device: str = "cpu") -> Photos:
        """Decode every picture below `folders` whose sides are at least `min_side` pixels, in sorted order.

        Raises:
            InputError: A folder holds no such picture, or a damaged one.
        """
        images = []
        for folder in folders:
            found = 0
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                try:
                    pixels = decoded(path)
                except NoPicture:
                    continue  # lists of sources and licences lie beside photos
                if min(pixels.shape[:2]) >= min_side:
                    images.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous().to(device))
                    found += 1
            if not found:
                raise InputError(f"No picture of at least {min_side} pixels a side in {folder}.")
        return cls(images)

    def crops(self, side: int, data: Data, generator: torch.Generator) -> Tensor:
        """Return as many random crops as a batch holds, mirrored, turned and reduced at random.

        Args:
            side: Their sides in pixels.
            data: How many, and how they are taken; reduced ones by an antialiased bicubic.
            generator: Decides everything.

        Returns:
            [B, 3, side, side] float32 in [-1, 1].
        """
        drawn = data.batch * data.among
        chosen = torch.multinomial(self._weights, drawn, replacement=True, generator=generator).tolist()
        draws = torch.rand(drawn, 6, generator=generator).tolist()
        windows = [self._window(index, side, data, u) for index, u in zip(chosen, draws, strict=True)]
        if data.among > 1:
            details = torch.stack([detail(window, side) for window in windows]).cpu()
            picked = torch.multinomial(details.view(data.batch, data.among), 1, generator=generator)[:, 0]
            windows = [windows[i * data.among + k] for i, k in enumerate(picked.tolist())]
        out = torch.empty(data.batch, 3, side, side, device=self.images[0].device)
        for crop, window in zip(out, windows, strict=True):
            if window.shape[1] == side:
                crop.copy_(window)
            else:
                torch.clamp(resample(window.float(), side, side), 0, 255, out=crop)
        if data.recolored:
            out = recolored(out, data.recolored, generator)
        if data.gray:
            out = without_color(out, data.gray, generator)
        return out.div_(127.5).sub_(1)

    def _window(self, index: int, side: int, data: Data, u: list[float]) -> Tensor:
        """Return a square part of a photo, [3, S, S] with S at least `side`, as six uniform draws say."""
        image = self.images[index]
        height, width = image.shape[1:]
        larger = (data.shrink_max - 1) * u[0] / data.shrink if u[0] < data.shrink else 0.0
        source = min(round(side * (1 + larger)), height, width)
        top, left = int(u[1] * (height - source + 1)), int(u[2] * (width - source + 1))
        window = image[:, top : top + source, left : left + source]
        window = window.flip([axis for axis, odd in ((2, u[3] < 0.5), (1, u[4] < data.turn)) if odd])
        return window.transpose(1, 2) if u[5] < data.turn else window


def detail(window: Tensor, side: int) -> Tensor:
    """Return how much goes on in a window [3, S, S] uint8, seen at `side` pixels: a number above 0.

    It is the mean difference in green between neighbours.
    """
    apart = max(1, round(window.shape[1] / side))
    green = window[1].float()
    here = green[:-apart, :-apart]
    return ((here - green[apart:, :-apart]).abs() + (here - green[:-apart, apart:]).abs()).mean() + 0.1
