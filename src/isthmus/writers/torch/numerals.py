"""Numbers as short as they can be written without becoming others."""

from __future__ import annotations

import numpy as np


def shortest(value: float) -> float:
    """A float32 as the shortest decimal that is read as the same float32: 1e-05, not 9.999999747378752e-06.

    A number that is no float32 stays as it is; so do the largest ones, which PyTorch takes for an overflow where they
    are rounded up.
    """
    narrow = np.float32(value)
    if float(narrow) != value:
        return value
    short = float(str(narrow))
    return short if abs(short) <= float(np.finfo(np.float32).max) else value


def spelled(value: float) -> str:
    """A finite float as Python source, without what its exponent does not need."""
    return repr(value).replace("e+", "e").replace("e-0", "e-")
