"""The keys and values of LabelEncoder, in whichever of their attributes they stand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from isthmus.lower.walk import Context

Array = np.ndarray[Any, Any]


class Forms(NamedTuple):
    """One list in the attributes that may hold it; the first one given counts."""

    tensor: Any
    strings: Any
    ints: Any
    floats: Any

    def first_given(self) -> Array:
        return next(np.asarray(form).reshape(-1) for form in self if form is not None)


def keys_and_values(c: Context, keys: Forms, values: Forms) -> tuple[Array, Array]:
    """Both as vectors. Refuses keys of which ONNX's versions or its runtime think differently."""
    chosen = keys.first_given()
    if keys.floats is not None and np.isnan(chosen).any():
        c.refuse("NaN among keys_floats: from version 4 on it matches NaN, before it does not")
    if len(set(chosen.tolist())) < len(chosen):
        c.refuse("a key is repeated: the first one counts in ONNX Runtime, the last one in the specification")
    return chosen, values.first_given()
