"""Matrix products, activations and biases of com.microsoft."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from isthmus.passes.contrib.build import Build, Decompose, Left
from isthmus.passes.edit import PARAMETER


def activated(b: Build, value: ir.Value, name: str | None, parameters: list[float]) -> ir.Value:
    """The activation that was fused into a product or a convolution."""
    match name:
        case None | "":
            return value
        case "Relu" | "Sigmoid" | "Tanh":
            return b.op(name, value)
        case "LeakyRelu":
            return b.op("LeakyRelu", value, alpha=parameters[0] if parameters else 0.01)
        case "HardSigmoid" if len(parameters) > 1:
            return b.op("HardSigmoid", value, alpha=parameters[0], beta=parameters[1])
        case "Clip" if len(parameters) > 1:
            return b.op("Clip", value, b.scalar(parameters[0], value), b.scalar(parameters[1], value))
    raise Left(f"activation {name!r} is none that can be split off")


def _fused_matmul(b: Build) -> list[ir.Value | None]:
    left, right = (_arranged(b, b.input(i), "AB"[i]) for i in (0, 1))
    product = b.op("MatMul", left, right)
    alpha = b.attr("alpha", 1.0)
    return [product if alpha == 1.0 else b.op("Mul", product, b.scalar(alpha, b.input(0)))]


def _arranged(b: Build, value: ir.Value, side: str) -> ir.Value:
    """An operand with its batch axes and its last two axes in order: vectors are left alone."""
    swap, batch = b.attr(f"trans{side}", 0), b.attr(f"transBatch{side}", 0)
    if not swap and not batch:
        return value
    axes = b.rank(value)
    perm = list(range(axes))
    if batch and axes >= 3:
        perm = [*range(1, axes - 1), 0, axes - 1]
    if swap and axes >= 2:
        perm[-2:] = perm[:-3:-1]
    return b.op("Transpose", value, perm=perm) if perm != list(range(axes)) else value


def _fused_gemm(b: Build) -> list[ir.Value | None]:
    kept = {name: b.attr(name) for name in ("alpha", "beta", "transA", "transB")}
    product = b.op("Gemm", b.input(0), b.input(1), b.optional(2), **kept)
    parameters = [v for n in ("activation_alpha", "activation_beta") if (v := b.attr(n)) is not None]
    return [activated(b, product, b.attr("activation"), parameters)]


def _gelu(b: Build) -> list[ir.Value | None]:
    return [b.op("Gelu", _with_bias(b))]


def _fast_gelu(b: Build) -> list[ir.Value | None]:
    return [b.op("Gelu", _with_bias(b), approximate="tanh")]


def _with_bias(b: Build) -> ir.Value:
    bias = b.optional(1)
    return b.input(0) if bias is None else b.op("Add", b.input(0), bias)


def _quick_gelu(b: Build) -> list[ir.Value | None]:
    x = b.input(0)
    gate = b.op("Sigmoid", b.op("Mul", x, b.scalar(b.attr("alpha", 1.7020000219345093), x)))
    return [b.op("Mul", x, gate)]


def _bias_split_gelu(b: Build) -> list[ir.Value | None]:
    total = b.op("Add", b.input(0), b.input(1))
    left, right = b.several("Split", [total], 2, axis=-1, num_outputs=2)
    right.type = total.type
    return [b.op("Mul", left, b.op("Gelu", right))]


def _bias_add(b: Build) -> list[ir.Value | None]:
    return [b.op("Add", b.op("Add", b.input(0), b.input(1)), b.input(2))]


def _bias_dropout(b: Build) -> list[ir.Value | None]:
    total = b.op("Add", b.input(0), b.input(1))
    dropped, mask = b.several("Dropout", [total, b.optional(3), b.optional(4)], 2, seed=b.attr("seed"))
    residual = b.optional(2)
    return [dropped if residual is None else b.op("Add", dropped, residual), mask]


def _matmul_n_bits(b: Build) -> list[ir.Value | None]:
    """Weights of a few bits become floats of the scales' type, when they are written and not before."""
    a, packed, scales, zero_points, groups = b.input(0), b.input(1), b.input(2), b.optional(3), b.optional(4)
    bits, block = b.attr("bits", 4), b.attr("block_size")
    rows, columns = b.attr("N"), b.attr("K")
    if bits not in (2, 4, 8):
        raise Left(f"weights of {bits} bits")
    for value in (packed, scales, zero_points, groups):
        if value is not None and (value.const_value is None or value.is_graph_input()):
            raise Left("its quantized weights are not known at conversion")
    dtype = b.dtype(scales)
    tensors = [None if v is None else v.const_value for v in (packed, scales, zero_points, groups)]

    def dequantized() -> ir.TensorProtocol:
        codes, scale, zero, group = (None if t is None else t.numpy() for t in tensors)
        assert codes is not None and scale is not None
        made = dequantize(codes, scale, zero, group, (rows, columns, bits, block))
        return ir.Tensor(np.ascontiguousarray(made.T), dtype=dtype)

    lazy = ir.LazyTensor(dequantized, dtype=dtype, shape=ir.Shape([columns, rows]))
    weight = b.initializer(lazy, f"{packed.name}_dequantized")
    weight.metadata_props[PARAMETER] = packed.name or ""
    product = b.op("MatMul", a, weight)
    bias = b.optional(5)
    return [product if bias is None else b.op("Add", product, bias)]


