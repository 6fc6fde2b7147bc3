"""What steps train on, made while the steps before compute: by another thread, or by processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from upscale.training import objectives
from upscale.training.examples.photos import Photos
from upscale.training.loop.state import State
from upscale.training.recipe import Recipe

Place = tuple[int, int]  # step, detours: with the recipe's seed all that a batch depends on
WAITING = 4  # batches that each process has ready at most


def draws(recipe: Recipe, place: Place) -> torch.Generator:
    """Return what all random draws of the step at a place come from; after a return it is another one."""
    step, detours = place
    return torch.Generator().manual_seed(recipe.seed * 1_000_003 + step + detours * 10**12)


class Made(Dataset[Any]):
    """The batch of every place, made when it is asked for, on the device where the photos are."""

    def __init__(self, recipe: Recipe, photos: Photos, pages: Photos | None = None) -> None:
        self.recipe, self.photos, self.pages = recipe, photos, pages

    def __getitem__(self, place: Place) -> Any:
        """Return what the step at that place trains on."""
        generator, data = draws(self.recipe, place), self.recipe.data
        side, written = data.patch * self.recipe.scale, 0
        if self.pages and data.pages:
            drawn = torch.rand(data.batch, generator=generator) < data.pages
            written = min(int(drawn.sum()), data.batch - 1)  # crops of photos are taken in any case
        hr = self.photos.crops(side, replace(data, batch=data.batch - written), generator)
        if self.pages and written:
            hr = torch.cat([hr, self.pages.crops(side, replace(data, batch=written), generator)])
        return objectives.of(self.recipe).make_batch(hr, self.recipe, generator, written)


class Batches:
    """A run's batches, the next already in the making; a context manager, which ends what makes them.

    A step that nobody foresaw, behind a return to a good state, waits for its batch and gets the same as if
    it had been foreseen.

    Args:
        recipe: What is trained.
        photos: What crops are taken from; in the computer's memory where processes take them.
        workers: Processes that make batches; with none, a thread does.
        device: Where batches are wanted.
        pages: What the crops that are not spoilt are taken from, see `Data.pages`.
    """

    def __init__(
        self,
        recipe: Recipe,
        photos: Photos,
        workers: int = 0,
        device: str = "cpu",
        pages: Photos | None = None,
    ) -> None:
        self.made, self.workers, self.device = Made(recipe, photos, pages), workers, device
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: Iterator[Any] = iter(())
        self._foreseen: Place | None = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._coming = iter(())  # the processes end when nobody waits for them any more
        self._maker.shutdown(cancel_futures=True)

    def of(self, state: State) -> Any:
        """Return the batch of the state's next step, and have those behind it made.

        Raises:
            Exception: Whatever making it raised.
        """
        here = (state.step, state.detours)
        if here != self._foreseen:
            self._coming = self._by_processes(here) if self.workers else self._by_thread(here)
        self._foreseen = (state.step + 1, state.detours)
        return next(self._coming).to(self.device)

    def _by_thread(self, place: Place) -> Iterator[Any]:
        """Yield the batches from a place on, the next already in the making."""
        coming = self._maker.submit(self.made.__getitem__, place)
        for behind in _places(place, 1):
            batch = coming.result()
            coming = self._maker.submit(self.made.__getitem__, behind)
            yield batch

    def _by_processes(self, place: Place) -> Iterator[Any]:
        """Yield the same, several in the making at once."""
        return iter(
            DataLoader(
                self.made,
                batch_size=None,
                sampler=_places(place),  # has no end
                num_workers=self.workers,
                prefetch_factor=WAITING,
                pin_memory=self.device.startswith("cuda"),
            )
        )


def _places(place: Place, skipped: int = 0) -> Iterator[Place]:
    step, detours = place
    return ((later, detours) for later in itertools.count(step + skipped))
