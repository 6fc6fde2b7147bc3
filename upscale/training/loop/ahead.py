"""What steps train on, each batch made by another thread while the step before it computes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch

from upscale.training import objectives
from upscale.training.examples.photos import Photos
from upscale.training.loop.state import State
from upscale.training.recipe import Recipe

Place = tuple[int, int]  # step, detours: with the recipe's seed all that a batch depends on


def draws(recipe: Recipe, place: Place) -> torch.Generator:
    """Return what all random draws of the step at a place come from; after a return it is another one."""
    step, detours = place
    return torch.Generator().manual_seed(recipe.seed * 1_000_003 + step + detours * 10**12)


class Batches:
    """A run's batches, the next one already in the making; a context manager, which ends the thread.

    A step that nobody foresaw, behind a return to a good state, waits for its batch and gets the same as if
    it had been foreseen.
    """

    def __init__(self, recipe: Recipe, photos: Photos) -> None:
        self.recipe, self.photos = recipe, photos
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: dict[Place, Future[Any]] = {}

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._maker.shutdown(cancel_futures=True)

    def of(self, state: State) -> Any:
        """Return the batch of the state's next step, and have the one behind it made.

        Raises:
            Exception: Whatever making it raised.
        """
        here, behind = (state.step, state.detours), (state.step + 1, state.detours)
        batch = self._coming.get(here) or self._maker.submit(self._make, here)
        result = batch.result()
        self._coming = {behind: self._maker.submit(self._make, behind)}
        return result

    def _make(self, place: Place) -> Any:
        generator, data = draws(self.recipe, place), self.recipe.data
        hr = self.photos.crops(data.patch * self.recipe.scale, data, generator)
        return objectives.of(self.recipe).make_batch(hr, self.recipe, generator)
