"""The weights of recurrent layers in ONNX's order, made of those of the source."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ROLE
from isthmus.hub.state import PLACE
from isthmus.passes.edit import Editor
from isthmus.passes.gates import ORIGIN
from isthmus.passes.recover.cells import Cell
from isthmus.passes.recover.gates import Columns


class CellWeights:
    """Weights in ONNX's order, made when they are written; one that all loops have left keeps its name for them."""

    def __init__(self, edit: Editor) -> None:
        self.edit = edit
        self._made: dict[tuple[object, ...], ir.Value] = {}
        self._sources: dict[ir.Value, ir.Value] = {}
        initializers = edit.model.graph.initializers.values()
        self._tells = any(value.metadata_props.get(ROLE) == "parameter" for value in initializers)
        """Whether the source tells what a weight is; where it does not, its targets judge by themselves."""

    def matrix(self, columns: Sequence[Columns]) -> ir.Value:
        """[1, gates · units, size]: the columns of each gate as rows."""
        rows, (first, *_) = sum(c.stop - c.start for c in columns), columns

        def made() -> np.ndarray:
            return np.concatenate([_array(c).T for c in columns])[None]

        assert first.weight.const_value is not None
        size = int(first.weight.const_value.shape.numpy()[int(first.is_turned)])
        return self._initializer(("matrix", *columns), made, (1, rows, size), columns)

    def biases(self, cell: Cell, node: ir.Node) -> ir.Value | None:
        """[1, 2 · gates · units]: the biases of the input, then those of the state; None where there are none.

        Where the cell has none of one kind, zeros stand in, apart from the weight of the source.
        """
        sides = [list(cell.input_biases), list(cell.state_biases)]
        empty = [side for side in sides if not any(side)]
        if len(empty) == len(sides):
            return None
        if not empty:
            return self._bias([*sides[0], *sides[1]], cell.units)
        made = [self._bias(side, cell.units) if any(side) else None for side in sides]
        weight = next(value for value in made if value is not None)
        zeros = self._zeros(weight, len(sides[0]) * cell.units)
        joined = [zeros if value is None else value for value in made]
        width = len(sides) * len(sides[0]) * cell.units
        return self.edit.before(node, "Concat", joined, {"axis": 1}, shape=[1, width])

    def _zeros(self, weight: ir.Value, width: int) -> ir.Value:
        """[1, width]: what stands beside ``weight``, wherever that is used."""
        key = ("zeros", weight)
        if key not in self._made:
            assert weight.dtype is not None
            zeros = self.edit.constant(np.zeros((1, width), weight.dtype.numpy()), "no_bias")
            zeros.metadata_props[ROLE] = "constant"
            self._made[key] = zeros
        return self._made[key]

    def peepholes(self, cell: Cell) -> ir.Value | None:
        """[1, 3 · units]: the weights by which the gates i o f see the cell; None where none does."""
        return self._bias(cell.peepholes, cell.units) if cell.peepholes else None

    def _bias(self, columns: Sequence[Columns | None], units: int) -> ir.Value:
        """[1, gates · units], zeros for the gates that have none."""
        first = next(c for c in columns if c is not None)
        assert first.weight.dtype is not None
        empty = np.zeros(units, first.weight.dtype.numpy())

        def made() -> np.ndarray:
            return np.concatenate([empty if c is None else _array(c) for c in columns])[None]

        return self._initializer(("vectors", *columns), made, (1, len(columns) * units), columns)

    def _initializer(
        self,
        key: tuple[object, ...],
        made: Callable[[], np.ndarray],
        shape: Sequence[int],
        columns: Sequence[Columns | None],
    ) -> ir.Value:
        if key in self._made:
            return self._made[key]
        source = next(c.weight for c in columns if c is not None)
        dtype = source.dtype
        assert dtype is not None

        def tensor() -> ir.TensorProtocol:
            return ir.Tensor(np.ascontiguousarray(made()), dtype=dtype)

        sizes = ir.Shape([int(d) for d in shape])
        value = self.edit.initializer(
            ir.LazyTensor(tensor, dtype=dtype, shape=sizes, name=None), f"{source.name}_onnx"
        )
        value.metadata_props.update({k: t for k in (ROLE, PLACE) if (t := source.metadata_props.get(k))})
        if self._tells and source.metadata_props.get(ROLE) == "constant":  # a layer trains what its source has folded
            value.metadata_props[ROLE] = "parameter"
        if (told := _origin(columns, shape)) is not None:
            value.metadata_props[ORIGIN] = json.dumps(told)
        self._made[key] = value
        self._sources.setdefault(source, value)
        return value

    def settle(self) -> None:
        """Give the names of weights that nothing else uses to what was made of them."""
        for source, value in self._sources.items():
            if self.edit.model.graph.initializers.get(str(source.name)) is not source:  # made of another one's rows
                continue
            if source.uses() or source.is_graph_output() or source.name is None or value.name is None:
                continue
            name, initializers = source.name, self.edit.model.graph.initializers
            del initializers[name]
            del initializers[value.name]
            value.name = name
            assert value.const_value is not None
            value.const_value.name = name
            initializers.add(value)


def _origin(columns: Sequence[Columns | None], shape: Sequence[int]) -> dict[str, Any] | None:
    """How an initializer was made of a weight; None where it is of several, or of unequal parts.

    Where it has all rows of a weight, its blocks are those of the rows one after the other.
    """
    parts = [c for c in columns if c is not None]
    sizes = {c.stop - c.start for c in parts}
    if len(parts) < len(columns) or len({c.weight for c in parts}) > 1 or len(sizes) > 1:
        return None
    units, weight, rows = sizes.pop(), parts[0].weight, {c.row for c in parts}
    assert weight.const_value is not None
    (*rest, width) = (int(size) for size in weight.const_value.shape.numpy())
    is_turned = parts[0].is_turned
    width = rest[0] if is_turned else width
    if width % units or any(c.start % units for c in parts):
        return None
    blocks, of = [c.start // units for c in parts], width // units
    told = {"name": weight.name, "shape": list(shape)}
    if len(rows) > 1:
        every = [(c.row or 0) * of + block for c, block in zip(parts, blocks, strict=True)]
        return {**told, "rows": rest[0]} if every == list(range(rest[0] * of)) else None
    if rest and rows == {None} and not is_turned:
        return {**told, "blocks": blocks, "of": of, "axis": 1, "perm": [1, 0]}
    return {**told, "index": parts[0].row, "blocks": blocks, "of": of}


def _array(columns: Columns) -> np.ndarray:
    assert columns.weight.const_value is not None
    array = columns.weight.const_value.numpy()
    if columns.is_turned:
        array = array.T
    if columns.row is not None:
        array = array[columns.row]
    return array[..., columns.start : columns.stop]
