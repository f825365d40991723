"""Whatever TensorFlow can save, and what is alive in this process, opened as a ``Program``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from isthmus.errors import UsageError
from isthmus.readers.tensorflow.program import Port, Program, Variable
from isthmus.types import Options


def open_program(source: Any, inputs: Any, dynamic_shapes: Any, options: Options) -> Program:
    """Open ``source``. Raises what :func:`isthmus.readers.tensorflow.read_tensorflow` says."""
    if isinstance(source, (str, Path)):
        model = tf.saved_model.load(str(source))
        return of_function(
            model.signatures[options.signature or "serving_default"], Path(source).name, "saved_model", (model,)
        )
    if hasattr(source, "get_concrete_function"):
        source = source.get_concrete_function()
    if hasattr(source, "structured_input_signature"):
        return of_function(source, "function", "tensorflow.function", ())
    raise UsageError(f"{type(source).__name__} is not a TensorFlow model that can be read")


def of_function(function: Any, name: str, kind: str, keeps: tuple[Any, ...]) -> Program:
    """A ConcreteFunction as a program."""
    captured = dict(zip((t.name for t in function.graph.internal_captures), function.captured_inputs, strict=True))
    by_handle = {id(v.handle): v for v in function.graph.variables}
    variables = {id(v.handle): v for v in function.variables}
    captures = {key: _captured(value, {**by_handle, **variables}) for key, value in captured.items()}
    free = [tensor for tensor in function.inputs if tensor.name not in captures]
    inputs = tuple(Port(t.op.name, t, _shape(t)) for t in free)
    outputs = function.structured_outputs
    named = (
        outputs if isinstance(outputs, dict) else {f"output_{i}": t for i, t in enumerate(tf.nest.flatten(outputs))}
    )
    flat = list(tf.nest.flatten(function.structured_outputs))
    ports = tuple(
        Port(key, tensor)
        for key, tensor in zip(sorted(named) if isinstance(outputs, dict) else named, function.outputs, strict=False)
    )
    del flat
    return Program(function.graph, inputs, ports, captures, name, kind, "tf.function", keeps=(function, *keeps))


def _captured(value: Any, variables: dict[int, Any]) -> Any:
    variable = variables.get(id(value))
    if variable is None:
        return value
    return Variable(variable.name.removesuffix(":0"), bool(variable.trainable), variable)


def _shape(tensor: Any) -> tuple[Any, ...] | None:
    if tensor.shape.rank is None:
        return None
    name = tensor.op.name
    return tuple(d if d is not None else "batch" if i == 0 else f"{name}_dim_{i}" for i, d in enumerate(tensor.shape))
