"""Any TensorFlow or Keras source, opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from isthmus.errors import InvalidModel, UsageError
from isthmus.opening.function import Opened
from isthmus.opening.functions import of_concrete, of_function, of_module
from isthmus.opening.graphs import Asked, OpenedGraph, open_frozen, open_meta_graph, open_v1_saved_model
from isthmus.opening.keras_files import load_file, producer_of
from isthmus.opening.keras_models import is_keras, of_model
from isthmus.opening.operators import check_assets, refuse_files_of, refuse_unknown
from isthmus.opening.saved_models import open_saved_model, proto_of


def open_source(
    source: Any,
    inputs: Any = None,
    dynamic_shapes: Any = None,
    *,
    signature: str | None = None,
    custom: Sequence[str] = (),
    trust: bool = False,
    lazily: bool = False,
) -> Opened | OpenedGraph:
    """Open whatever ``source`` is: a path, or something alive.

    ``inputs`` tell shapes where the source does not. ``lazily``: it is to be read and not to be run. Raises
    errors.UsageError, InvalidModel, UnsafeInput, Unsupported and FrameworkMissing, as the kinds of sources do.
    """
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), inputs, dynamic_shapes, signature, custom, trust, lazily)
    if is_keras(source):
        return of_model(source, inputs, dynamic_shapes)
    if hasattr(source, "structured_input_signature"):
        return of_concrete(source, "function", "tensorflow.ConcreteFunction", dynamic_shapes=dynamic_shapes)
    if hasattr(source, "get_concrete_function"):
        return of_function(source, inputs, dynamic_shapes, name=_function_name(source), kind="tensorflow.function")
    if isinstance(source, tf.Module) or hasattr(source, "signatures"):
        return of_module(source, inputs, dynamic_shapes, signature)
    raise UsageError(f"a {type(source).__name__} is no model of TensorFlow")


def _from_path(
    path: Path,
    inputs: Any,
    dynamic_shapes: Any,
    signature: str | None,
    custom: Sequence[str],
    trust: bool,
    lazily: bool,
) -> Opened | OpenedGraph:
    if path.name in ("saved_model.pb", "saved_model.pbtxt"):
        path = path.parent
    if path.is_dir():
        return _from_folder(path, inputs, dynamic_shapes, signature, trust=trust, lazily=lazily)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    match path.suffix.lower():
        case ".pb":
            return open_frozen(path, Asked(dynamic_shapes, signature, trust))
        case ".meta":
            return open_meta_graph(path, Asked(dynamic_shapes, signature, trust))
        case ".keras" | ".h5" | ".hdf5":
            model = load_file(path, custom, trust=trust)
            kind = "keras" if path.suffix.lower() == ".keras" else "keras.h5"
            opened = of_model(model, inputs, dynamic_shapes, name=path.name, kind=kind)
            return replace(opened, producer=producer_of(path))
    raise InvalidModel(f"{path.name} is of no format of TensorFlow")


def _from_folder(
    path: Path, inputs: Any, dynamic_shapes: Any, signature: str | None, *, trust: bool, lazily: bool
) -> Opened | OpenedGraph:
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise InvalidModel(f"{path.name} is not a SavedModel: it holds no saved_model.pb")
    proto = proto_of(path)
    if not any(meta.object_graph_def.nodes for meta in proto.meta_graphs):
        return open_v1_saved_model(path, proto, Asked(dynamic_shapes, signature, trust))
    for meta in proto.meta_graphs:
        refuse_unknown(meta.graph_def, path.name)
        check_assets(path, meta)
        if not trust:
            refuse_files_of(meta, path.name, _results(meta))
    return open_saved_model(path, inputs, dynamic_shapes, signature, lazily=lazily)


def _results(meta: Any) -> list[str]:
    """The tensors that any of the signatures gives."""
    return [info.name for signature in meta.signature_def.values() for info in signature.outputs.values()]


def _function_name(function: Any) -> str:
    return str(getattr(getattr(function, "python_function", None), "__name__", "function"))
