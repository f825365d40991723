"""Every layer class of Keras 3, live: ONNX Runtime and PyTorch against Keras called eagerly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch
from keras_agreement import assert_near, by_keras, feeds_of
from keras_support import CASES, FIRST, PAGE, READING, TO_PYTORCH, WITHOUT_CASE, class_of, page, public_classes
from reading import run_hub

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = pytest.mark.tensorflow


def _cases(names: Sequence[str]) -> list[Any]:
    return [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_every_class_is_a_case_or_tells_why_not() -> None:
    assert {class_of(name) for name in CASES} | set(WITHOUT_CASE) == set(public_classes())
    assert not {class_of(name) for name in CASES} & set(WITHOUT_CASE)
    assert {*READING, *TO_PYTORCH} <= set(CASES)


def test_the_page_is_of_these_cases() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/readers/tensorflow/keras_support.py writes it"


@pytest.mark.parametrize("name", _cases([name for name in CASES if name not in READING]))
def test_a_layer(name: str) -> None:
    model = CASES[name].model()
    hub = read_tensorflow(model)
    feeds = feeds_of(CASES[name])
    expected = [by_keras(model, arrays) for arrays in feeds]
    for arrays, wanted in zip(feeds, expected, strict=True):
        assert_near(run_hub(hub, *arrays), wanted)
    if name in TO_PYTORCH:
        with pytest.raises(Unsupported, match=TO_PYTORCH[name].match):
            _recorded(hub)
        return
    module = _recorded(hub)
    for arrays, wanted in zip(feeds, expected, strict=True):
        with torch.no_grad():
            made = module(*[torch.from_numpy(np.array(array)) for array in arrays])
        assert_near([tensor.numpy() for tensor in torch.utils._pytree.tree_leaves(made)], wanted)
    _assert_same_weights(module, model)


@pytest.mark.parametrize("name", _cases(list(READING)))
def test_a_layer_that_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match=READING[name].match):
        read_tensorflow(CASES[name].model())


def _recorded(hub: Hub) -> Any:
    from isthmus.writers.torch.record import record

    return record(hub).module


def _assert_same_weights(module: Any, model: Any) -> None:
    """As many numbers are trained as in Keras, under the paths of its layers; none that it does not have."""
    trained = {key: p for key, p in module.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    paths = {variable.path.rpartition("/")[0].replace("/", ".") for variable in model.variables}
    recurrent = any(type(part).__name__ in ("LSTM", "GRU", "RNN") for part in module.modules())
    if not recurrent:
        assert len(trained) == len(model.trainable_variables)
    for key in trained:
        parts = key.split(".")
        above = {".".join(parts[:depth]) for depth in range(1, len(parts))}
        assert any(path in above or (recurrent and above & set(_above(path))) for path in paths), (key, paths)


def _above(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
