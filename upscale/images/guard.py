"""Pillow's global state, borrowed and given back.

Pillow keeps its limit against decompression bombs in a module variable and reports oddities as Python
warnings; both belong to the whole process. While any block inside `quiet` runs, the limit is the largest of
those asked for and warnings are silent; the last one to leave restores what was there. Blocks of several
threads run at once, so whoever needs the limit exactly compares sizes as well.
"""

from __future__ import annotations

import math
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image

_lock = threading.Lock()
_limits: list[float] = []  # of the blocks that run, in megapixels
_shared = ExitStack()  # gives back what they have in common
_PER_THREAD = bool(getattr(sys.flags, "context_aware_warnings", False))  # Python 3.14, free-threaded


@contextmanager
def quiet(max_mpix: float = math.inf) -> Iterator[None]:
    """Silence Pillow's warnings and let it raise on more than `max_mpix` megapixels while the block runs.

    Raises:
        PIL.Image.DecompressionBombError: A decoder meets more pixels (or its warning class, up to
        twice).
    """
    with ExitStack() as own:
        with _lock:
            if not _limits:
                _shared.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            if not _limits or _PER_THREAD:
                (own if _PER_THREAD else _shared).enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            _limits.append(max_mpix)
            _apply()
        try:
            yield
        finally:
            with _lock:
                _limits.remove(max_mpix)
                if _limits:
                    _apply()
                else:
                    _shared.close()


def _apply() -> None:
    limit = max(_limits)
    Image.MAX_IMAGE_PIXELS = None if math.isinf(limit) else math.floor(limit * 1e6)
