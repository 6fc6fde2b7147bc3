"""How much of a picture is done, over all its stages."""

from __future__ import annotations

from upscale.engine.progress import Progress, ProgressCallback
from upscale.engine.stage import OnTile


class Work:
    """Adds up what the stages report.

    Attributes:
        notes: What they had to say.
    """

    def __init__(self, progress: ProgressCallback | None, stages: int, total: int) -> None:
        self._progress = progress
        self._stages = stages
        self._stage = 0
        self._done = 0
        self._shown = 0  # the most that was done: what memory or precision undid is not taken back
        self._total = total
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Take down what there is to say, once."""
        if message not in self.notes:
            self.notes.append(message)

    def next_stage(self) -> OnTile:
        """Return what the next stage reports to."""
        self._stage += 1

        def on_tile(tile: int, tiles: int, pixels: int, message: str | None) -> None:
            self._done += pixels
            self._shown = max(self._shown, self._done)
            if message is not None:
                self.note(message)
            if self._progress is not None:
                self._progress(
                    Progress(self._stage, self._stages, tile, tiles, self._shown, self._total, message)
                )

        return on_tile
