"""What the host does beside a device that computes: noise for tiles to come, pixels of tiles that are done.

A GPU computes in a fraction of the time that these take, and would wait for them most of the time. On a CPU
all would take each other's cores, so there everything is done in its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

THREADS = 4  # that make things ahead: NumPy computes most of the time, and lets others run meanwhile

Recipe = Callable[[], Any]
"""How to make something. Equal ones, which hash alike, make the same."""


class Beside:
    """Host work in threads of its own where `threaded`, else at once; a context manager, which ends them."""

    def __init__(self, *, threaded: bool) -> None:
        self._makers = ThreadPoolExecutor(THREADS, thread_name_prefix="ahead") if threaded else None
        self._doer = ThreadPoolExecutor(1, thread_name_prefix="behind") if threaded else None
        self._made: dict[Recipe, Future[Any]] = {}
        self._doing: Future[None] | None = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._makers, self._doer):
            if pool:
                pool.shutdown(cancel_futures=True)

    def make_ahead(self, recipes: Iterable[Recipe]) -> None:
        """Begin to make what `take` will be asked for, unless it is on its way already."""
        if self._makers:
            for make in recipes:
                if make not in self._made:
                    self._made[make] = self._makers.submit(make)

    def take(self, make: Recipe) -> Any:
        """Return what an equal recipe has made ahead, or make it now."""
        coming = self._made.pop(make, None)
        return make() if coming is None else coming.result()

    def forget(self) -> None:
        """Let go of what was made ahead, and of what has not begun: other things will be asked for."""
        for coming in self._made.values():
            coming.cancel()
        self._made.clear()

    def do(self, task: Callable[[], None]) -> None:
        """Have something done behind all that was given before; one task waits at most.

        Raises:
            Exception: Whatever the task before raised.
        """
        if not self._doer:
            task()
            return
        self.wait()
        self._doing = self._doer.submit(task)

    def wait(self) -> None:
        """Wait until all tasks are done.

        Raises:
            Exception: Whatever one of them raised.
        """
        doing, self._doing = self._doing, None
        if doing:
            doing.result()
