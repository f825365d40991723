"""Where every element of a value comes from, when it was only moved: reshaped, transposed, cut out."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX
from isthmus.passes.edit import attribute, dims, known

MOVES = frozenset({"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Gather", "Flatten"})

_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}
)


def is_move(node: ir.Node | None) -> bool:
    """Whether a node only moves the elements of its first input."""
    return node is not None and node.domain == ONNX and node.op_type in MOVES


def path_back(value: ir.Value, to: Callable[[ir.Node], bool]) -> tuple[ir.Node, tuple[ir.Node, ...]] | None:
    """The node that ``to`` accepts and the moves from its result to ``value``, in order; None behind other nodes."""
    moves: list[ir.Node] = []
    while (maker := value.producer()) is not None:
        if to(maker):
            return maker, tuple(reversed(moves))
        if not is_move(maker) or maker.inputs[0] is None or len(moves) > 32:
            return None
        moves.append(maker)
        value = maker.inputs[0]
    return None


def moved(array: np.ndarray, moves: Sequence[ir.Node], sizes: Mapping[str, int]) -> np.ndarray | None:
    """``array`` after ``moves``, where the free dimensions have these sizes; None where that is not known.

    A size that only a Reshape knows is found from the number of elements.
    """
    for node in moves:
        sizes = {**sizes, **_left_over(node.outputs[0], array.size, sizes)}
        shape = shape_at(node.outputs[0], sizes)
        if shape is None:
            return None
        if node.op_type == "Transpose":
            perm = attribute(node, "perm") or tuple(reversed(range(array.ndim)))
            array = array.transpose(perm) if len(perm) == array.ndim else array
        elif node.op_type == "Gather":
            index = known(node.inputs[1])
            if index is None:
                return None
            array = np.take(array, index, axis=attribute(node, "axis", 0))
        elif array.size == np.prod(shape):
            array = array.reshape(shape)
        if array.shape != shape:
            return None
    return array


def _left_over(value: ir.Value, count: int, sizes: Mapping[str, int]) -> Mapping[str, int]:
    """The size of the one dimension that ``sizes`` does not tell, where ``value`` has ``count`` elements."""
    found = {dim: size_at(dim, sizes) for dim in dims(value) or ()}
    unknown = [dim for dim in dims(value) or () if found[dim] is None]
    rest = math.prod(size for dim in dims(value) or () if (size := found[dim]) is not None)
    if len(unknown) != 1 or not isinstance(unknown[0], str) or not unknown[0].isidentifier() or not rest:
        return {}
    return {unknown[0]: count // rest}


def spelling(moves: Sequence[ir.Node]) -> tuple[object, ...]:
    """All that ``moved`` asks of ``moves``: where two lists are spelled alike, elements go to the same places."""
    found = []
    for node in moves:
        index = known(node.inputs[1]) if node.op_type == "Gather" else None
        taken = None if index is None else (index.shape, index.tobytes())
        perm = attribute(node, "perm")
        order = None if perm is None else tuple(perm)
        found.append((node.op_type, order, attribute(node, "axis", 0), taken, dims(node.outputs[0])))
    return tuple(found)


def shape_at(value: ir.Value, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The shape of ``value`` where the free dimensions have these sizes."""
    found = [size_at(dim, sizes) for dim in dims(value) or (None,)]
    given = tuple(size for size in found if size is not None)
    return given if len(given) == len(found) else None


def size_at(dim: int | str | None, sizes: Mapping[str, int]) -> int | None:
    """A dimension, which may be an expression of names such as ``2*b``."""
    if dim is None or isinstance(dim, int):
        return dim
    try:
        return _evaluated(ast.parse(dim, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError, ValueError):
        return None


def _evaluated(node: Any, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return sizes[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_evaluated(node.left, sizes), _evaluated(node.right, sizes))
    raise ValueError("no arithmetic of sizes")


def assignments(values: Sequence[ir.Value]) -> Iterator[dict[str, int]]:
    """Sizes of the names in the shapes of ``values``, no two alike, twice in different order."""
    names: dict[str, None] = {}
    for value in values:
        for dim in dims(value) or ():
            if isinstance(dim, str):
                try:
                    tree = ast.parse(dim, mode="eval")
                except SyntaxError:
                    continue
                names |= dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
    primes = [3, 5, 7, 11, 13, 17, 19, 23]
    for order in (primes, primes[1::-1] + primes[2:]):
        yield dict(zip(names, order, strict=False))
