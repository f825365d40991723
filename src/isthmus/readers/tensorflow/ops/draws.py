"""Random numbers of TensorFlow's own generators: drawn anew by the target's, from the same distribution."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._sizes import INT64, entry, int64

table = Reads()
read = table.read

FLOAT, DOUBLE = ir.DataType.FLOAT, ir.DataType.DOUBLE
_LEVELS = {ir.DataType.FLOAT16: 2.0**10, ir.DataType.BFLOAT16: 2.0**7}
"""How many numbers from 0 to 1 TensorFlow draws of a type."""
_EXACT = 1 << 53
"""Up to here float64 holds every integer."""


@read("RandomUniform", ignore=("seed", "seed2"))
def uniform(op, c, shape: Host):
    """From 0, below 1: a number of a narrow type is not rounded up to 1."""
    dtype = c.output_dtype()
    levels = _LEVELS.get(dtype)
    if levels is None:
        return _drawn(op, c, "RandomUniform", shape, dtype)
    wide = op.Floor(op.Mul(_drawn(op, c, "RandomUniform", shape, FLOAT), levels))
    return op.Cast(op.Div(wide, levels), to=dtype)


@read("RandomStandardNormal", ignore=("seed", "seed2"))
def normal(op, c, shape: Host):
    dtype = c.output_dtype()
    made = _drawn(op, c, "RandomNormal", shape, FLOAT if dtype in _LEVELS else dtype)
    return op.Cast(made, to=dtype) if dtype in _LEVELS else made


@read("RandomUniformInt", ignore=("seed", "seed2"))
def integers(op, c, shape: Host, low, high):
    """The whole part of a number that is drawn from 0 to how many integers there are."""
    bounds = [c.known(index) for index in (1, 2)]
    if c.output_dtype() == INT64:
        known = [int(bound) for bound in bounds if bound is not None]
        if len(known) < 2 or known[1] - known[0] > _EXACT:
            c.refuse("its integers are of 64 bits, and ONNX draws floating-point numbers, of 53 at most")
    low, high = op.Cast(low, to=INT64), op.Cast(high, to=INT64)
    count = op.Cast(op.Sub(high, low), to=DOUBLE)
    steps = op.Floor(op.Mul(_drawn(op, c, "RandomUniform", shape, DOUBLE), count))
    found = op.Add(op.Cast(op.Min(steps, op.Sub(count, 1.0)), to=INT64), low)
    return op.Cast(found, to=c.output_dtype())


@read("RandomShuffle", ignore=("seed", "seed2"))
def shuffled(op, c, value):
    """The order of as many random numbers."""
    if c.rank() == 0:
        return op.Identity(value)
    rows = op.Shape(value, end=1)
    order = op.TopK(_drawn(op, c, "RandomUniform", rows, DOUBLE), rows, outputs=2)[1]
    return op.Gather(value, order, axis=0)


@read("Multinomial", ignore=("seed", "seed2"))
def choices(op, c, logits, num_samples: Host):
    """The largest of the logits and Gumbel's noise; ONNX Runtime's own operator would take a known number only."""
    dtype = DOUBLE if logits.dtype == DOUBLE else FLOAT
    wide = logits if logits.dtype == dtype else op.Cast(logits, to=dtype)
    if isinstance(num_samples, np.ndarray) and dtype == FLOAT:
        _tell(c)
        return op.Multinomial(wide, sample_size=int(num_samples), dtype=c.output_dtype())
    shape = op.Concat(op.Shape(logits, end=1), entry(op, num_samples, 0), op.Shape(logits, start=1), axis=0)
    least = float(np.finfo(dtype.numpy()).tiny)
    noise = op.Neg(op.Log(op.Neg(op.Log(op.Max(_drawn(op, c, "RandomUniform", shape, dtype), least)))))
    found = op.ArgMax(op.Add(op.Unsqueeze(wide, [1]), noise), axis=-1, keepdims=0)
    return op.Cast(found, to=c.output_dtype())


def _drawn(op, c, kind, shape, dtype):
    """A tensor of random numbers; ``kind`` is RandomUniform or RandomNormal."""
    _tell(c)
    if isinstance(shape, np.ndarray):
        return getattr(op, kind)(shape=[int(size) for size in shape], dtype=dtype)
    return getattr(op, f"{kind}Like")(op.ConstantOfShape(int64(op, shape)), dtype=dtype)


def _tell(c):
    c.note("random", "numbers are drawn by a generator of the target's own: the distribution is that of the source")
