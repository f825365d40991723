"""Convolutions and transposed convolutions, with their attributes in all combinations that TensorFlow runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from reading import agree, run_hub

RNG = np.random.default_rng(0)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


EXPLICIT = [[0, 0], [1, 2], [0, 3], [0, 0]]


@pytest.mark.parametrize("free", [None, {0: [0, 1, 2]}], ids=["fixed", "free"])
@pytest.mark.parametrize("padding", ["SAME", "VALID", EXPLICIT], ids=["same", "valid", "explicit"])
@pytest.mark.parametrize("strides,dilations", [(1, 1), (2, 1), (3, 1), (1, 2), ((2, 1), (1, 3))], ids=str)
def test_two_axes(padding, strides, dilations, free):
    x, w = normal(2, 9, 8, 3), normal(3, 2, 3, 5)
    more = [[normal(1, 12, 7, 3)], [normal(3, 7, 10, 3)]] if free else []
    agree(lambda x: tf.nn.conv2d(x, w, strides, padding, dilations=dilations), x, free=free, more=more, **TOLERANCE)


def test_dilated_and_strided_same_of_free_sizes():
    w = normal(3, 3, 3, 4)
    agree(
        lambda x: tf.nn.conv2d(x, w, 2, "SAME", dilations=2),
        normal(1, 9, 9, 3),
        free={0: [0, 1, 2]},
        more=[[normal(2, 12, 15, 3)]],
        **TOLERANCE,
    )


@pytest.mark.parametrize("kernel,stride,size", [(1, 2, 7), (2, 3, 7), (2, 3, 9), (1, 3, 8), (5, 2, 6)])
@pytest.mark.parametrize("free", [None, {0: [1, 2]}], ids=["fixed", "free"])
def test_strides_beyond_the_kernel(kernel, stride, size, free):
    w = normal(kernel, kernel, 2, 2)
    x = normal(1, size, size, 2)
    agree(lambda x: tf.nn.conv2d(x, w, stride, "SAME"), x, free=free, more=[[normal(1, 8, 10, 2)]] if free else [])


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_grouped(groups):
    w = normal(3, 3, 6 // groups, 12)
    agree(lambda x: tf.nn.conv2d(x, w, 2, "SAME"), normal(2, 8, 8, 6), free={0: [0]}, **TOLERANCE)


def test_filters_that_are_computed():
    agree(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), normal(1, 5, 5, 2), normal(3, 3, 2, 4), **TOLERANCE)


def test_filters_that_are_a_variable():
    weight = tf.Variable(normal(3, 3, 2, 4), name="kernel")
    hub = agree(lambda x: tf.nn.conv2d(x, weight, 1, "SAME"), normal(1, 5, 5, 2), **TOLERANCE)
    assert "kernel" in hub.graph.initializers


def test_integers_wrap_around():
    x = RNG.integers(-(2**30), 2**30, (2, 5, 6, 3)).astype(np.int32)
    w = RNG.integers(-(2**30), 2**30, (3, 2, 3, 4)).astype(np.int32)
    for padding in ("SAME", "VALID"):
        agree(lambda x, p=padding: tf.nn.conv2d(x, w, 2, p), x, free={0: [0, 1, 2]})


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride,dilation", [(1, 1), (2, 1), (1, 2)])
def test_one_axis(padding, stride, dilation):
    w = normal(3, 4, 6)
    agree(
        lambda x: tf.nn.conv1d(x, w, stride, padding, dilations=dilation),
        normal(2, 9, 4),
        free={0: [0, 1]},
        more=[[normal(1, 12, 4)]],
        **TOLERANCE,
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride,dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("free", [None, {0: [0, 1, 2, 3]}], ids=["fixed", "free"])
def test_three_axes(padding, stride, dilation, free):
    w = normal(2, 3, 2, 3, 4)
    agree(
        lambda x: tf.nn.conv3d(x, w, [1, *[stride] * 3, 1], padding, dilations=[1, *[dilation] * 3, 1]),
        normal(1, 5, 6, 7, 3),
        free=free,
        more=[[normal(2, 6, 5, 8, 3)]] if free else [],
        **TOLERANCE,
    )


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize(
    ("padding", "strides", "dilations"),
    [
        *((padding, [1, stride, stride, 1], None) for padding in ("SAME", "VALID", EXPLICIT) for stride in (1, 2)),
        *((padding, [1, 1, 1, 1], [2, 2]) for padding in ("SAME", "VALID")),  # all that TensorFlow takes
    ],
)
def test_depthwise(padding, multiplier, strides, dilations):
    w = normal(3, 3, 4, multiplier)
    agree(
        lambda x: tf.nn.depthwise_conv2d(x, w, strides, padding, dilations=dilations),
        normal(2, 9, 8, 4),
        free={0: [0, 1, 2] if dilations is None else [0]},
        more=[[normal(1, 10, 11, 4)]] if dilations is None else [[normal(3, 9, 8, 4)]],
        **TOLERANCE,
    )


def test_depthwise_of_filters_that_are_a_variable():
    weight = tf.Variable(normal(3, 3, 4, 2), name="depthwise_kernel")
    agree(lambda x: tf.nn.depthwise_conv2d(x, weight, [1, 1, 1, 1], "SAME"), normal(2, 5, 5, 4), **TOLERANCE)


def test_separable():
    depthwise, pointwise = normal(3, 3, 4, 2), normal(1, 1, 8, 5)
    agree(
        lambda x: tf.nn.separable_conv2d(x, depthwise, pointwise, [1, 2, 2, 1], "SAME"),
        normal(2, 9, 8, 4),
        free={0: [0, 1, 2]},
        **TOLERANCE,
    )


@pytest.mark.parametrize("rank", [4, 5])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_any_number_of_axes(rank, padding):
    w = normal(*[2] * (rank - 2), 3, 4)
    agree(
        lambda x: tf.raw_ops.Conv(input=x, filter=w, strides=[1] * rank, padding=padding),
        normal(1, *[5] * (rank - 2), 3),
        **TOLERANCE,
    )


@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_padded_by_mirror(mode, padding):
    w = normal(3, 3, 3, 4)
    agree(
        lambda x: tf.raw_ops.FusedPadConv2D(
            input=x,
            paddings=[[0, 0], [2, 1], [1, 1], [0, 0]],
            filter=w,
            mode=mode,
            strides=[1, 2, 2, 1],
            padding=padding,
        ),
        normal(1, 7, 8, 3),  # of more images, TensorFlow's kernel mixes up all but the first
        **TOLERANCE,
    )


@pytest.mark.parametrize("fused", [["BiasAdd"], ["BiasAdd", "Relu"], ["BiasAdd", "Relu6"], ["BiasAdd", "Elu"]])
def test_fused_by_the_graph_optimizer(fused):
    w, b = normal(3, 3, 3, 4), normal(4)

    def function(x):
        graph = tf.compat.v1.get_default_graph()
        if tf.executing_eagerly():
            made = tf.nn.conv2d(x, w, 2, "SAME") + b
            return {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6, "Elu": tf.nn.elu}.get(fused[-1], tf.identity)(made)
        node = graph.create_op(
            "_FusedConv2D",
            [x, tf.constant(w), tf.constant(b)],
            [tf.float32],
            name="fused",
            attrs={
                "T": _attr(type=tf.float32.as_datatype_enum),
                "TArgs": _attr(list=_types(tf.float32)),
                "num_args": _attr(i=1),
                "num_host_args": _attr(i=0),
                "strides": _attr(list=_ints(1, 2, 2, 1)),
                "padding": _attr(s=b"SAME"),
                "fused_ops": _attr(list=_strings(*fused)),
            },
        )
        return node.outputs[0]

    agree(function, normal(2, 7, 8, 3), **TOLERANCE)


def _attr(**value):
    return tf.compat.v1.AttrValue(**value)


def _types(*types):
    return tf.compat.v1.AttrValue.ListValue(type=[t.as_datatype_enum for t in types])


def _ints(*values):
    return tf.compat.v1.AttrValue.ListValue(i=values)


def _strings(*values):
    return tf.compat.v1.AttrValue.ListValue(s=[v.encode() for v in values])


@pytest.mark.parametrize(
    "kernel,stride,padding,extra",
    [
        (k, s, p, e)
        for k, s, p in itertools.product((1, 2, 3, 5), (1, 2, 3), ("SAME", "VALID"))
        for e in range(min(s, 2))
    ],
)
def test_transposed_of_known_sizes(kernel, stride, padding, extra):
    w = normal(kernel, kernel, 4, 3)
    size = 5 * stride - extra if padding == "SAME" else 4 * stride + kernel + extra
    agree(
        lambda x: tf.nn.conv2d_transpose(x, w, [2, size, size, 4], stride, padding),
        normal(2, 5, 5, 3),
        **TOLERANCE,
    )


@pytest.mark.parametrize("kernel,stride", [(k, s) for k in (1, 2, 3, 4) for s in (1, 2, 3)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_transposed_of_free_sizes(kernel, stride, padding):
    w = normal(kernel, kernel, 4, 3)

    def function(x):
        shape = tf.shape(x)
        more = max(kernel - stride, 0) if padding == "VALID" else 0
        sizes = tf.stack([shape[0], shape[1] * stride + more, shape[2] * stride + more, 4])
        return tf.nn.conv2d_transpose(x, w, sizes, stride, padding)

    hub = agree(
        function,
        normal(2, 5, 4, 3),
        free={0: [0, 1, 2]},
        more=[[normal(1, 7, 3, 3)], [normal(3, 2, 8, 3)]],
        **TOLERANCE,
    )
    assert "Slice" not in [node.op_type for node in hub.graph]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_transposed_of_sizes_that_are_data(padding):
    w = normal(3, 3, 4, 3)

    def function(x, sizes):
        return tf.nn.conv2d_transpose(x, w, tf.stack([sizes[0], sizes[1], sizes[2], 4]), 2, padding)

    more = (9, 10) if padding == "SAME" else (11, 12)
    agree(
        function,
        normal(2, 5, 5, 3),
        np.array([2, more[0], more[1], 4], np.int32),
        free={0: [0, 1, 2]},
        more=[[normal(2, 5, 5, 3), np.array([2, more[1], more[0], 4], np.int32)]],
        **TOLERANCE,
    )


def test_a_transposed_convolution_whose_whole_shape_is_data():
    """Filters of two channels make two; a run that asks for four, of two groups, fails."""
    w = normal(3, 3, 2, 6)
    hub = agree(
        lambda x, sizes: tf.nn.conv2d_transpose(x, w, sizes, 2, "SAME"),
        normal(2, 5, 4, 6),
        np.array([2, 9, 8, 2], np.int32),
        **TOLERANCE,
    )
    with pytest.raises(Fail, match="Reshape"):
        run_hub(hub, normal(2, 5, 4, 6), np.array([2, 9, 8, 4], np.int32))


def test_free_channels_are_those_of_the_filters():
    w = normal(3, 3, 3, 4)

    def function(x):
        return tf.nn.conv2d(tf.nn.relu(x), w, 2, "SAME")

    hub = agree(function, normal(2, 6, 5, 3), free={0: [0, 1, 2, 3]}, more=[[normal(1, 4, 4, 3)]], **TOLERANCE)
    assert hub.signature.inputs[0].shape == ("batch", "x0_dim_1", "x0_dim_2", 3)


def test_channels_that_a_choice_depends_on_stay_free():
    gray, colored = normal(3, 3, 1, 4), normal(3, 3, 3, 4)

    def function(x):
        return tf.cond(
            tf.shape(x)[3] == 1, lambda: tf.nn.conv2d(x, gray, 1, "SAME"), lambda: tf.nn.conv2d(x, colored, 1, "SAME")
        )

    hub = agree(function, normal(2, 6, 5, 3), free={0: [0, 3]}, more=[[normal(1, 6, 5, 1)]], **TOLERANCE)
    assert isinstance(hub.signature.inputs[0].shape[3], str)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_along_three_axes(padding, stride):
    w = normal(3, 2, 3, 4, 3)
    sizes = [4 * stride] * 3 if padding == "SAME" else [3 * stride + k for k in (3, 2, 3)]
    agree(
        lambda x: tf.nn.conv3d_transpose(x, w, [1, *sizes, 4], [1, *[stride] * 3, 1], padding),
        normal(1, 4, 4, 4, 3),
        **TOLERANCE,
    )


def test_transposed_along_one_axis():
    w = normal(3, 4, 3)

    def function(x):
        shape = tf.shape(x)
        return tf.nn.conv1d_transpose(x, w, tf.stack([shape[0], shape[1] * 2, 4]), 2, "SAME")

    hub = agree(function, normal(2, 5, 3), free={0: [0, 1]}, more=[[normal(1, 8, 3)]], **TOLERANCE)
    assert "Slice" not in [node.op_type for node in hub.graph]


def test_transposed_and_dilated():
    w = normal(3, 3, 4, 3)
    agree(
        lambda x: tf.nn.conv2d_transpose(x, w, [2, 5, 5, 4], 1, "SAME", dilations=2), normal(2, 5, 5, 3), **TOLERANCE
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride,rate", [(1, 1), (2, 1), (1, 2)])
def test_dilation(padding, stride, rate):
    w = normal(3, 2, 3)
    agree(
        lambda x: tf.nn.dilation2d(x, w, [1, stride, stride, 1], padding, "NHWC", [1, rate, rate, 1]),
        normal(2, 8, 7, 3),
        free={0: [0, 1, 2]},
        more=[[normal(1, 6, 9, 3)]],
    )


def test_atrous_convolution_through_the_batch():
    w = normal(3, 3, 3, 4)

    def function(x):
        x = tf.space_to_batch(x, [2, 2], [[2, 3], [2, 2]])
        return tf.batch_to_space(tf.nn.conv2d(x, w, 1, "VALID"), [2, 2], [[0, 1], [0, 0]])

    agree(function, normal(1, 9, 8, 3), **TOLERANCE)
