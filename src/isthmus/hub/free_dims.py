"""The names of free dimensions: the source's own, and those that are made up where it has none."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_ir as ir

_GENERATED = "unk__"
"""How onnx's inference begins the names of dimensions that it makes up."""

_MADE_UP = "isthmus.made_up"
"""Where a graph keeps the names that were numbered here, while it is in memory."""


def made_up(model: ir.Model) -> frozenset[str]:
    """The names that say nothing: any better one may take their place."""
    return frozenset(model.graph.meta.get(_MADE_UP, ()))


def is_open(dim: ir.SymbolicDim, invented: Collection[str]) -> bool:
    """Whether a free dimension has no name that means anything. ``invented`` are the names ``made_up``."""
    return dim.value is None or dim.value.startswith(_GENERATED) or dim.value in invented


def name_free_dims(model: ir.Model) -> None:
    """Every free dimension gets a name: the source's, else one made of the input's name and the axis, else a count.

    Names that onnx's inference makes up depend on the order of the nodes' visits; they are numbered anew in
    the order in which they appear, so that the same model always gives the same names. What is numbered is known as
    made up, and gives way to a better name.
    """
    taken = {
        dim.value
        for value in _all_values(model)
        for dim in value.shape or ()
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None
    }
    fresh = _Fresh({name for name in taken if not name.startswith(_GENERATED)})
    renamed: dict[str, str] = {}
    outside = set(model.graph.inputs)
    for value in _all_values(model):
        if value.shape is None:
            continue
        dims: list[int | ir.SymbolicDim] = []
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, int) or (dim.value is not None and not dim.value.startswith(_GENERATED)):
                dims.append(dim)
            elif dim.value is None:
                dims.append(ir.SymbolicDim(fresh(f"{value.name}_dim_{axis}" if value in outside else "")))
            else:
                if dim.value not in renamed:
                    renamed[dim.value] = fresh("")
                dims.append(ir.SymbolicDim(renamed[dim.value]))
        value.shape = ir.Shape(dims)
    model.graph.meta[_MADE_UP] = made_up(model) | fresh.counted


class _Fresh:
    """Names not used before: the wish where it is free, ``d0``, ``d1`` … otherwise."""

    def __init__(self, taken: set[str]) -> None:
        self.counted: set[str] = set()
        self._taken = taken
        self._count = 0

    def __call__(self, wish: str) -> str:
        while not wish or wish in self._taken:
            wish = f"d{self._count}"
            self._count += 1
            if wish not in self._taken:
                self.counted.add(wish)
        self._taken.add(wish)
        return wish


def _all_values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        for node in graph:
            yield from node.outputs
