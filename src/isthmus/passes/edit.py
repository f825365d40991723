"""The hands of a pass: new nodes and constants with fresh names, typed, and with the provenance of their cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.hub.provenance import inherit
from isthmus.hub.upgrades.base import Names

PERM = "isthmus.perm"
"""Metadata of a value whose physical order differs from the source's: ``"0,2,3,1"`` means that it is the source's
value transposed by (0, 2, 3, 1)."""

SHAPE = "isthmus.shape"
"""Metadata of an initializer that was reshaped as well: undo ``PERM``, then reshape to this."""

PARAMETER = "isthmus.parameter"
"""Metadata of an initializer that is a further copy, in another order: the name of the source's parameter."""


class Editor:
    """Makes nodes and constants in one model; every name it gives is new."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.names = Names.of(model)

    def constant(self, array: np.ndarray, wish: str) -> ir.Value:
        """A new initializer of the main graph, where every subgraph sees it."""
        return self.initializer(ir.tensor(np.array(array, order="C")), wish)

    def ints(self, values: Sequence[int], wish: str) -> ir.Value:
        return self.constant(np.asarray(values, np.int64), wish)

    def initializer(self, tensor: ir.TensorProtocol, wish: str, *, exact: bool = False) -> ir.Value:
        """``tensor`` as an initializer; ``exact`` takes the name as it is, which the caller has freed."""
        name = wish if exact else self.names.fresh(wish)
        if tensor.name is None:
            tensor.name = name
        value = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy()), const_value=tensor
        )
        self.model.graph.register_initializer(value)
        return value

    def node(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        like: ir.Node | None,
        wish: str = "",
        domain: str = ONNX,
        outputs: int = 1,
    ) -> ir.Node:
        """A node that stands nowhere yet. It has the provenance of ``like``; its outputs are not typed."""
        title = self.names.fresh(f"{like.name or like.op_type}/{op}" if like is not None else op)
        wish = wish or title
        node = ir.node(op, inputs, attributes, domain=domain, num_outputs=outputs, name=title)
        for i, out in enumerate(node.outputs):
            out.name = self.names.fresh(f"{wish}_{i}" if outputs > 1 else wish)
        if like is not None:
            inherit(node, like)
        return node

    def before(
        self,
        anchor: ir.Node,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        dtype: ir.DataType | None = None,
        shape: Sequence[int | str | None] | ir.Shape | None = None,
        wish: str = "",
        domain: str = ONNX,
    ) -> ir.Value:
        """A one-output node right before ``anchor``, with its provenance. The type defaults to the first input's."""
        node = self.node(op, inputs, attributes, like=anchor, wish=wish, domain=domain)
        graph_of(anchor).insert_before(anchor, node)
        first = next((v for v in inputs if v is not None), None)
        _type(node.outputs[0], dtype or (first.dtype if first is not None else None), shape)
        return node.outputs[0]


def _type(value: ir.Value, dtype: ir.DataType | None, shape: Sequence[int | str | None] | ir.Shape | None) -> None:
    if dtype is not None:
        value.type = ir.TensorType(dtype)
    if shape is not None:
        value.shape = shape.copy() if isinstance(shape, ir.Shape) else ir.Shape(shape)


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that holds ``node``."""
    if not isinstance(node.graph, ir.Graph):
        raise ValueError(f"node {node.name!r} belongs to no graph")
    return node.graph


def graphs_of(model: ir.Model) -> Iterator[ir.Graph]:
    """The main graph and every graph inside of it."""
    yield model.graph
    yield from model.graph.subgraphs()


def known(value: ir.Value | None) -> np.ndarray | None:
    """The array of an initializer that no caller can override, or None."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def dims(value: ir.Value | None) -> tuple[int | str | None, ...] | None:
    """The shape as ints, names and None; None where the rank is not known."""
    if value is None or value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)


def rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else value.shape.rank()


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """An attribute's plain value, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def replace(old: ir.Value, new: ir.Value) -> None:
    """Let every user of ``old`` use ``new``; a graph output passes its name on to ``new``.

    ``new`` must be made by a node where ``old`` is a graph output.
    """
    if old.is_graph_output():
        old_name = old.name
        old.name = f"{old_name}__replaced"
        new.name = old_name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    else:
        ir.convenience.replace_all_uses_with(old, new)
    if new.shape is None and old.shape is not None:
        new.shape = old.shape.copy()
    if new.type is None:
        new.type = old.type


def lazily(tensor: ir.TensorProtocol, perm: Sequence[int], shape: Sequence[int] | None = None) -> ir.LazyTensor:
    """``tensor`` reshaped and permuted whenever it is asked for: what is memory-mapped stays so until then."""
    source = tuple(tensor.shape.numpy()) if shape is None else tuple(shape)
    dtype = tensor.dtype

    def made() -> ir.TensorProtocol:
        return ir.Tensor(np.array(tensor.numpy().reshape(source).transpose(perm), order="C"), dtype=dtype)

    return ir.LazyTensor(made, dtype=dtype, shape=ir.Shape([source[axis] for axis in perm]), name=tensor.name)


def mark_permuted(value: ir.Value, perm: Sequence[int], origin: ir.Value) -> None:
    """Write that ``value`` is ``origin`` permuted by ``perm``, and how both came from the source's parameter."""
    before = origin.metadata_props.get(PERM)
    if before is not None:
        steps = [int(axis) for axis in before.split(",")]
        perm = [steps[axis] for axis in perm]
    if value is not origin:
        value.metadata_props[PARAMETER] = origin.metadata_props.get(PARAMETER, origin.name or "")
        if SHAPE in origin.metadata_props:
            value.metadata_props[SHAPE] = origin.metadata_props[SHAPE]
    value.metadata_props[PERM] = ",".join(map(str, perm))
