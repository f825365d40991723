"""Layers of Keras 3 from ``.keras`` files and SavedModels: ONNX Runtime against the live model, called eagerly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

from keras_agreement import assert_near, by_keras, feeds_of
from keras_support import CASES, EXPORTED, FROM_FILES, READING, SAVED_ONLY
from reading import run_hub

from isthmus.errors import InvalidModel, UnsafeInput, Unsupported
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, when it saves
    pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning"),
]

FEW = ("Conv2D", "LSTM, masked", "MultiHeadAttention, of tokens", "Normalization", "StringLookup", "Hashing")
"""What every run reads of files; ``make slow`` reads all."""


def _cases() -> list[Any]:
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", _cases())
def test_a_file(name: str, tmp_path: Path) -> None:
    model = CASES[name].model()
    model.save(tmp_path / "net.keras")
    if name in FROM_FILES:
        with pytest.raises(UnsafeInput, match=FROM_FILES[name].match):
            read_tensorflow(tmp_path / "net.keras")
        return
    if name in SAVED_ONLY:
        with pytest.raises(InvalidModel, match="Keras cannot load"):
            read_tensorflow(tmp_path / "net.keras")
        return
    _assert_agrees(name, model, tmp_path / "net.keras")


@pytest.mark.parametrize("name", _cases())
def test_a_saved_model(name: str, tmp_path: Path) -> None:
    if name in EXPORTED:
        pytest.skip(EXPORTED[name])
    model = CASES[name].model()
    model.export(tmp_path / "net", verbose=False)
    _assert_agrees(name, model, tmp_path / "net")


def _assert_agrees(name: str, model: Any, path: Path) -> None:
    if name in READING:
        with pytest.raises(Unsupported, match=READING[name].match):
            read_tensorflow(path)
        return
    hub = read_tensorflow(path)
    for arrays in feeds_of(CASES[name]):
        assert_near(run_hub(hub, *arrays), by_keras(model, arrays))
