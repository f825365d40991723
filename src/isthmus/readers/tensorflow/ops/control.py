"""Loops and choices whose bodies are functions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.attributes import FunctionName
from isthmus.readers.tensorflow.contract import ComplexOrReal, Host, Reads
from isthmus.readers.tensorflow.functions import Region
from isthmus.readers.tensorflow.ops._choice import choose
from isthmus.readers.tensorflow.ops._loops import loop

table = Reads()
read = table.read


@read("While", "StatelessWhile", ignore=("output_shapes", "parallel_iterations"))
def while_(op, c, inputs: ComplexOrReal, *, cond: FunctionName, body: FunctionName):
    return loop(op, c, Region.of(c.function(cond)), Region.of(c.function(body)), inputs, {})


@read("If", "StatelessIf", ignore=("output_shapes",))
def if_(op, c, cond: Host, inputs: ComplexOrReal, *, then_branch: FunctionName, else_branch: FunctionName):
    if isinstance(cond, np.ndarray):
        taken = then_branch if _is_true(cond) else else_branch
        return c.reader.call(c.function(taken), inputs)
    return choose(op, c, [_test(op, c, cond)], [_option(c, name, inputs) for name in (then_branch, else_branch)])


@read("Case", "StatelessCase", ignore=("output_shapes",))
def case(op, c, branch_index: Host, inputs: ComplexOrReal, *, branches):
    last = len(branches) - 1
    if isinstance(branch_index, np.ndarray):
        index = int(branch_index.reshape(()))
        return c.reader.call(c.function(branches[index if 0 <= index <= last else last]), inputs)
    tests = [op.Equal(branch_index, index) for index in range(last)]
    return choose(op, c, tests, [_option(c, name, inputs) for name in branches])


def _option(c, name, inputs):
    region = Region.of(c.function(name))
    return region, {tensor.name: value for tensor, value in zip(region.inputs, inputs, strict=True)}


def _is_true(value: np.ndarray) -> bool:
    """TensorFlow's truth: a scalar that is not zero or empty text; a tensor of rank 1 and more that has elements."""
    return bool(value.size) if value.ndim else bool(value.reshape(()).item())


def _test(op, c, cond):
    """The same of a tensor met at run time: a bool of shape ()."""
    if c.rank(0) != 0:
        return op.Greater(op.Size(cond), 0)
    if cond.dtype == ir.DataType.STRING:
        return op.Not(op.Equal(cond, ""))
    return cond if cond.dtype == ir.DataType.BOOL else op.Cast(cond, to=ir.DataType.BOOL)
