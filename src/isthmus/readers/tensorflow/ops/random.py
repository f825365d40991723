"""Random numbers that follow from a seed, bit by bit as TensorFlow's kernels draw them.

Philox 4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011). Words of 32 bits are held in
int64, where no product of half words overflows. Numbers without a given seed are drawn anew: see ``draws``.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._sizes import INT64, counted, int64

table = Reads()
read = table.read

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_SCRAMBLING_KEY = (0x3EC8F720, 0x02461E29)
_WORD = 1 << 32
_PHILOX = 1
_LEAST = 1e-7
"""What the logarithm of Box and Muller is spared."""

_MANTISSA = {ir.DataType.FLOAT: 23, ir.DataType.FLOAT16: 10, ir.DataType.BFLOAT16: 7}


@read("StatelessRandomGetAlg")
def algorithm(op):
    return op.constant(np.asarray(_PHILOX, np.int32))


@read("StatelessRandomGetKeyCounter")
def key_counter(op, seed):
    key, counter = _seeded(op, seed)
    return _wide(op, key), _wide(op, counter)


@read("StatelessRandomGetKeyCounterAlg")
def key_counter_algorithm(op, seed):
    return *key_counter(op, seed), algorithm(op)


@read("StatelessRandomUniform")
def uniform(op, c, shape, seed):
    return _uniform(op, c, shape, *_seeded(op, seed))


@read("StatelessRandomUniformV2")
def uniform_v2(op, c, shape, key, counter, alg: Host):
    return _uniform(op, c, shape, *_given(op, c, key, counter, alg))


@read("StatelessRandomNormal")
def normal(op, c, shape, seed):
    return _normal(op, c, shape, *_seeded(op, seed))


@read("StatelessRandomNormalV2")
def normal_v2(op, c, shape, key, counter, alg: Host):
    return _normal(op, c, shape, *_given(op, c, key, counter, alg))


@read("StatelessRandomUniformInt")
def integers(op, c, shape, seed, low, high):
    return _integers(op, c, shape, *_seeded(op, seed), low, high)


@read("StatelessRandomUniformIntV2")
def integers_v2(op, c, shape, key, counter, alg: Host, low, high):
    key, counter = _given(op, c, key, counter, alg)
    return _integers(op, c, shape, key, counter, low, high)


@read("TruncatedNormal", ignore=("seed", "seed2"))
def truncated(op, c, shape):
    c.refuse("its numbers are drawn again until they fit, and how often that is ONNX cannot tell")


def _uniform(op, c, shape, key, counter):
    dtype = data_type(c.node.outputs[0].dtype)
    bits = _MANTISSA.get(dtype)
    if bits is not None:
        words = _words(op, c, shape, key, counter)
        number = op.Mul(op.Cast(op.Mod(words, 1 << bits), to=ir.DataType.FLOAT), 2.0**-bits)
        return op.Reshape(op.Cast(number, to=dtype) if dtype != ir.DataType.FLOAT else number, int64(op, shape))
    low, high = _pairs(op, c, shape, key, counter)
    mantissa = op.Add(op.Mul(op.Mod(low, 1 << 20), _WORD), high)
    return op.Reshape(op.Mul(op.Cast(mantissa, to=dtype), 2.0**-52), int64(op, shape))


def _normal(op, c, shape, key, counter):
    """Box and Muller: two words give two numbers."""
    if c.output_dtype() != ir.DataType.FLOAT:
        c.refuse(f"normal numbers of {c.output_dtype().name} are not drawn bit by bit")
    first, second = _pairs(op, c, shape, key, counter, keep=True)

    def share(words):
        return op.Mul(op.Cast(op.Mod(words, 1 << 23), to=ir.DataType.FLOAT), 2.0**-23)

    size = op.Sqrt(op.Mul(op.Log(op.Max(share(first), _LEAST)), -2.0))
    angle = op.Mul(share(second), float(np.float32(2 * math.pi)))
    both = op.Concat(
        op.Unsqueeze(op.Mul(op.Sin(angle), size), [-1]), op.Unsqueeze(op.Mul(op.Cos(angle), size), [-1]), axis=-1
    )
    return op.Reshape(_first(op, both, shape), int64(op, shape))


def _integers(op, c, shape, key, counter, low, high):
    if c.output_dtype() != ir.DataType.INT32:
        c.refuse(f"integers of {c.output_dtype().name} need arithmetic of more than 64 bits, which ONNX has not")
    span = op.Sub(op.Cast(high, to=INT64), op.Cast(low, to=INT64))
    drawn = op.Add(op.Mod(_words(op, c, shape, key, counter), span), op.Cast(low, to=INT64))
    return op.Reshape(op.Cast(drawn, to=ir.DataType.INT32), int64(op, shape))


def _given(op, c, key, counter, algorithm):
    """Key and counter as words. Another algorithm than Philox is refused."""
    if isinstance(algorithm, ir.Value) or int(algorithm) not in (_PHILOX, 3):
        c.refuse("its random numbers are not drawn by Philox")
    return _narrow(op, key, 1), _narrow(op, counter, 2)


def _seeded(op, seed):
    """Key and counter that a seed of two integers is scrambled into, so that neither need be strong."""
    counter = _halves(op, op.Cast(seed, to=INT64), 2)
    mixed = _philox(op, [op.constant(np.int64(word)) for word in _SCRAMBLING_KEY], counter)
    zero = op.constant(np.zeros(1, np.int64))
    return mixed[:2], [zero, zero, mixed[2], mixed[3]]


def _narrow(op, wide, count: int):
    """Words of 32 bits, low ones first, of integers of 64 without a sign."""
    low = op.BitwiseAnd(wide, op.constant(np.uint64(_WORD - 1)))
    high = op.BitShift(wide, op.constant(np.uint64(32)), direction="RIGHT")
    words = []
    for index in range(count):
        at = np.asarray([index])
        words += [op.Cast(op.Gather(part, at, axis=0), to=INT64) for part in (low, high)]
    return words


def _wide(op, words):
    """Words, low ones first, as integers of 64 bits without a sign."""
    joined = []
    for low, high in zip(words[::2], words[1::2], strict=True):
        high = op.BitShift(op.Cast(high, to=ir.DataType.UINT64), op.constant(np.uint64(32)), direction="LEFT")
        joined.append(op.BitwiseOr(high, op.Cast(low, to=ir.DataType.UINT64)))
    return op.Concat(*joined, axis=0)


def _halves(op, wide, count: int):
    """Words, low ones first, of signed integers of 64 bits."""
    words = []
    for index in range(count):
        value = op.Gather(wide, np.asarray([index]), axis=0)
        low = op.Mod(value, _WORD)  # of the divisor's sign
        high = op.Div(op.Sub(value, low), _WORD)
        words += [low, op.Mod(high, _WORD)]
    return words


def _philox(op, key, counter):
    """Four words that a key of two and a counter of four make; the words are vectors."""
    for _ in range(_ROUNDS):
        low0, high0 = _product(op, counter[0], _MULTIPLIERS[0])
        low1, high1 = _product(op, counter[2], _MULTIPLIERS[1])
        counter = [
            op.BitwiseXor(op.BitwiseXor(high1, counter[1]), key[0]),
            low1,
            op.BitwiseXor(op.BitwiseXor(high0, counter[3]), key[1]),
            low0,
        ]
        key = [op.Mod(op.Add(word, step), _WORD) for word, step in zip(key, _KEY_STEPS, strict=True)]
    return counter


def _product(op, word, factor: int):
    """The low and the high word of a product, by halves of the factor."""
    by_low, by_high = op.Mul(word, factor & 0xFFFF), op.Mul(word, factor >> 16)
    low = op.Mod(op.Add(by_low, op.Mul(op.Mod(by_high, 1 << 16), 1 << 16)), _WORD)
    high = op.Div(op.Add(by_high, op.Div(by_low, 1 << 16)), 1 << 16)
    return low, high


def _groups(op, c, shape, key, counter, words: int):
    """[groups, 4] words, as many groups as make one number of ``words`` words for each element."""
    elements = op.ReduceProd(int64(op, shape), keepdims=1)
    groups = op.Div(op.Add(op.Mul(elements, words), 3), 4)
    carried, counters = counted(op, groups), []
    for word in counter:
        total = op.Add(word, carried)
        counters.append(op.Mod(total, _WORD))
        carried = op.Div(total, _WORD)
    return op.Concat(*(op.Unsqueeze(word, [-1]) for word in _philox(op, key, counters)), axis=-1)


def _words(op, c, shape, key, counter):
    """One word an element, in a row."""
    return _first(op, _groups(op, c, shape, key, counter, 1), shape)


def _pairs(op, c, shape, key, counter, *, keep: bool = False):
    """Two words an element, each in a row; ``keep`` where a pair serves two elements."""
    drawn = op.Reshape(_groups(op, c, shape, key, counter, 1 if keep else 2), [-1, 2])
    words = [op.Gather(drawn, np.int64(index), axis=1) for index in (0, 1)]
    return words if keep else [_first(op, row, shape) for row in words]


def _first(op, rows, shape):
    """As many elements as the shape has, of rows that are laid end to end."""
    elements = op.ReduceProd(int64(op, shape), keepdims=1)
    return op.Slice(op.Reshape(rows, [-1]), np.asarray([0]), elements, np.asarray([0]))
