"""What a variable holds at the point of the graph that is being read."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.handles import VariableHandle


def variable(c: Any, resource: Any) -> VariableHandle:
    """The variable that a resource is. Refuses what is none."""
    if isinstance(resource, VariableHandle):
        return resource
    c.refuse("its resource is not a variable that the model holds")
    raise AssertionError


def held(c: Any, resource: Any) -> ir.Value:
    """The value of a variable: the last one that was assigned, or the one that it began with."""
    handle = variable(c, resource)
    value: ir.Value = c.reader.state.get(handle.value, handle.value)
    return value


def assign_to(c: Any, resource: Any, value: ir.Value) -> None:
    """Let whatever is read from now on see the new value, which has the shape of the variable."""
    first = variable(c, resource).value
    if value.shape is None and first.shape is not None:
        value.shape = first.shape.copy()
    c.reader.state[first] = value
