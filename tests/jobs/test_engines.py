"""What makes the pixels is loaded."""

from __future__ import annotations

import gc

import pytest

from upscale.errors import WeightsError
from upscale.jobs.engines import load_engine
from upscale.options import EngineOptions


def test_garbage_is_collected_again_after_loading_failed() -> None:
    with pytest.raises(WeightsError):
        load_engine(EngineOptions(model="./missing"))
    assert gc.isenabled()
