"""The weights of recurrent operators, traced to the initializers that they are put together from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.hub.model import ONNX, ROLE
from isthmus.passes.edit import Editor, attribute, known
from isthmus.types import StoredWeight

ORIGIN = "isthmus.origin"
"""Metadata of an initializer that is part of a weight of the source: JSON with the weight's ``name``, the ``index``
on its first axis, and which ``blocks`` of equal size follow one another, out of how many (``of``), along which
``axis``; then the ``perm`` and the ``shape`` that it got. What is not there was not done. The name is null where the
source has no such weight, and zeros that do not train stand in for it. ``rows``: it is all of the weight, its blocks
those of the rows one after the other."""


@dataclass(frozen=True)
class Piece:
    """Rows ``start`` to ``stop`` of an initializer, or of its entry ``index`` on the first axis."""

    value: ir.Value
    index: int | None
    start: int
    stop: int


Rows = list[Piece]
"""A matrix or a vector, by its rows."""


def entries(value: ir.Value | None) -> list[Rows] | None:
    """The entries of a stack of matrices or vectors, an entry a direction; None where one is computed."""
    if value is None:
        return None
    if _is_weight(value):
        count, rows = value.const_value.shape.numpy()[:2]  # type: ignore[union-attr]
        return [[Piece(value, d, 0, int(rows))] for d in range(int(count))]
    maker = value.producer()
    if maker is None or maker.domain != ONNX:
        return None
    if maker.op_type == "Unsqueeze":
        axes = known(maker.inputs[1])
        inner = _rows(maker.inputs[0])
        return [inner] if inner is not None and axes is not None and axes.reshape(-1).tolist() == [0] else None
    if maker.op_type != "Concat":
        return None
    parts = [entries(part) for part in maker.inputs]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    if attribute(maker, "axis") == 0:
        return [rows for part in found for rows in part]
    if attribute(maker, "axis") == 1 and len({len(part) for part in found}) == 1:
        return [[piece for rows in side for piece in rows] for side in zip(*found, strict=True)]
    return None


def _rows(value: ir.Value | None) -> Rows | None:
    if value is None:
        return None
    if _is_weight(value):
        return [Piece(value, None, 0, int(value.const_value.shape.numpy()[0]))]  # type: ignore[union-attr]
    maker = value.producer()
    if maker is None or maker.domain != ONNX:
        return None
    if maker.op_type == "Concat" and attribute(maker, "axis") == 0:
        parts = [_rows(part) for part in maker.inputs]
        return None if any(part is None for part in parts) else [p for part in parts if part for p in part]
    if maker.op_type == "Split" and attribute(maker, "axis", 0) == 0:
        return _split(maker, value)
    if maker.op_type == "Slice":
        return _sliced(maker)
    return None


def _split(maker: ir.Node, value: ir.Value) -> Rows | None:
    given = _rows(maker.inputs[0])
    if given is None:
        return None
    sizes = known(maker.inputs[1]) if len(maker.inputs) > 1 else None
    total, count = sum(p.stop - p.start for p in given), len(maker.outputs)
    if sizes is None:
        if len(maker.inputs) > 1 or total % count:
            return None
        sizes = np.full(count, total // count)
    at = next(i for i, out in enumerate(maker.outputs) if out is value)
    return cut(given, int(sizes[:at].sum()), int(sizes[: at + 1].sum()))


def _sliced(maker: ir.Node) -> Rows | None:
    given = _rows(maker.inputs[0])
    bounds = [known(one) for one in maker.inputs[1:]]
    if given is None or len(bounds) < 3 or any(b is None or b.size != 1 for b in bounds):
        return None
    start, stop, axis, step = (int(b.reshape(-1)[0]) for b in [*bounds, np.ones(1)][:4] if b is not None)
    total = sum(p.stop - p.start for p in given)
    if axis != 0 or step != 1:
        return None
    start, stop, _ = slice(start, stop).indices(total)
    return cut(given, start, stop)


def _is_weight(value: ir.Value) -> bool:
    return value.const_value is not None and value.producer() is None and not value.is_graph_input()


def cut(rows: Rows, start: int, stop: int) -> Rows:
    """Rows ``start`` to ``stop``, pieces that follow one another joined."""
    found: Rows = []
    at = 0
    for piece in rows:
        first, last = max(start - at, 0), min(stop - at, piece.stop - piece.start)
        at += piece.stop - piece.start
        if first >= last:
            continue
        part = Piece(piece.value, piece.index, piece.start + first, piece.start + last)
        before = found[-1] if found else None
        if before and (before.value, before.index, before.stop) == (part.value, part.index, part.start):
            found[-1] = Piece(part.value, part.index, before.start, part.stop)
        else:
            found.append(part)
    return found


def reordered(rows: Rows, order: Sequence[int], size: int) -> Rows:
    """The blocks of ``size`` rows at these places, one after the other."""
    blocks = [piece for k in order for piece in cut(rows, k * size, (k + 1) * size)]
    return cut(blocks, 0, len(order) * size)


class Parts:
    """Initializers that hold exactly some rows; the same rows are the same initializer, so that ties stay."""

    def __init__(self, edit: Editor) -> None:
        self._edit = edit
        self._made: dict[tuple[Piece, ...], ir.Value] = {}

    def settled(self, rows: Rows, size: int, wish: str) -> ir.Value | None:
        """The initializer that is these rows, or a new one, made of one other; None where it takes several."""
        first = rows[0]
        whole = first.value.const_value
        assert whole is not None
        if len(rows) == 1 and first.index is None and (first.start, first.stop) == (0, int(whole.shape.numpy()[0])):
            return first.value
        aligned = all(p.start % size == 0 and p.stop % size == 0 for p in rows)
        if not aligned or len({(p.value, p.index) for p in rows}) != 1:
            return None
        key = tuple(rows)
        if key not in self._made:
            self._made[key] = _cut_out(self._edit, rows, size, wish)
        return self._made[key]


def _cut_out(edit: Editor, rows: Rows, size: int, wish: str) -> ir.Value:
    """A new initializer of blocks of ``size`` rows of another one."""
    first = rows[0]
    whole = first.value.const_value
    assert whole is not None
    blocks = [k for p in rows for k in range(p.start // size, p.stop // size)]
    axis = 0 if first.index is None else 1
    count = int(whole.shape.numpy()[axis]) // size
    tail = whole.shape.numpy()[axis + 1 :]
    source, index = whole, first.index

    def made() -> ir.TensorProtocol:
        array = source.numpy() if index is None else source.numpy()[index]
        array = array.reshape(count, size, *array.shape[1:])[blocks]
        return ir.Tensor(np.ascontiguousarray(array).reshape(-1, *array.shape[2:]), dtype=source.dtype)

    shape = ir.Shape([len(blocks) * size, *(int(d) for d in tail)])
    made_value = edit.initializer(ir.LazyTensor(made, dtype=whole.dtype, shape=shape, name=None), wish)
    role = first.value.metadata_props.get(ROLE)
    name = first.value.name
    if role == "constant" and is_zero(first.value):  # it fills the place of a weight that the source has not
        role, name = "buffer", None
    if role:
        made_value.metadata_props[ROLE] = role
    told = {"name": name, "index": index, "blocks": blocks, "of": count}
    made_value.metadata_props[ORIGIN] = json.dumps(_since(first.value, told))
    return made_value


def _since(value: ir.Value, told: dict[str, Any]) -> dict[str, Any]:
    """``told`` of an initializer that is part of a weight itself, as one direction of it."""
    before = json.loads(value.metadata_props.get(ORIGIN, "{}"))
    if not before or told["name"] is None:
        return told
    if (rows := before.get("rows")) is not None:
        each = told["of"] // rows
        (row,) = {block // each for block in told["blocks"]}
        blocks = [block % each for block in told["blocks"]]
        return {"name": before["name"], "index": row, "blocks": blocks, "of": each}
    del before["shape"]
    return {**before, "blocks": [before["blocks"][block] for block in told["blocks"]]}


def made_of(value: ir.Value, key: str) -> StoredWeight | None:
    """How ``value``, which a target has under ``key``, was made of a weight of the source, as ``ORIGIN`` tells it.

    None where that tells nothing, or that the source has no such weight.
    """
    told = json.loads(value.metadata_props.get(ORIGIN, "{}"))
    if told.get("name") is None:
        return None
    blocks, perm, shape = (None if told.get(k) is None else tuple(told[k]) for k in ("blocks", "perm", "shape"))
    return StoredWeight(
        key, told["name"], told.get("index"), blocks, told.get("of"), perm, shape, told.get("axis", 0)
    )


def is_zero(value: ir.Value | None) -> bool:
    """Whether a value is zero everywhere, whatever its shape."""
    if value is None:
        return True
    if _is_weight(value):
        assert value.const_value is not None
        return value.const_value.nbytes <= 1 << 20 and not value.const_value.numpy().any()
    maker = value.producer()
    if maker is None or maker.domain != ONNX:
        return False
    if maker.op_type == "ConstantOfShape":
        filled = maker.attributes.get("value")
        return filled is None or not filled.as_tensor().numpy().any()
    return maker.op_type in KEEPS and is_zero(maker.inputs[0])


KEEPS = ("Expand", "Gather", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Tile")
"""Operators that make nothing but entries of their operand."""
