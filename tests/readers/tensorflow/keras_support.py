"""Which layers of Keras 3 are carried: every case, what is refused and why. Writes docs/keras_layers.md.

python tests/readers/tensorflow/keras_support.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_layer_cases
import keras_preprocessing_cases
import keras_sequence_cases
from keras_layer_cases import LayerCase

PAGE = Path(__file__).parents[3] / "docs" / "keras_layers.md"

CASES: Mapping[str, LayerCase] = MappingProxyType(
    {**keras_layer_cases.CASES, **keras_sequence_cases.CASES, **keras_preprocessing_cases.CASES}
)


class Refusal(NamedTuple):
    """What the error says, and how the page tells it."""

    match: str
    reason: str


_HASH = "ONNX has no hash of text"
_PATTERN = "ONNX has no replacement by a pattern; clean the text before the model, or `standardize=None`"
_SPACE = "ONNX splits at spaces only, where TensorFlow does at any white space"
_NO_TEXT = Refusal("PyTorch has no string tensors", "PyTorch has no tensors of text")

READING: Mapping[str, Refusal] = MappingProxyType(
    {
        "Hashing": Refusal("StringToHashBucketFast", _HASH),
        "Hashing, whole numbers": Refusal("StringToHashBucketStrong", _HASH),
        "HashedCrossing": Refusal("SparseCross", _HASH),
        "StringLookup, several unknown": Refusal("StringToHashBucketFast", _HASH),
        "TextVectorization": Refusal("StaticRegexReplace", _PATTERN),
        "TextVectorization, plain": Refusal("white space", _SPACE),
        "TextVectorization, lower": Refusal("white space", _SPACE),
    }
)
"""Cases that no target can have."""

TO_PYTORCH: Mapping[str, Refusal] = MappingProxyType(
    dict.fromkeys(
        (
            *("StringLookup", "StringLookup, masked", "StringLookup, inverted", "StringLookup, multi_hot"),
            *("StringLookup, tf_idf", "TextVectorization, whole"),
        ),
        _NO_TEXT,
    )
)
"""Cases that ONNX has and PyTorch cannot have."""

FROM_FILES: Mapping[str, Refusal] = MappingProxyType(
    {"Lambda": Refusal("Lambda", "Python code in a file; `--trust-pickle` allows it")}
)
"""Cases that are refused as ``.keras`` files."""

SAVED_ONLY = frozenset(
    {"RandomShear", "Activation, threshold", *(name for name in CASES if name.startswith("STFTSpectrogram"))}
)
"""Cases whose ``.keras`` file Keras itself cannot load: a shear, a lambda, and a window that is an array."""

_CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")

EXPORTED: Mapping[str, str] = MappingProxyType(
    {
        "Resizing, bytes": "Keras exports it as it computes in graphs: in float32",
        **dict.fromkeys(_CELLS, "Keras cannot export a list within a list"),
        **dict.fromkeys(
            (*keras_preprocessing_cases.AT_REST, "Pipeline", "Solarization"), "Keras exports it as if it trained"
        ),
    }
)
"""Cases whose SavedModel is another model, or cannot be made."""

WITHOUT_CASE: Mapping[str, str] = MappingProxyType(
    {
        "Layer": "the class that all others derive from",
        "Wrapper": "the class that layers around a layer derive from",
        "Equalization": "does nothing at inference, and Keras cannot put it into a model",
        "MaxNumBoundingBoxes": "pads boxes that a model is trained with",
        "FlaxLayer": "computes in JAX",
        "JaxLayer": "computes in JAX",
        "TorchModuleWrapper": "computes in PyTorch",
        "TFSMLayer": "a SavedModel: convert that itself, or trust it with `--trust-pickle`",
    }
)
"""Classes that are no case, and why."""


_FACTS = (
    "* In PyTorch a layer has the path of Keras', and as many numbers are trained. `nn.LSTM` and `nn.RNN` have two",
    "  biases where Keras has one: the second, `bias_hh_l0`, is zeros that do not train.",
    "* Layers that are frozen in Keras (`trainable = False`) are frozen in PyTorch.",
    "* A SavedModel is what Keras exported: `model.export()` writes layers that are random in training as if it",
    "  trained them. Convert the model itself or its `.keras` file to have them at inference.",
    "* Images of whole numbers that a preprocessing layer resizes stay whole numbers, as they do when Keras is",
    "  called eagerly; `model.predict()` and `model.export()` give floats.",
)
"""What else a user should know."""


def class_of(case: str) -> str:
    """The layer class of a case."""
    return case.partition(",")[0]


FIRST = frozenset({class_of(name): name for name in reversed(CASES)}.values())
"""One case a class, which every run of the tests has; the others are run by ``make slow``."""


def public_classes() -> dict[str, list[str]]:
    """Every layer class that ``keras.layers`` has, with its other names."""
    found: dict[type, list[str]] = {}
    for name in dir(keras.layers):
        thing = getattr(keras.layers, name)
        if isinstance(thing, type) and issubclass(thing, keras.layers.Layer):
            found.setdefault(thing, []).append(name)
    usual = {thing.__name__ if thing.__name__ in names else names[0]: names for thing, names in found.items()}
    return {name: [other for other in names if other != name] for name, names in usual.items()}


def page() -> str:
    """The page, as it must be."""
    rows = [_row(name, others) for name, others in sorted(public_classes().items())]
    title = f"# Layers of Keras\n\nThe layers of Keras {keras.__version__.rpartition('.')[0]} at inference"
    return "\n".join(
        [
            f"{title}: live, from a `.keras` file and from a SavedModel.",
            "The tests convert every configuration, and compare it with Keras, called eagerly, at several sizes;",
            "`python tests/readers/tensorflow/keras_support.py` writes this page from their cases.",
            "",
            *_FACTS,
            "",
            "| layer | configurations | ONNX | PyTorch | refused |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(name: str, others: Iterable[str]) -> str:
    cases = [case for case in CASES if class_of(case) == name]
    title = "<br>".join([name, *others])
    if not cases:
        return f"| {title} | | | | {WITHOUT_CASE[name]} |"
    told = [case.partition(", ")[2] or "plain" for case in cases]
    to_onnx = [case for case in cases if case not in READING]
    to_torch = [case for case in to_onnx if case not in TO_PYTORCH]
    return (
        f"| {title} | {'; '.join(told)} | {len(to_onnx)} / {len(cases)} | {len(to_torch)} / {len(cases)} "
        f"| {'; '.join(_refusals(cases))} |"
    )


def _refusals(cases: Iterable[str]) -> list[str]:
    """Reasons, each with the configurations that it is about."""
    found: dict[str, list[str]] = {}
    for road, table in (("", READING), ("to PyTorch: ", TO_PYTORCH), ("from files: ", FROM_FILES)):
        for case in cases:
            if case in table:
                found.setdefault(f"{road}{table[case].reason}", []).append(case.partition(", ")[2] or "plain")
    return [f"{', '.join(told)}: {reason}" for reason, told in found.items()]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
