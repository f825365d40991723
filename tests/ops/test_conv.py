"""Convolutions by TensorFlow, attribute by attribute, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees, on_onnxruntime

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(0)


def _floats(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def _conv(x: tuple[int, ...], w: tuple[int, ...], *, dtype: str = "float32", bias: bool = True, **attributes) -> Node:
    operands = [_floats(*x, dtype=dtype), _floats(*w, dtype=dtype)]
    attributes = {"kernel_shape": w[2:], **attributes}
    if bias:
        operands.append(_floats(w[0], dtype=dtype))
    return Node("Conv", operands, attributes)


CONV = {
    "1d": _conv((2, 3, 9), (4, 3, 3)),
    "1d_stride_dilation": _conv((2, 3, 12), (4, 3, 3), strides=[2], dilations=[2], pads=[1, 2]),
    "1d_depthwise": _conv((2, 4, 9), (4, 1, 3), group=4, pads=[1, 1]),
    "1d_grouped": _conv((2, 4, 9), (6, 2, 3), group=2, strides=[3]),
    "1d_same_lower": _conv((1, 2, 8), (3, 2, 4), auto_pad="SAME_LOWER", strides=[2]),
    "2d_no_bias": _conv((2, 3, 7, 6), (5, 3, 3, 2), bias=False),
    "2d_uneven_pads": _conv((2, 3, 7, 6), (5, 3, 3, 2), pads=[0, 1, 2, 3], strides=[2, 1]),
    "2d_stride_2_same_pads": _conv((1, 3, 8, 8), (4, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
    "2d_dilated_strided": _conv((2, 3, 11, 12), (5, 3, 3, 2), dilations=[2, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "2d_grouped": _conv((2, 6, 7, 6), (4, 3, 3, 3), group=2, pads=[1, 1, 1, 1]),
    "2d_grouped_dilated": _conv((2, 6, 9, 9), (9, 2, 3, 3), group=3, dilations=[2, 2]),
    "2d_depthwise": _conv((2, 4, 7, 6), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    "2d_depthwise_multiplied": _conv((2, 3, 7, 6), (6, 1, 3, 3), group=3, strides=[2, 2]),
    "2d_depthwise_uneven_strides": _conv((2, 4, 7, 6), (4, 1, 3, 3), group=4, strides=[2, 1]),
    "2d_depthwise_dilated": _conv((2, 4, 9, 9), (4, 1, 3, 3), group=4, dilations=[2, 2], pads=[2, 2, 2, 2]),
    "2d_same_upper": _conv((1, 2, 7, 8), (3, 2, 4, 3), auto_pad="SAME_UPPER", strides=[2, 3]),
    "2d_same_lower": _conv((1, 2, 7, 8), (3, 2, 4, 3), auto_pad="SAME_LOWER", strides=[2, 3]),
    "2d_valid": _conv((1, 2, 7, 8), (3, 2, 4, 3), auto_pad="VALID"),
    "2d_pads_beyond_the_kernel": _conv((1, 2, 4, 4), (3, 2, 2, 2), pads=[3, 3, 3, 3]),
    "3d": _conv((1, 2, 5, 6, 7), (3, 2, 2, 3, 3), pads=[1, 0, 1, 0, 1, 1]),
    "3d_grouped": _conv((1, 4, 5, 6, 7), (6, 2, 2, 3, 3), group=2, strides=[2, 1, 2]),
    "3d_dilated": _conv((1, 2, 7, 7, 7), (3, 2, 2, 3, 3), dilations=[2, 2, 1]),
    "3d_dilated_strided": _conv((1, 2, 7, 8, 9), (3, 2, 2, 3, 3), dilations=[2, 2, 1], strides=[2, 2, 1]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CONV)
def test_conv(case: str, form: Form) -> None:
    agrees(CONV[case], form, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ("float64", "float16"))
@pytest.mark.parametrize("case", ("1d_grouped", "2d_dilated_strided", "2d_depthwise_dilated", "3d_dilated_strided"))
def test_conv_in_other_types(case: str, dtype: str) -> None:
    """ONNX Runtime convolves in float32 only: its answer, rounded, is the reference."""
    node = CONV[case]
    golden = on_onnxruntime(node.model("plain"), node.arrays())
    other = Node("Conv", [a.astype(dtype) for a in node.inputs], node.attributes)
    agrees(other, "free", rtol=1e-2, atol=2e-2, expected=[g.astype(dtype) for g in golden])


def _transposed(x: tuple[int, ...], w: tuple[int, ...], *, group: int = 1, bias: bool = True, **attributes) -> Node:
    operands = [_floats(*x), _floats(*w)] + ([_floats(w[1] * group)] if bias else [])
    return Node("ConvTranspose", operands, {"kernel_shape": w[2:], "group": group, **attributes})


TRANSPOSED = {
    "1d": _transposed((2, 3, 5), (3, 4, 3), strides=[2]),
    "1d_output_shape": _transposed((2, 3, 5), (3, 4, 3), strides=[2], output_shape=[10]),
    "2d": _transposed((2, 3, 4, 5), (3, 4, 3, 2), bias=False),
    "2d_pads": _transposed((2, 3, 4, 5), (3, 4, 3, 4), pads=[1, 0, 2, 1], strides=[2, 3]),
    "2d_output_padding": _transposed((2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 3], output_padding=[1, 2], pads=[1] * 4),
    "2d_output_padding_dilated": _transposed(
        (2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 3], dilations=[3, 2], output_padding=[1, 2]
    ),
    "2d_dilated": _transposed((2, 3, 4, 5), (3, 4, 3, 2), dilations=[2, 3], strides=[2, 1], pads=[1, 0, 1, 1]),
    "2d_grouped": _transposed((2, 6, 4, 5), (6, 2, 3, 3), group=3, strides=[2, 2], pads=[1, 1, 1, 1]),
    "2d_depthwise": _transposed((2, 4, 4, 5), (4, 1, 4, 4), group=4, strides=[2, 2], pads=[1, 1, 1, 1]),
    "2d_depthwise_reduced": _transposed((2, 4, 4, 5), (4, 1, 4, 4), group=2, strides=[2, 2]),
    "2d_output_shape": _transposed((2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 2], output_shape=[7, 12]),
    "2d_output_shape_upper": _transposed(
        (2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 2], output_shape=[8, 10], auto_pad="SAME_UPPER"
    ),
    "2d_output_shape_and_padding": _transposed(
        (2, 3, 4, 5), (3, 4, 3, 3), strides=[3, 3], output_shape=[10, 13], output_padding=[1, 1]
    ),
    "2d_same_upper": _transposed((2, 3, 4, 5), (3, 4, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER"),
    "2d_same_lower": _transposed((2, 3, 4, 5), (3, 4, 3, 4), strides=[2, 3], auto_pad="SAME_LOWER"),
    "2d_same_short": _transposed((2, 3, 4, 5), (3, 4, 1, 2), strides=[3, 2], auto_pad="SAME_UPPER"),
    "2d_valid": _transposed((2, 3, 4, 5), (3, 4, 3, 4), strides=[2, 3], auto_pad="VALID"),
    "3d": _transposed((1, 2, 3, 4, 3), (2, 3, 2, 3, 3), strides=[2, 1, 2], pads=[0, 1, 1, 0, 1, 0]),
    "3d_grouped": _transposed((1, 4, 3, 4, 3), (4, 3, 2, 3, 3), group=2, strides=[2, 1, 2], output_padding=[1, 0, 1]),
    "3d_dilated": _transposed((1, 2, 3, 4, 3), (2, 3, 2, 3, 2), dilations=[2, 1, 2]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(case: str, form: Form) -> None:
    agrees(TRANSPOSED[case], form, rtol=1e-4, atol=1e-5)


def _integers(dtype: str, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


INTEGER = {
    "zero_points": Node(
        "ConvInteger",
        [_integers("uint8", 2, 3, 7, 7), _integers("uint8", 4, 3, 3, 3), np.uint8(130), np.uint8(120)],
        {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]},
    ),
    "many_channels": Node(
        "ConvInteger",
        [_integers("uint8", 1, 64, 5, 5), _integers("uint8", 8, 64, 3, 3), np.uint8(3)],
        {"strides": [2, 2], "kernel_shape": [3, 3]},
    ),
    "1d": Node("ConvInteger", [_integers("uint8", 2, 3, 9), _integers("uint8", 4, 3, 3)], {"kernel_shape": [3]}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", INTEGER)
def test_conv_integer(case: str, form: Form) -> None:
    agrees(INTEGER[case], form)


def _quantized(x_type: str, w_type: str, channels: int | None, **attributes) -> Node:
    scales = np.float32(0.02) if channels is None else np.linspace(0.01, 0.03, channels, dtype=np.float32)
    zeros = np.zeros((), w_type) if channels is None else np.zeros(channels, w_type)
    group = attributes.get("group", 1)
    operands = [
        *(_integers(x_type, 2, 4, 7, 7), np.float32(0.05), np.asarray(3, x_type)),
        *(_integers(w_type, 6, 4 // group, 3, 3), scales, zeros),
        *(np.float32(0.7), np.asarray(5, x_type), RNG.integers(-500, 500, 6).astype(np.int32)),
    ]
    return Node("QLinearConv", operands, {"kernel_shape": [3, 3], **attributes})


QUANTIZED = {
    "unsigned": _quantized("uint8", "uint8", None),
    "by_channel": _quantized("uint8", "int8", 6, pads=[1, 1, 1, 1]),
    "signed_grouped": _quantized("int8", "int8", 6, group=2, strides=[2, 2]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", QUANTIZED)
def test_qlinear_conv(case: str, form: Form) -> None:
    agrees(QUANTIZED[case], form)


ANY_FILTER = {
    "same": Node("Conv", [_floats(2, 4, 6, 5), _floats(6, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    "grouped_dilated": Node(
        "Conv", [_floats(2, 4, 7, 5), _floats(6, 2, 3, 2)], {"group": 2, "dilations": [2, 1], "pads": [1, 0, 1, 2]}
    ),
    "transposed": Node("ConvTranspose", [_floats(2, 4, 6, 5), _floats(4, 6, 3, 2)], {"pads": [1, 1, 1, 0]}),
    "transposed_grouped_dilated": Node(
        "ConvTranspose", [_floats(2, 4, 6), _floats(4, 3, 3)], {"group": 2, "dilations": [2], "strides": [2]}
    ),
}


@pytest.mark.parametrize("case", ANY_FILTER)
def test_filters_whose_sizes_nothing_tells(case: str) -> None:
    agrees(ANY_FILTER[case], "free")


def _deformed(group: int, offset_group: int, *, mask: bool = True, **attributes) -> Node:
    x, w = _floats(2, 4, 6, 7), _floats(4, 4 // group, 3, 2)
    out = (4 + (2 if "pads" in attributes else 0), 6)
    operands = [x, w, _floats(2, offset_group * 12, *out), _floats(4)]
    if mask:
        operands.append(_floats(2, offset_group * 6, *out))
    return Node(
        "DeformConv", operands, {"group": group, "offset_group": offset_group, "kernel_shape": [3, 2], **attributes}
    )


DEFORMED = {
    "plain": _deformed(1, 1, mask=False),
    "groups": _deformed(2, 2),
    "offset_groups_only": _deformed(1, 4, pads=[1, 0, 1, 0]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", DEFORMED)
def test_deform_conv(case: str, form: Form) -> None:
    agrees(DEFORMED[case], form, rtol=1e-4, atol=1e-4)
