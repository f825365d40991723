"""One node of com.microsoft each: operands, attributes, and for some what they are defined to give."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus.passes.contrib.build import MICROSOFT

RNG = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def codes(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return RNG.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, size=shape, endpoint=True).astype(dtype)


def i32(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


SCALE, ZERO = np.float32(0.05), np.uint8(120)
OUT, OUT_ZERO = np.float32(0.07), np.uint8(100)


@dataclass(frozen=True)
class Case:
    """One node. ``fixed`` operands become initializers; ``close`` allows for one step of rounding in codes."""

    name: str
    op: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    fixed: tuple[int, ...] = ()
    domain: str = MICROSOFT
    close: bool = False
    unused: tuple[int, ...] = ()


GEMM = {"transA": 1, "transB": 1, "alpha": 0.5}
HEADS = {"num_heads": 2}
CASES = [
    Case("matmul", "FusedMatMul", (real(2, 3, 4), real(2, 4, 5)), {"alpha": 0.5}),
    Case("matmul_trans", "FusedMatMul", (real(2, 4, 3), real(2, 5, 4)), {"transA": 1, "transB": 1}),
    Case("matmul_batch", "FusedMatMul", (real(3, 2, 4), real(2, 4, 5)), {"transBatchA": 1}),
    Case("matmul_vector", "FusedMatMul", (real(4), real(4, 5)), {"transA": 1}),
    Case("matmul_old", "TransposeMatMul", (real(2, 4, 3), real(2, 4, 5)), {"transA": 1, "alpha": 2.0}),
    Case("gemm", "FusedGemm", (real(4, 3), real(5, 4), real(5)), {**GEMM, "activation": "Relu"}),
    Case("gemm_leaky", "FusedGemm", (real(3, 4), real(4, 5)), {"activation": "LeakyRelu", "activation_alpha": 0.2}),
    Case("gelu", "Gelu", (real(3, 4),)),
    Case("bias_gelu", "BiasGelu", (real(3, 4), real(4))),
    Case("fast_gelu", "FastGelu", (real(3, 4),)),
    Case("fast_gelu_bias", "FastGelu", (real(3, 4), real(4))),
    Case("quick_gelu", "QuickGelu", (real(3, 4),)),
    Case("quick_gelu_alpha", "QuickGelu", (real(3, 4),), {"alpha": 0.7}),
    Case("cdist", "CDist", (real(3, 4), real(5, 4)), {"metric": "euclidean"}),
    Case("cdist_square", "CDist", (real(3, 4), real(5, 4))),
    Case("skip_norm", "SkipLayerNormalization", (real(2, 3, 8), real(2, 3, 8), real(8), real(8))),
    Case(
        "skip_norm_all",
        "SkipLayerNormalization",
        (real(2, 3, 8), real(3, 8), real(8), real(8), real(8)),
        {"epsilon": 1e-3},
        outputs=4,
        unused=(1, 2),
    ),
    Case(
        "skip_rms",
        "SkipSimplifiedLayerNormalization",
        (real(2, 3, 8), real(2, 3, 8), real(8), real(8)),
        {"epsilon": 1e-3},
        outputs=4,
        unused=(1, 2),
    ),
    Case("rms", "SimplifiedLayerNormalization", (real(2, 3, 8), real(8)), {"epsilon": 1e-3}, domain=""),
    Case("rms_stat", "SimplifiedLayerNormalization", (real(2, 8), real(8)), {"axis": -1}, outputs=2, domain=""),
    Case(
        "embed",
        "EmbedLayerNormalization",
        (i32([1, 2, 0], [3, 1, 1]), i32([0, 1, 0], [1, 1, 0]), real(5, 8), real(6, 8), real(2, 8), real(8), real(8)),
        {"epsilon": 1e-5},
        outputs=2,
        unused=(1,),
    ),
    Case(
        "embed_mask",
        "EmbedLayerNormalization",
        (i32([1, 2, 0], [3, 1, 1]), None, real(5, 8), real(6, 8), None, real(8), real(8), i32([1, 1, 0], [1, 1, 1])),
        {"epsilon": 1e-5},
        outputs=2,
    ),
    Case("attention", "Attention", (real(2, 3, 8), real(8, 24), real(24)), HEADS),
    Case(
        "attention_mask",
        "Attention",
        (real(2, 3, 8), real(8, 24), real(24), i32([1, 1, 0], [1, 1, 1])),
        {**HEADS, "scale": 0.3},
    ),
    Case("attention_lengths", "Attention", (real(2, 3, 8), real(8, 24), real(24), i32(2, 3)), HEADS),
    Case("attention_causal", "Attention", (real(2, 3, 8), real(8, 24), real(24)), {**HEADS, "unidirectional": 1}),
    Case(
        "attention_mask_3d",
        "Attention",
        (real(2, 3, 8), real(8, 24), real(24), RNG.integers(0, 2, size=(2, 3, 3)).astype(np.int32)),
        {**HEADS, "mask_filter_value": -500.0},
    ),
    Case(
        "attention_past",
        "Attention",
        (real(2, 3, 8), real(8, 24), real(24), None, real(2, 2, 2, 5, 4)),
        {**HEADS, "unidirectional": 1},
        outputs=2,
    ),
    Case(
        "attention_sizes",
        "Attention",
        (real(2, 3, 8), real(8, 20), real(20)),
        {**HEADS, "qkv_hidden_sizes": [8, 8, 4]},
    ),
    Case("heads", "MultiHeadAttention", (real(2, 3, 8), real(2, 5, 8), real(2, 5, 6)), HEADS),
    Case(
        "heads_bias",
        "MultiHeadAttention",
        (real(2, 3, 8), real(2, 5, 8), real(2, 5, 8), real(24), i32([1] * 5, [1, 1, 0, 0, 0]), real(1, 2, 3, 5)),
        {**HEADS, "scale": 0.2},
    ),
    Case("heads_4d", "MultiHeadAttention", (real(2, 3, 8), real(2, 2, 5, 4), real(2, 2, 5, 4)), HEADS),
    Case(
        "heads_past",
        "MultiHeadAttention",
        (real(2, 3, 8), real(2, 3, 8), real(2, 3, 8), None, None, None, real(2, 2, 4, 4), real(2, 2, 4, 4)),
        {**HEADS, "unidirectional": 1},
        outputs=3,
    ),
    Case("rotary", "RotaryEmbedding", (real(2, 3, 8), np.arange(6).reshape(2, 3), real(9, 2), real(9, 2))),
    Case(
        "rotary_offset",
        "RotaryEmbedding",
        (real(2, 2, 3, 8), np.array([4]), real(9, 4), real(9, 4)),
        {"interleaved": 1},
    ),
    Case("conv", "FusedConv", (real(1, 3, 5, 5), real(4, 3, 3, 3), real(4)), {"activation": "Relu"}),
    Case(
        "conv_sum",
        "FusedConv",
        (real(1, 3, 5, 5), real(4, 3, 3, 3), real(4), real(1, 4, 3, 3)),
        {"activation": "Relu", "pads": [0, 0, 0, 0]},
    ),
    Case(
        "conv_clip",
        "FusedConv",
        (real(1, 3, 5, 5), real(4, 3, 3, 3)),
        {"activation": "Clip", "activation_params": [-0.5, 0.5], "strides": [2, 2]},
    ),
    Case("trilu", "Trilu", (real(2, 4, 4), np.array(1)), {"upper": 0}),
    Case("pad", "Pad", (real(2, 3), np.array([0, 1, 1, 2]), np.array([1.5], np.float32))),
    Case("pad_edge", "Pad", (real(2, 3), np.array([0, 1, 1, 2])), {"mode": "edge"}, fixed=(1,)),
    Case("unique", "Unique", (np.array([3, 1, 3, 2, 1], np.float32),), outputs=3),
    Case("expand_dims", "ExpandDims", (real(2, 3), np.array(-1, np.int32)), fixed=(1,)),
    Case("range", "Range", (np.array(1, np.int32), np.array(9, np.int32), np.array(3, np.int32))),
    Case("range_short", "Range", (np.array([1.0], np.float32), np.array([5.0], np.float32))),
    Case("gather_nd", "GatherND", (real(2, 3, 4), i32([0, 1], [1, 2]))),
    Case("grid", "GridSample", (real(1, 2, 4, 4), np.tanh(real(1, 3, 3, 2))), {"mode": "bicubic"}),
    Case("q_add", "QLinearAdd", (codes(3, 4), SCALE, ZERO, codes(4), SCALE, ZERO, OUT, OUT_ZERO), close=True),
    Case("q_mul", "QLinearMul", (codes(3, 4), SCALE, ZERO, codes(4), SCALE, ZERO, OUT, OUT_ZERO), close=True),
    Case("q_sigmoid", "QLinearSigmoid", (codes(3, 4), SCALE, ZERO, np.float32(1 / 256), np.uint8(0)), close=True),
    Case("q_leaky", "QLinearLeakyRelu", (codes(3, 4), SCALE, ZERO, OUT, OUT_ZERO), {"alpha": 0.2}, close=True),
    Case(
        "q_softmax",
        "QLinearSoftmax",
        (codes(3, 4), SCALE, ZERO, np.float32(1 / 256), np.uint8(0)),
        {"axis": -1, "opset": 13},
        close=True,
    ),
    Case(
        "q_concat",
        "QLinearConcat",
        (OUT, OUT_ZERO, codes(2, 3), SCALE, ZERO, codes(2, 4), np.float32(0.02), ZERO),
        {"axis": 1},
        close=True,
        fixed=(0, 1, 3, 4, 6, 7),
    ),
    Case(
        "q_average",
        "QLinearAveragePool",
        (codes(1, 3, 6, 6), SCALE, ZERO, OUT, OUT_ZERO),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        close=True,
    ),
    Case(
        "q_average_last",
        "QLinearAveragePool",
        (codes(1, 6, 6, 3), SCALE, ZERO, OUT, OUT_ZERO),
        {"kernel_shape": [2, 2], "channels_last": 1},
        close=True,
    ),
    Case("q_global", "QLinearGlobalAveragePool", (codes(1, 3, 6, 6), SCALE, ZERO, OUT, OUT_ZERO), close=True),
    Case(
        "q_where",
        "QLinearWhere",
        (np.array([True, False, True]), codes(3), SCALE, ZERO, codes(3), SCALE, ZERO, OUT, OUT_ZERO),
        close=True,
        fixed=(2, 3, 5, 6, 7, 8),
    ),
    Case(
        "q_gemm",
        "QGemm",
        (codes(2, 4), SCALE, ZERO, codes(4, 3), SCALE, ZERO, RNG.integers(-99, 99, size=3).astype(np.int32)),
    ),
    Case(
        "q_gemm_codes",
        "QGemm",
        (codes(2, 4), SCALE, ZERO, codes(3, 4), SCALE, ZERO, None, np.float32(2.0), OUT_ZERO),
        {"transB": 1},
        close=True,
    ),
    Case(
        "dynamic_matmul",
        "DynamicQuantizeMatMul",
        (real(2, 4), codes(4, 3, dtype=np.int8), np.float32(0.02), np.int8(3), real(3)),
    ),
    Case("to_float", "MatMulIntegerToFloat", (codes(2, 4), codes(4, 3), SCALE, SCALE, ZERO, ZERO, real(3))),
    Case(
        "q_conv",
        "QLinearConv",
        (codes(1, 3, 5, 5), SCALE, ZERO, codes(4, 3, 3, 3), SCALE, ZERO, np.float32(2.0), OUT_ZERO),
        {"pads": [1, 1, 1, 1]},
        close=True,
    ),
    Case(
        "pool_last",
        "NhwcMaxPool",
        (codes(1, 6, 6, 3),),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]},
    ),
    Case("quantize", "QuantizeLinear", (real(3, 4), SCALE, ZERO), close=True),
    Case("dequantize", "DequantizeLinear", (codes(3, 4), real(3), codes(3)), {"axis": 0}),
    Case(
        "four_bits",
        "MatMulNBits",
        (real(2, 32), codes(6, 2, 8), np.abs(real(6, 2)), codes(6, 1)),
        {"N": 6, "K": 32, "bits": 4, "block_size": 16},
        fixed=(1, 2, 3),
    ),
    Case(
        "four_bits_middle",
        "MatMulNBits",
        (real(2, 40), codes(6, 3, 8), np.abs(real(6, 3))),
        {"N": 6, "K": 40, "bits": 4, "block_size": 16},
        fixed=(1, 2),
    ),
]


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def grouped(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    """Group normalization with channels last."""
    n, *image, channels = x.shape
    split = x.reshape(n, -1, groups, channels // groups)
    mean, var = split.mean((1, 3), keepdims=True), split.var((1, 3), keepdims=True)
    return ((split - mean) / np.sqrt(var + epsilon)).reshape(n, *image, channels) * gamma + beta


IMAGE, GAMMA, BETA, SKIP = real(2, 3, 3, 4), real(4), real(4), real(2, 4)
PAIR, BIAS = real(2, 3, 8), real(8)
TABLE = real(5, 3)
CODES = codes(2, 3, 4)
GROUPS = {"groups": 2, "channels_last": 1, "epsilon": 1e-3}
NORMED = grouped(IMAGE + SKIP[:, None, None] + BETA, GAMMA, BETA, 2, 1e-3)
TOTAL = PAIR + BIAS
SPECTRUM = np.fft.rfft(PAIR, axis=-1)
MEAN = np.clip(np.rint((CODES.astype(np.float32) - ZERO).mean(1) * SCALE / OUT) + OUT_ZERO, 0, 255).astype(np.uint8)

# Kernels that ONNX Runtime has on other devices only: the operator's definition, in numpy, is the measure.
DEFINED: list[tuple[Case, tuple[np.ndarray, ...]]] = [
    (Case("bias_add", "BiasAdd", (PAIR, BIAS, PAIR)), (PAIR + BIAS + PAIR,)),
    (Case("bias_split", "BiasSplitGelu", (PAIR, BIAS)), (TOTAL[..., :4] * gelu(TOTAL[..., 4:]),)),
    (Case("bias_dropout", "BiasDropout", (PAIR, BIAS, PAIR)), (PAIR + BIAS + PAIR,)),
    (
        Case("group", "GroupNorm", (IMAGE, GAMMA, BETA), {**GROUPS, "activation": 0}),
        (grouped(IMAGE, GAMMA, BETA, 2, 1e-3),),
    ),
    (
        Case(
            "group_swish", "SkipGroupNorm", (IMAGE, GAMMA, BETA, SKIP, BETA), {**GROUPS, "activation": 1}, outputs=2
        ),
        (NORMED / (1 + np.exp(-NORMED)), IMAGE + SKIP[:, None, None] + BETA),
    ),
    (Case("table", "TorchEmbedding", (TABLE, np.array([[1, 4], [0, 2]]))), (TABLE[[[1, 4], [0, 2]]],)),
    (
        Case("rfft", "Rfft", (PAIR,), {"signal_ndim": 1, "onesided": 1, "normalized": 0}),
        (np.stack([SPECTRUM.real, SPECTRUM.imag], -1).astype(np.float32),),
    ),
    (
        Case(
            "q_mean",
            "QLinearReduceMean",
            (CODES, SCALE, ZERO, OUT, OUT_ZERO),
            {"axes": [1], "keepdims": 0},
            close=True,
        ),
        (MEAN,),
    ),
]
