"""The Hub's client as we want it: silent, and telling us how far it is."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Tell = Callable[[str, int, int | None], None]
"""(file, bytes that have come, bytes in all if known): called while a file is on its way"""


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client from drawing bars, logging and warning: what goes wrong is raised, and we say it."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, drawn = logger.level, not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        if drawn:
            disable_progress_bars()
        try:
            yield
        finally:
            logger.setLevel(level)
            if drawn:
                enable_progress_bars()


def bar_class(file: str, tell: Tell) -> type[Any]:
    """Return a class of bars for the client to draw with, which draw nothing and tell instead."""
    from tqdm.std import tqdm  # type: ignore[import-untyped]  # the client's own

    class Telling(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            known = {name: kwargs.get(name) for name in ("total", "initial", "unit", "desc")}
            known["initial"] = known["initial"] or 0
            super().__init__(file=io.StringIO(), **known)
            self._tell()

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Draw nothing."""

        def update(self, n: float | None = 1) -> bool | None:
            moved: bool | None = super().update(n)
            self._tell()
            return moved

        def _tell(self) -> None:
            tell(file, int(self.n), None if self.total is None else int(self.total))

        def update_transfer(self, n: float | None = 1) -> None:
            """Ignore what Xet receives before it makes files of it; or it would open a second bar."""

        def set_transfer_postfix_str(self, *args: Any, **kwargs: Any) -> None:
            """Likewise."""

    return Telling
