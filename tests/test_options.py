"""Settings are checked where they are made, so that nothing behind has to; errors carry their exit code."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale import errors
from upscale.errors import ExitCode, UpscaleError, UsageError
from upscale.options import (
    DEVICES,
    DTYPES,
    MAX_SCALE,
    MAX_SEED,
    MAX_STEPS,
    MIN_TILE_PX,
    EngineOptions,
    FileOptions,
    TargetSize,
)

CODES = {
    "UsageError": 2,
    "InputError": 3,
    "OutputError": 4,
    "WeightsError": 5,
    "DeviceError": 6,
}


def test_every_error_has_its_code() -> None:
    classes = {
        name: c for name, c in vars(errors).items() if isinstance(c, type) and issubclass(c, UpscaleError)
    }
    del classes["UpscaleError"]
    assert {name: int(c.exit_code) for name, c in classes.items()} == CODES


def test_errors_say_what_and_what_to_do() -> None:
    error = UsageError("It is wrong.", hint="Do it right.")
    assert (error.message, error.hint, str(error)) == (
        "It is wrong.",
        "Do it right.",
        "It is wrong. Do it right.",
    )
    assert str(UsageError("It is wrong.")) == "It is wrong." and UsageError("x").hint is None
    assert UpscaleError("x").exit_code is ExitCode.BUG


# --- how large ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        ({}, (1200, 800)),
        ({"scale": 1}, (300, 200)),
        ({"scale": 2.5}, (750, 500)),
        ({"scale": 64}, (19200, 12800)),
        ({"width": 1000}, (1000, 667)),
        ({"height": 300}, (450, 300)),
        ({"long_side": 900}, (900, 600)),
        ({"megapixels": 0.54}, (900, 600)),
        ({"box": (900, 5000)}, (900, 600)),
        ({"box": (5000, 600)}, (900, 600)),
    ],
    ids=str,
)
def test_ways_of_saying_how_large(request_: dict[str, Any], size: tuple[int, int]) -> None:
    assert TargetSize(**request_).resolve(300, 200) == size


@given(width=st.integers(1, 10_000), height=st.integers(1, 10_000), scale=st.floats(1, MAX_SCALE))
def test_scale_is_exact(width: int, height: int, scale: float) -> None:
    assert TargetSize(scale=scale).resolve(width, height) == (round(scale * width), round(scale * height))


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    x=st.integers(1, 30_000),
    y=st.integers(1, 30_000),
)
def test_what_is_asked_for_is_met(width: int, height: int, x: int, y: int) -> None:
    try:
        assert TargetSize(width=x).resolve(width, height)[0] == x
        assert TargetSize(height=y).resolve(width, height)[1] == y
        assert max(TargetSize(long_side=x).resolve(width, height)) == x
        big = TargetSize(box=(x, y)).resolve(width, height)
        assert big[0] <= x and big[1] <= y and (big[0] == x or big[1] == y)
        assert big[0] >= width and big[1] >= height
    except UsageError as error:
        assert "than the input" in error.message or "times the input" in error.message


@pytest.mark.parametrize("scale", [0, -1, 0.99, 64.01, 1000, math.nan, math.inf, -math.inf])
def test_scales_out_of_range(scale: float) -> None:
    with pytest.raises(UsageError, match="--scale .* is out of range") as caught:
        TargetSize(scale=scale)
    assert "1 (restores without enlarging) to 64" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"width": 0}, "--width 0"),
        ({"height": -5}, "--height -5"),
        ({"long_side": 0}, "--long-side 0"),
        ({"width": 10**400}, "--width 1000"),  # more than a float holds
        ({"height": math.nan}, "--height nan"),
        ({"box": (5, 10**400)}, "--size 5x1000"),
        ({"box": (math.inf, 5)}, "--size infx5"),
        ({"megapixels": 0}, "--megapixels 0"),
        ({"megapixels": math.nan}, "--megapixels nan"),
        ({"megapixels": math.inf}, "--megapixels inf"),
        ({"box": (0, 5)}, "--size 0x5"),
        *(({"box": value}, "--size .* is not a width and height") for value in (40, (40,), "40x40", "44")),
        ({"scale": "4"}, "--scale '4' is not a number"),
        ({"scale": 2, "width": 5}, "--scale and --width exclude each other"),
        ({"box": (5, 5), "long_side": 5}, "--long-side and --size exclude each other"),
    ],
    ids=str,
)
def test_sizes_that_cannot_be(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        TargetSize(**request_)
    assert caught.value.hint


@pytest.mark.parametrize("request_", [{"width": 299}, {"box": (5000, 199)}, {"megapixels": 0.05}], ids=str)
def test_shrinking_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"smaller than the input \(300x200, factor"):
        TargetSize(**request_).resolve(300, 200)


def test_more_than_64_times_is_refused() -> None:
    with pytest.raises(UsageError, match="more than 64 times the input"):
        TargetSize(width=300 * 64 + 1).resolve(300, 200)


# --- how ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {},
        *({"device": name.replace("N", "11")} for name in DEVICES),
        *({"device": name} for name in ("cpu:0", "mps:0")),  # as torch writes them
        *({"dtype": name} for name in DTYPES),
        *({"steps": value} for value in (1, MAX_STEPS)),
        *({"start": value} for value in (1e-3, 1.0)),
        {"start": 0.5, "samples": 2, "steps": 1, "map_uncertainty": True},
        *({"seed": value} for value in (0, MAX_SEED)),
        {"tile_px": MIN_TILE_PX},
        *({"denoise": value} for value in (None, 0, 1)),
        {"denoise": 0, "consistency": True},
        {"seed": np.int64(3), "steps": np.int32(2), "denoise": np.float32(0.5)},
    ],
    ids=str,
)
def test_engine_options_in_range(values: dict[str, Any]) -> None:
    options = EngineOptions(**values)
    assert EngineOptions(**dataclasses.asdict(options)) == options


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"steps": 0}, "--steps 0"),
        ({"steps": MAX_STEPS + 1}, "--steps 2001"),
        *(({"start": value}, "--start") for value in (0.0, -0.5, 1.01, float("nan"))),
        ({"seed": -1}, "--seed -1"),
        ({"seed": MAX_SEED + 1}, "--seed"),
        ({"denoise": -0.1}, "--denoise -0.1"),
        ({"denoise": 1.1}, "--denoise 1.1"),
        ({"denoise": math.nan}, "--denoise nan"),
        ({"denoise": 0.1, "consistency": True}, "exclude each other"),
        ({"tile_px": MIN_TILE_PX - 1}, "--tile 31"),
        ({"device": "gpu"}, "--device gpu"),
        ({"device": "cuda:"}, "--device cuda:"),
        ({"device": "cuda:-1"}, "--device"),
        ({"device": "cpu:1"}, "--device"),
        ({"device": "cuda:1\n"}, "--device"),
        ({"device": "cpu,gpu"}, "'gpu' in --device cpu,gpu"),
        ({"device": "cuda:0,"}, "'' in --device"),
        ({"device": "cuda:0,auto"}, "auto stands alone"),
        ({"device": "all,cpu"}, "all stands alone"),
        ({"dtype": "float32"}, "--dtype float32"),
        ({"steps": 2.0}, "--steps 2.0 is not a whole number"),
        ({"steps": True}, "--steps True is not a whole number"),
        ({"fidelity": True}, "--fidelity True is not a number"),
        ({"consistency": "no"}, "--consistency 'no' is not True or False"),
        ({"samples": 2.0}, "--samples 2.0 is not a whole number"),
        ({"samples": None}, "--samples None is not a whole number"),
        ({"tile_px": 64.5}, "--tile 64.5 is not a whole number"),
        ({"seed": "1"}, "--seed '1' is not a whole number"),
        ({"fidelity": "faithful"}, "--fidelity 'faithful' is not a number"),
        ({"start": "1"}, "--start '1' is not a number"),
        ({"device": 0}, "--device 0 is not a name"),
        ({"model": None}, "--model None is not a name"),
    ],
    ids=str,
)
def test_engine_options_out_of_range(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        EngineOptions(**values)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"quality": 0}, "--quality 0"),
        ({"quality": 101}, "--quality 101"),
        ({"max_input_mpix": 0}, "--max-input-mpix 0"),
        ({"max_input_mpix": math.nan}, "--max-input-mpix nan"),
    ],
    ids=str,
)
def test_file_options_out_of_range(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        FileOptions(**values)
    FileOptions(quality=1, max_input_mpix=math.inf)


@pytest.mark.parametrize("wrong", [{"dtype": "bf61"}, {"color_fix": "wavlet"}], ids=str)
def test_the_nearest_of_the_known_names_is_told(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"Did you mean (bf16|wavelet)\? Choose from auto, "):
        EngineOptions(**wrong)  # type: ignore[arg-type]
