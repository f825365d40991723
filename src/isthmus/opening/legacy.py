"""Files of Keras 1 and 2, loaded by tf_keras, with the descriptions of old layers brought up to date."""

from __future__ import annotations

import copy
import importlib.util
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from isthmus.errors import FrameworkMissing, InvalidModel, UnsafeInput
from isthmus.opening.custom import NAME_THEM
from isthmus.opening.quiet import quiet

LOADING = (
    *(AttributeError, ImportError, KeyError, IndexError, NotImplementedError, OSError, RuntimeError, TypeError),
    *(ValueError, zipfile.BadZipFile, AssertionError, EOFError),
)
"""What Keras, of any version, raises on files that it cannot make sense of."""

_CUDNN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "CuDNNGRU": ("GRU", {"reset_after": True, "recurrent_activation": "sigmoid"}),
    "CuDNNLSTM": ("LSTM", {"recurrent_activation": "sigmoid"}),
}
"""Layers that only a GPU could run, and what computes the same anywhere: tf_keras splits their biases itself."""

_COMPUTING = (
    *("math.", "nn.", "linalg.", "image.", "keras.", "__operators__."),
    *(
        "cast",
        "clip_by_value",
        "concat",
        "convert_to_tensor",
        "expand_dims",
        "gather",
        "identity",
        "one_hot",
        "ones_like",
    ),
    *("pad", "reshape", "reverse", "shape", "split", "squeeze", "stack", "tile", "transpose", "unstack", "where"),
    "zeros_like",
)
"""How the functions of TensorFlow begin that a model of Keras 2 may call as a layer: none that sees files."""


def load_legacy(path: Path, config: Mapping[str, Any], custom: Mapping[str, Any], *, trust: bool) -> Any:
    """The model of a file of Keras 1 or 2. Raises what ``keras_files.load_file`` says."""
    if importlib.util.find_spec("tf_keras") is None:
        raise FrameworkMissing("tf_keras", f"{path.name} was written by Keras 2")
    with quiet():
        import tf_keras
        from tf_keras.src.saving.serialization_lib import SafeModeScope

    if not trust:
        _refuse_unknown(path, config, custom, tf_keras)
    try:
        with quiet(), tf_keras.utils.custom_object_scope(dict(custom)):
            if not h5py.is_hdf5(path):
                return tf_keras.models.load_model(path, compile=False, safe_mode=not trust)
            with SafeModeScope(safe_mode=not trust):
                model = tf_keras.models.model_from_config(up_to_date(config))
            model.load_weights(path)
            return model
    except LOADING as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "custom_object_scope" in str(error):  # it looks for what it has not
            raise UnsafeInput(f"{path.name} needs custom objects: {told}", hint=NAME_THEM) from error
        raise InvalidModel(f"tf_keras cannot load {path.name}: {told}") from error


def up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as tf_keras understands it.

    A GRU that does not say ``reset_after`` is of the time when there was no such thing, and layers for cuDNN become
    those that compute the same anywhere.
    """
    renewed: dict[str, Any] = copy.deepcopy(dict(config))
    for entry in _layers(renewed):
        settings = entry["config"]
        if entry["class_name"] in _CUDNN:
            entry["class_name"], others = _CUDNN[entry["class_name"]]
            settings.update({key: value for key, value in others.items() if key not in settings})
        elif entry["class_name"] in ("GRU", "GRUCell"):
            settings.setdefault("reset_after", False)
    return renewed


def _refuse_unknown(path: Path, config: Mapping[str, Any], custom: Mapping[str, Any], tf_keras: Any) -> None:
    """Raise errors.UnsafeInput with every layer that tf_keras does not have and nobody named."""
    known = {*dir(tf_keras.layers), *dir(tf_keras.models), *dir(tf_keras), *_CUDNN, *custom, "Functional"}
    unknown = [
        str(entry["class_name"])
        for entry in _layers(config)
        if entry["class_name"] not in known and not _is_plain_function(entry)
    ]
    if unknown:
        raise UnsafeInput(
            f"loading {path.name} would run code; it holds custom objects: {', '.join(dict.fromkeys(unknown))}",
            hint=NAME_THEM,
        )


def _is_plain_function(entry: Mapping[str, Any]) -> bool:
    """Whether a layer is one of TensorFlow's functions that only computes."""
    if entry["class_name"] == "SlicingOpLambda":
        return True
    function = str(entry["config"].get("function", ""))
    return entry["class_name"] == "TFOpLambda" and function.startswith(_COMPUTING)


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """Every layer that a configuration describes, wrapped ones and cells among them."""
    pending = [(config, True)]
    while pending:
        thing, is_layer = pending.pop()
        if isinstance(thing, Mapping):
            if is_layer and "class_name" in thing and isinstance(thing.get("config"), Mapping):
                yield thing  # type: ignore[misc]
            pending.extend(
                (item, key in ("layer", "cell", "cells", "layers", "backward_layer")) for key, item in thing.items()
            )
        elif isinstance(thing, list):
            pending.extend((item, is_layer) for item in thing)
