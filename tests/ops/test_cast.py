"""Casts between every pair of types; the narrow ones against ml_dtypes, the others against numpy and ONNX Runtime."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import onnx
import pytest
from matrix import FORMS, Form, Node, agrees
from onnx import helper

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

INTS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]
FLOAT8 = [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz]
SUB_BYTE = [ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, ml_dtypes.uint2]
NARROW = [*FLOAT8, ml_dtypes.float4_e2m1fn, *SUB_BYTE]
NAME = {"ids": lambda d: d.__name__}


def onnx_type(dtype: type) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def cast(x: np.ndarray, dtype: type, **attributes: int) -> Node:
    return Node("Cast", [x], {"to": onnx_type(dtype), **attributes})


@pytest.mark.parametrize("source, target", list(itertools.product([*INTS, bool], [*INTS, *FLOATS, bool])), **NAME)
def test_integers_wrap_around(source: type, target: type) -> None:
    x = np.array([-3, -1, 0, 1, 7, 100, 300, 70000, 2**33 + 5, 2**63 - 1]).astype(source)
    with np.errstate(over="ignore"):
        expected = x.astype(target)
    agrees(cast(x, target), "plain", expected=[expected])


@pytest.mark.parametrize("source, target", list(itertools.product(FLOATS, [*INTS, *FLOATS, bool])), **NAME)
def test_floats_within_range(source: type, target: type) -> None:
    x = np.array(
        [0.0, 0.4, 0.9, 1.5, 7.99, 100.0, 127.0] + ([-1.9, -100.5] if np.dtype(target).kind != "u" else [])
    ).astype(source)
    agrees(cast(x, target), "plain", expected=[x.astype(np.float64).astype(target)], rtol=0, atol=0)


@pytest.mark.parametrize("target", [np.float16, ml_dtypes.bfloat16], **NAME)
def test_halves_round_to_even_and_overflow_to_infinity(target: type) -> None:
    x = np.float32([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 2**-9 * 3, 65519, 65520, 3e38, -3e38, np.nan, -0.0])
    with np.errstate(over="ignore"):
        expected = x.astype(target)
    agrees(cast(x, target), "plain", expected=[expected], rtol=0, atol=0)


def float_samples(dtype: type) -> np.ndarray:
    """Every value of a narrow type, what lies half-way to the next, and what lies around that."""
    width = 256 if dtype in FLOAT8 else 16
    values = np.arange(width, dtype=np.uint8).view(dtype).astype(np.float32)
    values = np.unique(values[np.isfinite(values)])
    middles = (values[1:] + values[:-1]) / 2
    around = [np.nextafter(middles, np.float32(s)) for s in (-np.inf, np.inf)]
    top = values[-1]
    beyond = np.float32([top * 1.01, top * 1.1, top * 2, -top * 1.1, 1e30, -1e30, -0.0, 0.0])
    return np.concatenate([values, middles, *around, beyond]).astype(np.float32)


@pytest.mark.parametrize("target", [*FLOAT8, ml_dtypes.float4_e2m1fn], **NAME)
def test_narrow_floats_round_half_to_even(target: type) -> None:
    x = np.concatenate([float_samples(target), np.float32([np.inf, -np.inf, np.nan][: 3 if target in FLOAT8 else 0])])
    top = ml_dtypes.finfo(target).max
    saturated = np.where(np.isnan(x), x, np.clip(x, -np.float32(top), np.float32(top))).astype(target)
    same_bits(cast(x, target), saturated)
    if target in FLOAT8:
        same_bits(cast(x, target, saturate=0), x.astype(target))


def same_bits(node: Node, expected: np.ndarray) -> None:
    from conformance import run_tensorflow

    (made,) = run_tensorflow(node.model("plain"), node.feeds("plain"))
    assert made.dtype == expected.dtype
    nan = np.isnan(expected.astype(np.float32))
    np.testing.assert_array_equal(np.isnan(made.astype(np.float32)), nan)
    np.testing.assert_array_equal(made.view(np.uint8)[~nan], expected.view(np.uint8)[~nan])


@pytest.mark.parametrize("source", NARROW, **NAME)
@pytest.mark.parametrize("target", [np.float16, np.float32, np.int32, np.uint8, bool], **NAME)
def test_every_narrow_value_is_read_back(source: type, target: type) -> None:
    bits = {ml_dtypes.int2: 4, ml_dtypes.uint2: 4}.get(source, 256 if source in FLOAT8 else 16)
    x = np.arange(bits, dtype=np.uint8).view(source)
    wide = x.astype(np.float32)
    fits = (wide >= 0) & (wide < 256) if target is np.uint8 else np.abs(wide) <= 57344
    x = x[np.isfinite(wide) & fits]
    agrees(cast(x.reshape(1, -1), target), "plain", expected=[x.astype(np.float32).astype(target).reshape(1, -1)])


@pytest.mark.parametrize("target", SUB_BYTE, **NAME)
def test_sub_byte_integers_keep_the_low_bits(target: type) -> None:
    x = np.arange(-20, 40, dtype=np.int32)
    agrees(cast(x, target), "plain", expected=[x.astype(target)])


@pytest.mark.parametrize("narrow", NARROW, **NAME)
def test_empty_and_scalar(narrow: type) -> None:
    agrees(cast(np.zeros((0, 3), np.float32), narrow), "plain", expected=[np.zeros((0, 3), narrow)])
    agrees(cast(np.float32(1), narrow), "plain", expected=[np.ones((), narrow)])
    agrees(cast(np.ones((), narrow), np.float32), "plain", expected=[np.float32(1)])


TEXT = {
    "floats": (np.array(["1.5", "+INF", "inf", "-INF", "NaN", "1e-5", "1E8", "-0"], object), np.float32),
    "doubles": (np.array(["3.14159265358979", "1e300"], object), np.float64),
    "ints": (np.array(["100", "-7", "007"], object), np.int64),
    "bytes": (np.array(["100", "-7"], object), np.int8),
    "unsigned": (np.array(["18446744073709551615", "7"], object), np.uint64),
    "decimals": (np.array(["100.5", "7.0"], object), np.int32),
}
NUMBERS = [
    np.float32([1.5, 0.1, 1e20, 1e-7, 123456789.0, -0.0, np.nan, np.inf, -np.inf, 100, 1 / 3]),
    np.float64([0.1, 3.14159265358979, 2.0]),
    np.array([1, -5, 2**62]),
    np.array([True, False]),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TEXT)
def test_text_to_numbers(name: str, form: Form) -> None:
    agrees(cast(*TEXT[name]), form)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.dtype.name)
def test_numbers_to_text(number: np.ndarray) -> None:
    agrees(Node("Cast", [number], {"to": onnx.TensorProto.STRING}), "plain")


@pytest.mark.parametrize("form", FORMS)
def test_cast_like(form: Form) -> None:
    x = np.float32([1.7, -2.2])
    agrees(Node("CastLike", [x, np.array([0], np.int16)]), form, expected=[np.array([1, -2], np.int16)])
    agrees(Node("CastLike", [x, np.zeros(1, FLOAT8[1])]), form, expected=[x.astype(FLOAT8[1])])


BITS = [
    (np.float32, np.int32),
    (np.int64, np.float64),
    (np.float16, ml_dtypes.bfloat16),
    (np.uint8, np.int8),
    (bool, np.uint8),
    (np.uint8, ml_dtypes.float8_e4m3fnuz),
    (ml_dtypes.float8_e5m2, np.int8),
    (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
    (ml_dtypes.int4, ml_dtypes.uint4),
    (ml_dtypes.uint4, ml_dtypes.float4_e2m1fn),
    (ml_dtypes.int2, ml_dtypes.uint2),
    (np.complex64, np.float64),
]


@pytest.mark.parametrize("source, target", BITS, **NAME)
def test_bit_cast(source: type, target: type) -> None:
    x = np.array([0, 1, 1, 0]).astype(source) if source is bool else np.array([1, 3, 0]).astype(source)
    agrees(Node("BitCast", [x], {"to": onnx_type(target)}), "plain", expected=[x.view(target)], rtol=0, atol=0)
