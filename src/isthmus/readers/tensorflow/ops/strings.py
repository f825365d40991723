"""Text, as far as ONNX and ONNX Runtime have operators that mean the same."""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.ops._sizes import INT64, LAST, counted, size

table = Reads()
read = table.read


@read("StringLower")
def string_lower(op, c, x, *, encoding: str):
    return _cased(op, c, x, "LOWER", encoding)


@read("StringUpper")
def string_upper(op, c, x, *, encoding: str):
    return _cased(op, c, x, "UPPER", encoding)


@read("StringJoin")
def string_join(op, inputs, *, separator: str):
    if not separator:
        return functools.reduce(op.StringConcat, inputs)
    return functools.reduce(lambda a, b: op.StringConcat(op.StringConcat(a, separator), b), inputs)


@read("RegexFullMatch")
def regex_full_match(op, c, x, pattern: Static):
    return op.RegexFullMatch(x, pattern=_text(c, pattern.reshape(()).item()))


@read("StaticRegexFullMatch")
def static_regex_full_match(op, x, *, pattern: str):
    return op.RegexFullMatch(x, pattern=pattern)


@read("AsString")
def as_string(op, c, x, *, precision: int, scientific: bool, shortest: bool, width: int, fill: str):
    if width > 0 or fill:
        c.refuse(f"width={width}, fill={fill!r}: ONNX writes numbers without padding")
    if x.dtype == ir.DataType.STRING:
        return x
    if x.dtype == ir.DataType.BOOL:
        return op.Where(x, "true", "false")
    if not x.dtype.is_integer():
        c.refuse("ONNX does not say how many digits a floating-point number is written with")
    return op.Cast(x, to=ir.DataType.STRING)


@read("StringToNumber")
def string_to_number(op, x, *, out_type: tf.DType):
    return op.Cast(x, to=data_type(out_type))


@read("StringSplitV2")
def string_split_v2(op, c, x, sep: Static, *, maxsplit: int):
    separator = _text(c, sep.reshape(()).item())
    if not separator:
        c.refuse(
            "it splits at white space, where ONNX Runtime knows spaces only",
            hint="name a separator: tf.strings.split(x, sep=' ')",
        )
    if maxsplit == 0:
        c.refuse("maxsplit=0: ONNX does not say what it means")
    limit = maxsplit if maxsplit > 0 else None
    parts, counts = op.StringSplit(x, delimiter=separator, maxsplit=limit, outputs=2)
    # TensorFlow finds one part in an empty text, ONNX Runtime none.
    parts, counts = _with_column(op, x, parts), op.Max(counts, np.int64(1))
    there = op.Less(counted(op, size(op, parts, 1)), op.Unsqueeze(counts, [1]))
    indices = op.Transpose(op.NonZero(there), perm=[1, 0])
    widest = op.ReduceMax(op.Concat([0], counts, axis=0), keepdims=True)
    return indices, op.GatherND(parts, indices), op.Concat(size(op, x, 0), widest, axis=0)


@read("StringSplit")
def string_split(op, c, x, delimiter: Static, *, skip_empty: bool):
    separator = _text(c, delimiter.reshape(()).item())
    if len(separator) != 1:
        c.refuse(f"its delimiter is {separator!r}: ONNX splits at one text, not at each of its characters")
    parts, counts = op.StringSplit(x, delimiter=separator, outputs=2)
    there = op.Less(counted(op, size(op, parts, 1)), op.Unsqueeze(counts, [1]))
    if skip_empty:
        there = op.And(there, op.Not(op.Equal(parts, "")))
    places = op.Transpose(op.NonZero(there), perm=[1, 0])
    numbers = op.CumSum(op.Cast(there, to=INT64), np.int64(1))
    column = op.Sub(op.GatherND(numbers, places), np.int64(1))
    indices = op.Concat(op.Gather(places, np.asarray([0]), axis=1), op.Unsqueeze(column, [1]), axis=1)
    widest = op.ReduceMax(op.Concat([0], op.Add(column, np.int64(1)), axis=0), keepdims=True)
    return indices, op.GatherND(parts, places), op.Concat(size(op, x, 0), widest, axis=0)


def _cased(op, c, x, action, encoding):
    if encoding:
        c.refuse(
            f"encoding={encoding!r}: which letters ONNX Runtime knows depends on the machine that it runs on",
            hint="leave the encoding out to change ASCII letters only",
        )
    # The operator takes vectors of at least one text. The locale C knows the letters of ASCII, as TensorFlow does.
    flat = op.Concat(np.asarray([""], object), op.Reshape(x, [-1]), axis=0)
    changed = op.StringNormalizer(flat, case_change_action=action, locale="C")
    return op.Reshape(op.Slice(changed, [1], [LAST], [0]), op.Shape(x), allowzero=1)


def _text(c, value):
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        c.refuse("its text is not UTF-8")


def _with_column(op, x, parts):
    """One column of empty texts more."""
    return op.Concat(parts, op.Expand("", op.Concat(size(op, x, 0), [1], axis=0)), axis=1)
