"""Numbers as short as they can be written without becoming others."""

from __future__ import annotations

import numpy as np


def shortest(value: float) -> float:
    """A float32 as the shortest decimal that is read as the same float32: 1e-05, not 9.999999747378752e-06.

    A number that is no float32 stays as it is.
    """
    narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else value


def spelled(value: float) -> str:
    """A finite float as Python source, without what its exponent does not need."""
    return repr(value).replace("e+", "e").replace("e-0", "e-")
