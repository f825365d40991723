"""The keys and values of LabelEncoder."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from isthmus.lower.encoding import Forms, keys_and_values
from isthmus.lower.walk import Context, Refusal

CONTEXT = Context(ir.node("LabelEncoder", [], domain="ai.onnx.ml"), None, ())  # type: ignore[arg-type]
VALUES = Forms(np.array([[5, 6]]), None, None, None)


def test_the_first_form_given_counts():
    keys, values = keys_and_values(CONTEXT, Forms(None, ("a", "b"), None, None), VALUES)
    assert keys.tolist() == ["a", "b"]
    assert values.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [(Forms(None, None, None, (1.0, np.nan)), "NaN"), (Forms(None, None, (3, 3), None), "repeated")],
)
def test_keys_of_two_meanings_are_refused(keys: Forms, reason: str):
    with pytest.raises(Refusal, match=reason):
        keys_and_values(CONTEXT, keys, VALUES)
