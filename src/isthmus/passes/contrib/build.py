"""What a decomposition has in hand: the node's operands and attributes, and a way to write standard operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.passes.edit import Editor, attribute, dims, known, rank

MICROSOFT = "com.microsoft"


class Left(Exception):
    """A node that is left as it is, and why."""


class Build:
    """One node on its way into standard operators, which are written before it, with its provenance."""

    def __init__(self, edit: Editor, node: ir.Node) -> None:
        self.node = node
        self._edit = edit
        self._made: list[ir.Node] = []

    # ---- asking ---------------------------------------------------------------------------------
    def input(self, index: int) -> ir.Value:
        """A required operand."""
        value = self.optional(index)
        if value is None:
            raise Left(f"it has no operand {index}")
        return value

    def optional(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attr(self, name: str, default: Any = None) -> Any:
        return attribute(self.node, name, default)

    def wants(self, index: int) -> bool:
        """Whether an output is used by anyone."""
        outputs = self.node.outputs
        return index < len(outputs) and bool(outputs[index].uses() or outputs[index].is_graph_output())

    def rank(self, value: ir.Value) -> int:
        found = rank(value)
        if found is None:
            raise Left(f"the rank of {value.name!r} is not known")
        return found

    def dtype(self, value: ir.Value) -> ir.DataType:
        if value.dtype is None:
            raise Left(f"the type of {value.name!r} is not known")
        return value.dtype

    def size(self, value: ir.Value, axis: int) -> int:
        """A dimension that must be known."""
        shape = dims(value)
        found = None if shape is None else shape[axis]
        if not isinstance(found, int):
            raise Left(f"axis {axis} of {value.name!r} is free")
        return found

    def known(self, value: ir.Value | None, what: str) -> np.ndarray[Any, Any]:
        array = known(value)
        if array is None:
            raise Left(f"{what} is not known at conversion")
        return array

    # ---- doing ----------------------------------------------------------------------------------
    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """A one-output node; typed like its first operand until inference says more."""
        kept = {name: value for name, value in attributes.items() if value is not None}
        value = self._edit.before(self.node, op_type, list(inputs), kept)
        producer = value.producer()
        assert producer is not None
        self._made.append(producer)
        return value

    def several(self, op_type: str, inputs: list[ir.Value | None], outputs: int, **attributes: Any) -> list[ir.Value]:
        """A node with several outputs; only the first is typed before inference."""
        kept = {name: value for name, value in attributes.items() if value is not None}
        node = self._edit.node(op_type, inputs, kept, like=self.node, outputs=outputs)
        assert isinstance(self.node.graph, ir.Graph)
        self.node.graph.insert_before(self.node, node)
        self._made.append(node)
        if inputs and inputs[0] is not None:
            node.outputs[0].type = inputs[0].type
        return list(node.outputs)

    def ints(self, *values: int) -> ir.Value:
        return self._edit.ints(values, f"{self.node.name}_ints")

    def constant(self, array: np.ndarray[Any, Any], wish: str = "constant") -> ir.Value:
        return self._edit.constant(array, f"{self.node.name}_{wish}")

    def initializer(self, tensor: ir.TensorProtocol, wish: str) -> ir.Value:
        return self._edit.initializer(tensor, wish)

    def scalar(self, number: float, like: ir.Value) -> ir.Value:
        """A constant of the type of ``like``."""
        return self.constant(np.asarray(number, self.dtype(like).numpy()), "scalar")

    def index(self, number: int) -> ir.Value:
        """A constant int64 without axes."""
        return self.constant(np.asarray(number, np.int64), "index")

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        made = self.op("Cast", value, to=int(dtype))
        made.type = ir.TensorType(dtype)
        return made

    def axis_size(self, value: ir.Value, axis: int) -> ir.Value:
        """A dimension as a list of one int64, constant where it is known."""
        shape = dims(value)
        if shape is not None and isinstance(size := shape[axis], int):
            return self.ints(size)
        end = axis + 1 if axis != -1 else None
        made = self.op("Shape", value, start=axis, end=end)
        made.type = ir.TensorType(ir.DataType.INT64)
        return made

    def shape(self, *parts: int | ir.Value) -> ir.Value:
        """A target shape of constants and lists of one."""
        if all(isinstance(part, int) for part in parts):
            return self.ints(*[part for part in parts if isinstance(part, int)])
        return self.op("Concat", *[self.ints(p) if isinstance(p, int) else p for p in parts], axis=0)

    def undo(self) -> None:
        """Remove what was written so far."""
        for node in reversed(self._made):
            assert isinstance(node.graph, ir.Graph)
            node.graph.remove(node, safe=True)
        self._made.clear()


Decompose = Callable[[Build], "list[ir.Value | None]"]
"""The node's outputs, in order; None for one that nobody uses. Raises Left."""
