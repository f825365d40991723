"""Matrices worked on column after column, in a Loop: their sizes may be free, and all of a stack go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.ops._flow import returned, typed_like
from isthmus.readers.tensorflow.ops._sizes import counted, size


def repeated(
    op: Builder, trips: ir.Value, starts: Sequence[ir.Value], ranks: Sequence[int], step: Callable[..., Sequence[Any]]
) -> list[ir.Value]:
    """``step(number, *values)`` gives the next values; what they are after ``trips`` steps, a vector of one."""
    with op.body(op.fresh(f"{op.prefix}/body")) as graph:
        number = op.input(f"{op.prefix}/number", ir.DataType.INT64, ir.Shape([]))
        going = op.input(f"{op.prefix}/going", ir.DataType.BOOL, ir.Shape([]))
        held = [
            op.input(f"{op.prefix}/held", start.dtype, ir.Shape([None] * rank))
            for start, rank in zip(starts, ranks, strict=True)
            if start.dtype is not None
        ]
        returned(op, graph, [op.Identity(going), *step(number, *held)])
    found = op.Loop(op.Squeeze(trips, [0]), None, *starts, body=graph, outputs=len(starts))
    outputs = list(found) if isinstance(found, tuple) else [found]
    typed_like(outputs, graph.outputs[1:])
    return outputs


def transposed(op: Builder, matrix: ir.Value, rank: int) -> ir.Value:
    """Rows and columns of each matrix exchanged."""
    return op.Transpose(matrix, perm=[*range(rank - 2), rank - 1, rank - 2])


class Columns:
    """What the steps of an elimination ask about a stack of matrices of a known rank."""

    def __init__(self, op: Builder, matrix: ir.Value, rank: int) -> None:
        self.op = op
        self.rank = rank
        self.rows = counted(op, size(op, matrix, rank - 2))
        """0, 1, 2…, one a row."""
        self.columns = counted(op, size(op, matrix, rank - 1))

    def column(self, matrix: ir.Value, number: ir.Value) -> ir.Value:
        """One column of each matrix: a vector."""
        return self.op.Gather(matrix, number, axis=self.rank - 1)

    def row(self, matrix: ir.Value, number: ir.Value) -> ir.Value:
        """One row of each matrix: a vector."""
        return self.op.Gather(matrix, number, axis=self.rank - 2)

    def entry(self, vector: ir.Value, number: ir.Value) -> ir.Value:
        """One entry of each vector, as a vector of one."""
        return self.op.Unsqueeze(self.op.Gather(vector, number, axis=self.rank - 2), [-1])

    def upright(self, vector: ir.Value) -> ir.Value:
        """A vector as a matrix of one column."""
        return self.op.Unsqueeze(vector, [-1])

    def flat(self, vector: ir.Value) -> ir.Value:
        """A vector as a matrix of one row."""
        return self.op.Unsqueeze(vector, [-2])

    def outer(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.op.Mul(self.upright(one), self.flat(other))

    def on_diagonal(self) -> ir.Value:
        return self.op.Equal(self.upright(self.rows), self.flat(self.columns))

    def brought_up(self, matrix: ir.Value, number: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The matrices with row ``number`` and that of the largest entry below it exchanged.

        With it which row it was, a vector of one, and the order of the rows now.
        """
        op = self.op
        ahead = op.Less(self.rows, number)
        sizes = op.Abs(self.column(matrix, number))
        candidates = op.Where(ahead, op.constant(-1, matrix.dtype), sizes)
        largest = op.ArgMax(candidates, axis=self.rank - 2, keepdims=1)
        back = op.Where(op.Equal(self.rows, largest), number, self.rows)
        order = op.Where(op.Equal(self.rows, number), largest, back)
        places = op.Expand(self.upright(order), op.Shape(matrix))
        return op.GatherElements(matrix, places, axis=self.rank - 2), largest, order


def zero(op: Builder, x: ir.Value) -> ir.Value:
    return op.constant(np.zeros(()), x.dtype)