def dequantize(
    codes: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None,
    group: np.ndarray | None,
    layout: tuple[int, int, int, int],
) -> np.ndarray:
    """The float weight (N, K) of MatMulNBits. ``layout`` is (N, K, bits, block size); low bits come first."""
    rows, columns, bits, block = layout
    blocks = -(-columns // block)
    values = _unpacked(codes.reshape(rows, -1), bits)[:, : blocks * block]
    if zero is None:
        zeros = np.full((rows, blocks), 1 << (bits - 1), np.float32)
    elif zero.dtype == np.uint8:
        zeros = _unpacked(zero.reshape(rows, -1), bits)[:, :blocks].astype(np.float32)
    else:
        zeros = zero.reshape(rows, blocks).astype(np.float32)
    scales = scale.reshape(rows, blocks).astype(np.float32)
    which = np.arange(columns) // block if group is None else group
    floats = values[:, :columns].astype(np.float32)
    return ((floats - zeros[:, which]) * scales[:, which]).astype(scale.dtype)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """(N, bytes) → (N, bytes × 8 / bits), low bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(packed.shape[0], -1)


def _cdist(b: Build) -> list[ir.Value | None]:
    left = b.op("Unsqueeze", b.input(0), b.ints(1))
    right = b.op("Unsqueeze", b.input(1), b.ints(0))
    squares = b.op("ReduceSumSquare", b.op("Sub", left, right), b.ints(-1), keepdims=0)
    match b.attr("metric", "sqeuclidean"):
        case "sqeuclidean":
            return [squares]
        case "euclidean":
            return [b.op("Sqrt", squares)]
        case other:
            raise Left(f"metric {other!r}")


def _embedding(b: Build) -> list[ir.Value | None]:
    """TorchEmbedding: the padding index matters in training only."""
    return [b.op("Gather", b.input(0), b.input(1), axis=0)]


RULES: Mapping[str, Decompose] = MappingProxyType(
    {
        "BiasAdd": _bias_add,
        "BiasDropout": _bias_dropout,
        "BiasGelu": _gelu,
        "BiasSplitGelu": _bias_split_gelu,
        "CDist": _cdist,
        "FastGelu": _fast_gelu,
        "FusedGemm": _fused_gemm,
        "FusedMatMul": _fused_matmul,
        "Gelu": _gelu,
        "MatMulNBits": _matmul_n_bits,
        "QuickGelu": _quick_gelu,
        "TorchEmbedding": _embedding,
        "TransposeMatMul": _fused_matmul,
    }
)
