"""What a network is trained and scored in, by its name in recipes and on the command line."""

from __future__ import annotations

import torch

from upscale.errors import UsageError, choices

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def dtype_of(name: str) -> torch.dtype:
    """Return the dtype of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in DTYPES:
        raise UsageError(f"dtype {name} is unknown.", hint=choices(name, DTYPES))
    return DTYPES[name]
