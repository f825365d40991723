"""Variables: what they hold, and what a signature leaves in them.

Operations are read in the order in which the graph runs them, so a read after an assignment sees the new value.
A variable that the signature changes becomes an input, which gives what it held before, and an output, which gives
what it holds after (see ``read.py``): the model itself then keeps no state.
"""

from __future__ import annotations

import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._variables import assign_to, held, variable

table = Reads()
read = table.read

INT64 = ir.DataType.INT64


@read("ReadVariableOp")
def read_variable(op, c, resource):
    return held(c, resource)


@read("VarIsInitializedOp")
def is_initialized(op, c, resource):
    variable(c, resource)
    return op.constant(True)


@read("AssignVariableOp", ignore=("validate_shape",))
def assign(op, c, resource, value):
    assign_to(c, resource, value)


@read("AssignAddVariableOp")
def assign_add(op, c, resource, value):
    assign_to(c, resource, op.Add(held(c, resource), value))


@read("AssignSubVariableOp")
def assign_sub(op, c, resource, value):
    assign_to(c, resource, op.Sub(held(c, resource), value))


_REDUCTIONS = {"Add": "add", "Mul": "mul", "Min": "min", "Max": "max", "Update": "none"}


@read(*(f"ResourceScatter{kind}" for kind in (*_REDUCTIONS, "Sub")))
def scatter(op, c, resource, indices, updates):
    """Rows. Updates of several rows for one place are all counted; of ``Update`` the last one stays."""
    before = held(c, resource)
    shape = op.Concat(op.Shape(indices), op.Shape(before, start=1), axis=0)
    rows = op.Unsqueeze(op.Cast(indices, to=INT64), [c.rank(1)])
    kind = c.type.removeprefix("ResourceScatter")
    assign_to(c, resource, _scattered(op, kind, before, rows, op.Expand(updates, shape)))


@read(
    *(f"ResourceScatterNd{kind}" for kind in (*_REDUCTIONS, "Sub") if kind != "Mul"),
    ignore=("use_locking", "bad_indices_policy"),
)
def scatter_nd(op, c, ref, indices, updates):
    kind = c.type.removeprefix("ResourceScatterNd")
    assign_to(c, ref, _scattered(op, kind, held(c, ref), op.Cast(indices, to=INT64), updates))


def _scattered(op, kind, before, indices, updates):
    if kind == "Sub":
        kind, updates = "Add", op.Neg(updates)
    return op.ScatterND(before, indices, updates, reduction=_REDUCTIONS[kind])


@read("DestroyResourceOp", ignore=("ignore_lookup_error",))
def destroy(op, c, resource):
    """What nobody can ask for any more."""
