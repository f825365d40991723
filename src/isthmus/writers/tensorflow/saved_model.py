"""Write a recorded model as a SavedModel that needs TensorFlow alone, under the source's names, with steady bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from isthmus.hub.io import dtype_name
from isthmus.hub.model import Hub
from isthmus.hub.provenance import class_of, where
from isthmus.hub.state import key_of, state_of, written
from isthmus.passes.batchnorm import FOLDED
from isthmus.passes.edit import PARAMETER, PERM, SHAPE
from isthmus.passes.gates import made_of
from isthmus.types import Options
from isthmus.writers.tensorflow.backend import module_scope
from isthmus.writers.tensorflow.parameters import role_in_source
from isthmus.writers.tensorflow.record import SERVING, TRAINING, Recorded, record
from isthmus.writers.tensorflow.rewrite import name_functions, name_inputs
from isthmus.writers.tensorflow.splice import name_constants, write_proto

RECORD = "assets.extra/isthmus.json"
"""Where in a SavedModel the record of names stands; TensorFlow leaves that folder to others."""


class _Root(tf.Module):
    """What is saved. The lists of variables are plain attributes, for nothing computes them once it is loaded."""

    variables: Any = ()
    trainable_variables: Any = ()
    non_trainable_variables: Any = ()


def write_saved_model(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Record ``hub`` and write it to ``path``, a folder that is made; return the live module.

    ``None`` for ``path`` writes nothing. Raises errors.Unsupported with every blocker at once.
    """
    module = record(hub, trainable=options is not None and options.trainable, options=options)
    if path is not None:
        save(module, path)
    return module


def save(module: Recorded, path: Path) -> None:
    """Write ``module`` as a SavedModel to the folder ``path``.

    ``serving_default`` takes the source's names; ``training`` is there where the model was recorded to be trained.
    What is loaded may also be called: ``loaded(*inputs)``, ``loaded(*inputs, training=True)``; variables are under
    ``parameters`` by the source's names. ``assets.extra/isthmus.json`` holds the names, in order, for each weight
    the node or variable it became and the permutation that it is stored in, the modules by their scopes, and what a
    PyTorch source has beside its graph.
    """
    root = _root(module)
    signatures = {name: trace.function for name, trace in module.traces.items()}
    with _quiet():
        tf.saved_model.save(root, str(path), signatures=signatures)
    # A fingerprint holds a random identifier, and a hash of the bytes that are rewritten here.
    (path / "fingerprint.pb").unlink(missing_ok=True)
    file = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    meta_graph = proto.meta_graphs[0]
    renamed = name_functions(meta_graph)
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    constants = {}
    for key, trace in module.traces.items():
        name_inputs(meta_graph, key, module.arguments)
        name = renamed[_name(trace.function)]
        constants[name] = name_constants(functions[name], meta_graph.object_graph_def, trace.weights.nodes)
    write_proto(proto, file, constants)
    record_file = path / RECORD
    record_file.parent.mkdir()
    text = json.dumps(_record(module, constants), indent=1, ensure_ascii=False, sort_keys=True)
    record_file.write_text(text + "\n", encoding="utf-8")


def _root(module: Recorded) -> _Root:
    """An object that holds the variables and can be called, and nothing of the live module's."""
    root = _Root(name="isthmus")
    root.parameters = dict(module.parameters)
    variables = list(module.parameters.values())
    root.variables = variables
    root.trainable_variables = [v for v in variables if v.trainable]
    root.non_trainable_variables = [v for v in variables if not v.trainable]
    setattr(root, "__call__", _callable(module))  # noqa: B010 - saved as an attribute, not called as a method
    return root


def _callable(module: Recorded) -> Any:
    """The model as a function of its inputs in the source's order, traced for every mode there is."""
    names = [str(v.name) for v in module.hub.graph.inputs]
    order = [names.index(name) for name in module.arguments.order]
    serving = module.traces[SERVING]
    specs = [tf.TensorSpec(t.shape, t.dtype, name=module.arguments.traced[n]) for n, t in serving.inputs.items()]

    def model(*tensors: tf.Tensor) -> Any:
        return serving.function(*[tensors[i] for i in order])

    def modes(*tensors: tf.Tensor, training: bool = False) -> Any:
        return module.traces[TRAINING if training else SERVING].function(*[tensors[i] for i in order])

    if TRAINING not in module.traces:
        function = tf.function(model, autograph=False)
        function.get_concrete_function(*specs)
        return function
    function = tf.function(modes, autograph=False)
    for training in (False, True):
        function.get_concrete_function(*specs, training=training)
    return function


def _record(module: Recorded, constants: Mapping[str, Mapping[str, ir.Value]]) -> dict[str, Any]:
    """The names of the source and what holds them here."""
    graph = module.hub.graph
    weights: dict[str, dict[str, Any]] = {}
    for function, nodes in sorted(constants.items()):
        for node, value in nodes.items():
            weights.setdefault(str(value.name), {**_stored(value), "nodes": []})["nodes"].append(f"{function}/{node}")
    for name, variable in module.parameters.items():
        weights[name] = {
            **_stored(graph.initializers[name]),
            "variable": f"parameters/{name}",
            "trainable": bool(variable.trainable),
        }
    state, _ = written(state_of(module.hub.extras))
    modules = {path: class_of(node) for node in graph.all_nodes() if (path := where(node).module)}
    return {
        "format": 1,
        "inputs": [str(v.name) for v in graph.inputs],
        "outputs": [str(v.name) for v in graph.outputs],
        "keywords": dict(module.arguments.clashes),
        "weights": weights,
        "scopes": {module_scope(path): path for path in modules},
        "classes": {path: kind for path, kind in modules.items() if kind},
        **({"state": state} if state else {}),
    }


def _stored(value: ir.Value) -> dict[str, Any]:
    """How a weight's bytes lie in the file, as against the source's."""
    assert value.const_value is not None
    stored: dict[str, Any] = {
        "role": role_in_source(value),
        "dtype": dtype_name(int(value.const_value.dtype)),
        "shape": list(value.const_value.shape.numpy()),
    }
    for key, mark in (("perm", PERM), ("source_shape", SHAPE)):
        if text := value.metadata_props.get(mark):
            stored[key] = [int(part) for part in text.split(",") if part.strip()]
    if (key := key_of(value)) != value.name:
        stored["key"] = key
    if (origin := _copied(value)) is not None:
        stored["copy_of"] = origin
    if (made := made_of(value, str(value.name))) is not None:
        stored["made_of"] = {k: v for k, v in dataclasses.asdict(made).items() if k != "key" and v is not None}
    return stored


def _copied(value: ir.Value) -> str | None:
    """The weight that ``value`` is but another copy of, in an order of axes that its marks tell."""
    marks = value.metadata_props
    origin = marks.get(PARAMETER)
    if origin is None or PERM not in marks or FOLDED in marks:
        return None
    graph = value.graph
    other = None if graph is None else graph.initializers.get(origin)
    return origin if other is None or FOLDED not in other.metadata_props else None


def _name(function: Any) -> str:
    name = function.name
    return name.decode() if isinstance(name, bytes) else str(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's word on where it writes: that is a staging folder."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
