"""Quantized operators of com.microsoft: dequantize, compute in floats, quantize."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.passes.contrib.build import Build, Decompose, Left


def _float(b: Build, at: int) -> ir.Value:
    """The operands ``at`` (codes, scale, zero point) as floats."""
    return _dequantized(b, b.input(at), b.input(at + 1), b.optional(at + 2))


def _dequantized(b: Build, codes: ir.Value, scale: ir.Value, zero: ir.Value | None, axis: int = 1) -> ir.Value:
    made = b.op("DequantizeLinear", codes, scale, zero, axis=axis)
    made.type = scale.type
    return made


def _quantized(b: Build, value: ir.Value, scale: ir.Value, zero: ir.Value | None, like: ir.Value) -> ir.Value:
    to = None if zero is not None else int(b.dtype(like))
    made = b.op("QuantizeLinear", value, scale, zero, output_dtype=to)
    made.type = like.type
    return made


def _binary(op: str) -> Decompose:
    """QLinearAdd, QLinearMul: two triples in, scale and zero point out."""

    def decompose(b: Build) -> list[ir.Value | None]:
        made = b.op(op, _float(b, 0), _float(b, 3))
        return [_quantized(b, made, b.input(6), b.optional(7), b.input(0))]

    return decompose


def _sigmoid(b: Build) -> list[ir.Value | None]:
    return [_quantized(b, b.op("Sigmoid", _float(b, 0)), b.input(3), b.optional(4), b.input(0))]


def _leaky_relu(b: Build) -> list[ir.Value | None]:
    made = b.op("LeakyRelu", _float(b, 0), alpha=b.attr("alpha", 0.009999999776482582))
    return [_quantized(b, made, b.input(3), b.optional(4), b.input(0))]


def _softmax(b: Build) -> list[ir.Value | None]:
    """Before opset 13, Softmax was over all axes from ``axis`` on."""
    x = b.input(0)
    axes, axis = b.rank(x), b.attr("axis", -1)
    if b.attr("opset") < 13 and axis % axes != axes - 1:
        raise Left("its axis and those behind it are one")
    made = b.op("Softmax", _float(b, 0), axis=axis)
    return [_quantized(b, made, b.input(3), b.optional(4), x)]


def _reduce_mean(b: Build) -> list[ir.Value | None]:
    axes = b.attr("axes")
    made = b.op("ReduceMean", _float(b, 0), b.ints(*axes) if axes else None, keepdims=b.attr("keepdims", 1))
    return [_quantized(b, made, b.input(3), b.optional(4), b.input(0))]


def _where(b: Build) -> list[ir.Value | None]:
    made = b.op("Where", b.input(0), _float(b, 1), _float(b, 4))
    made.type = b.input(2).type
    return [_quantized(b, made, b.input(7), b.optional(8), b.input(1))]


def _concat(b: Build) -> list[ir.Value | None]:
    parts = [_float(b, at) for at in range(2, len(b.node.inputs), 3)]
    return [_quantized(b, b.op("Concat", *parts, axis=b.attr("axis")), b.input(0), b.optional(1), b.input(2))]


def _pool(op: str) -> Decompose:
    """QLinearAveragePool, QLinearGlobalAveragePool, with channels first or last."""

    def decompose(b: Build) -> list[ir.Value | None]:
        x = b.input(0)
        names = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
        kept = {} if op.startswith("Global") else {name: b.attr(name) for name in names}
        image = _float(b, 0)
        last = b.attr("channels_last", 0)
        axes = b.rank(x) if last else 0
        if last:
            image = b.op("Transpose", image, perm=[0, axes - 1, *range(1, axes - 1)])
        made = b.op(op, image, **kept)
        if last:
            made = b.op("Transpose", made, perm=[0, *range(2, axes), 1])
        return [_quantized(b, made, b.input(3), b.optional(4), x)]

    return decompose


def _gemm(b: Build) -> list[ir.Value | None]:
    """C is an int32 of scale alpha × a_scale × b_scale; without an output scale the result is float."""
    a_scale, b_scale, alpha = b.input(1), b.input(4), b.attr("alpha", 1.0)
    left = _dequantized(b, b.input(0), a_scale, b.optional(2))
    right = _dequantized(b, b.input(3), b_scale, b.optional(5), axis=0 if b.attr("transB", 0) else 1)
    product = b.op("Gemm", left, right, None, alpha=alpha, transA=b.attr("transA"), transB=b.attr("transB"))
    bias = b.optional(6)
    if bias is not None:
        unit = b.op("Mul", b.op("Mul", a_scale, b_scale), b.scalar(alpha, a_scale))
        product = b.op("Add", product, b.op("Mul", b.cast(bias, b.dtype(a_scale)), unit))
    scale = b.optional(7)
    return [product if scale is None else _quantized(b, product, scale, b.optional(8), b.input(0))]


def _integer_product(b: Build, a: ir.Value, right: ir.Value, *zeros: ir.Value | None) -> ir.Value:
    made = b.op("MatMulInteger", a, right, *zeros)
    made.type = ir.TensorType(ir.DataType.INT32)
    return made


def _dynamic_matmul(b: Build) -> list[ir.Value | None]:
    a = b.input(0)
    codes, scale, zero = b.several("DynamicQuantizeLinear", [a], 3)
    codes.type = zero.type = ir.TensorType(ir.DataType.UINT8)
    scale.type = a.type
    product = _integer_product(b, codes, b.input(1), zero, b.optional(3))
    return [_scaled(b, product, b.op("Mul", scale, b.input(2)), b.optional(4))]


def _matmul_to_float(b: Build) -> list[ir.Value | None]:
    product = _integer_product(b, b.input(0), b.input(1), b.optional(4), b.optional(5))
    return [_scaled(b, product, b.op("Mul", b.input(2), b.input(3)), b.optional(6))]


def _scaled(b: Build, product: ir.Value, scale: ir.Value, bias: ir.Value | None) -> ir.Value:
    made = b.op("Mul", b.cast(product, b.dtype(scale)), scale)
    return made if bias is None else b.op("Add", made, bias)


def _same(op: str) -> Decompose:
    """QuantizeLinear, DequantizeLinear: the standard operators now know 16 bits as well."""

    def decompose(b: Build) -> list[ir.Value | None]:
        return [b.op(op, b.input(0), b.input(1), b.optional(2), axis=b.attr("axis", 1))]

    return decompose


def _conv(b: Build) -> list[ir.Value | None]:
    if b.attr("channels_last", 0):
        raise Left("its channels are last")
    kept = {n: b.attr(n) for n in ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")}
    return [b.op("QLinearConv", *b.node.inputs, **kept)]


RULES: Mapping[str, Decompose] = MappingProxyType(
    {
        "DequantizeLinear": _same("DequantizeLinear"),
        "DynamicQuantizeMatMul": _dynamic_matmul,
        "MatMulIntegerToFloat": _matmul_to_float,
        "QGemm": _gemm,
        "QLinearAdd": _binary("Add"),
        "QLinearAveragePool": _pool("AveragePool"),
        "QLinearConcat": _concat,
        "QLinearConv": _conv,
        "QLinearGlobalAveragePool": _pool("GlobalAveragePool"),
        "QLinearLeakyRelu": _leaky_relu,
        "QLinearMul": _binary("Mul"),
        "QLinearReduceMean": _reduce_mean,
        "QLinearSigmoid": _sigmoid,
        "QLinearSoftmax": _softmax,
        "QLinearWhere": _where,
        "QuantizeLinear": _same("QuantizeLinear"),
    }
)
