"""Pillow's global state, borrowed and given back.

Pillow keeps its limit against decompression bombs in a module variable and reports oddities as Python
warnings; both belong to the whole process. Inside `quiet` the limit is ours and warnings are silent; a lock
makes reads wait for each other, and leaving restores what was there.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_lock = threading.RLock()


@contextmanager
def quiet(max_mpix: float = math.inf) -> Iterator[None]:
    """Silence Pillow's warnings and let it raise on more than `max_mpix` megapixels while the block runs.

    Raises:
        PIL.Image.DecompressionBombError: A decoder meets more pixels (or its warning class, up to
        twice).
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if math.isinf(max_mpix) else math.floor(max_mpix * 1e6)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
