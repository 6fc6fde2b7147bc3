"""Who hears what happens while a plan is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from upscale.jobs.engines import Engine
from upscale.jobs.items import Job
from upscale.jobs.report import Outcome

if TYPE_CHECKING:
    from upscale.engine.progress import Progress


class Listener:
    """Hears what happens; this one keeps quiet. Subclasses override what they show.

    Small files of one size are worked on together, and several devices beside each other.
    """

    def swept(self, files: int) -> None:
        """Temporary files that killed runs had left are removed."""

    def loaded(self, engine: Engine) -> None:
        """The weights are there, on one of the devices."""

    def gave_up(self, device: str, error: Exception) -> None:
        """A device can no more; the others go on with its files."""

    def started(self, jobs: Sequence[Job]) -> None:
        """Files are about to be worked on together."""

    def progressed(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Some tiles of these files are done."""

    def computed(self, jobs: Sequence[Job]) -> None:
        """The engine is through with these files; their results are written now."""

    def finished(self, outcome: Outcome) -> None:
        """An input has ended, well or not; these come in the order of the inputs."""
