"""Every function of ``keras.ops``: what it traces to is read and agrees, or is refused by name for a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
from keras_ops_cases import CASES, NOT_COMPUTED
from reading import agree

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "eig": "complex, for which ONNX has no type",
        "ctc_loss": "the rank of its input 0 is not known",
    }
)
"""Function → what the refusal says."""

NOT_TRACED = frozenset(("bartlett", "corrcoef", "isin", "kron", "vectorize"))
"""Functions that Keras' TensorFlow backend cannot put into a graph: they ask in Python for the values of tensors."""


def test_every_function_has_a_case() -> None:
    functions = {
        name
        for name, thing in vars(keras.ops).items()
        if not name.startswith("_") and callable(thing) and not isinstance(thing, type)
    }
    assert functions - NOT_COMPUTED == set(CASES)


def _some_fast() -> list[Any]:
    """Every fifth function is called always, the others by ``make slow``."""
    names = sorted(set(CASES) - NOT_TRACED)
    return [pytest.param(name, marks=[pytest.mark.slow] if i % 5 else []) for i, name in enumerate(names)]


@pytest.mark.parametrize("name", _some_fast())
def test_function(name: str) -> None:
    case = CASES[name]
    if name in REFUSED:
        with pytest.raises(Unsupported, match=re.escape(REFUSED[name])):
            agree(case.function, *case.arrays)
    else:
        agree(case.function, *case.arrays, rtol=1e-4, atol=1e-5)
