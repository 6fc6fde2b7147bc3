"""Small pictures drawn in code, a model that exists on paper, and a quick and honest engine: bicubic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale.images.picture import Picture
from upscale.jobs.request import Request
from upscale.jobs.source import Source
from upscale.models.config import ModelConfig
from upscale.options import EngineOptions, FileOptions, TargetSize


@dataclass(frozen=True)
class Step:
    """What an engine reports."""

    stage: int
    stages: int
    tile: int
    tiles: int
    done: int
    total: int
    message: str | None = None
    frame: int = 1
    frames: int = 1


class Bicubic:
    """An engine without a network; `hook` is called before each picture."""

    def __init__(self) -> None:
        self.loads = 0
        self.hook: Callable[[Picture], None] = lambda picture: None

    def __call__(self, options: EngineOptions) -> Bicubic:
        self.loads += 1
        return self

    def together(self, size: tuple[int, int], target: tuple[int, int]) -> int:
        return 1

    def upscale_many(
        self,
        pictures: Sequence[Picture],
        size: tuple[int, int],
        progress: Callable[[Step], None] | None = None,
    ) -> list[Picture]:
        return [self.upscale(picture, size, progress) for picture in pictures]

    def upscale(
        self, picture: Picture, size: tuple[int, int], progress: Callable[[Step], None] | None = None
    ) -> Picture:
        self.hook(picture)
        if progress is not None:
            for done in range(3):
                progress(Step(1, 1, done + 1, 3, done + 1, 3))
        image = Image.fromarray(picture.color.squeeze()).resize(size, Image.Resampling.BICUBIC)
        color = np.asarray(image)
        return replace(picture, color=color if color.ndim == 3 else color[:, :, None], alpha=None)


@pytest.fixture
def engine() -> Bicubic:
    return Bicubic()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder good enough to plan with."""
    folder = tmp_path_factory.mktemp("paper-model")
    config = ModelConfig(name="paper", arch="none", network={}, scale=4)
    (folder / "config.json").write_text(config.to_json())
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Draw a picture: `photo("a.jpg", size=(12, 8))`."""

    def draw(
        name: str = "photo.jpg", *, size: tuple[int, int] = (12, 8), mode: str = "RGB", seed: int = 0
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        levels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(levels).convert(mode).save(path)
        return path

    return draw


@pytest.fixture
def request_for(model: str) -> Callable[..., Request]:
    """Ask for some files: `request_for(a, b, output="big/", scale=8, on_conflict="skip")`."""

    def ask(*sources: Path | bytes, output: str | None = None, **options: object) -> Request:
        def pick(kind: type) -> dict[str, object]:
            return {name: value for name, value in options.items() if name in kind.__dataclass_fields__}

        assert all(
            any(name in pick(kind) for kind in (TargetSize, EngineOptions, FileOptions)) for name in options
        )
        return Request(
            tuple(Source(data=s) if isinstance(s, bytes) else Source(Path(s)) for s in sources),
            output,
            TargetSize(**pick(TargetSize)),
            EngineOptions(**{"model": model, **pick(EngineOptions)}),
            FileOptions(**pick(FileOptions)),
        )

    return ask
