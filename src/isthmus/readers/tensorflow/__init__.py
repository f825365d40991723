"""TensorFlow and Keras models become hubs: SavedModels, Keras models and files, functions, frozen graphs."""

from __future__ import annotations

from typing import Any

from isthmus.hub.model import Hub
from isthmus.quiet import import_tensorflow
from isthmus.types import Options


def read_tensorflow(
    source: Any, *, inputs: Any = None, dynamic_shapes: Any = None, options: Options | None = None
) -> Hub:
    """Read a TensorFlow or Keras model into canonical form. Weights are read when they are written, one at a time.

    ``source``: the path of a SavedModel, ``.keras``, ``.h5``, ``.pb`` or TF1 checkpoint's ``.meta``; a
    ``keras.Model``, ``tf.Module``, ``tf.function`` or ``ConcreteFunction``. ``inputs`` are needed where the source
    says nothing of shapes. ``dynamic_shapes``: input → its whole shape, or the axes that change.

    Raises:
        InvalidModel: not a model of its format, cut off, or inconsistent; variables that are missing.
        UnsafeInput: loading would run code that the model brings.
        Unsupported: operations that ONNX cannot express, all of them.
        UsageError: a signature or an input that the model does not have.
    """
    import_tensorflow()
    from isthmus.readers.tensorflow.read import read

    return read(source, inputs, dynamic_shapes, options or Options())
