"""What libraries spell out becomes the operator that it is: normalizations, activations, dense layers, attention.

Beside each, what looks alike and is something else: it agrees too, and stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import keras
import tensorflow as tf
from reading import agree

from isthmus.hub.model import Hub

pytestmark = pytest.mark.tensorflow

layers = keras.layers
Build = Callable[[Any], Any]
EPSILON = 1e-3


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


X, IMAGE = drawn(2, 5, 8), drawn(2, 5, 5, 8)
SCALE, SHIFT = tf.constant(drawn(8)), tf.constant(drawn(8)[::-1].copy())


def ops(hub: Hub) -> Counter[str]:
    return Counter(node.op_type for node in hub.graph.all_nodes())


def carried(
    function: Build, x: np.ndarray = X, free: Sequence[int] = (0,), more: Sequence[np.ndarray] = ()
) -> Counter[str]:
    others = [[x[:1]], *([other] for other in more)]
    return ops(agree(lambda x: function(x), x, free={0: list(free)}, more=others, rtol=2e-5, atol=2e-5))


def settled(layer: Any, x: np.ndarray) -> Any:
    """The layer with weights drawn at random; variances are positive."""
    layer(x)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        value = rng.standard_normal(weight.shape)
        weight.assign(np.abs(value) + 0.1 if "variance" in weight.path else value)
    return layer


# ------------------------------------------------------------------------------------------- normalizations


def by_moments(x: Any, axes: Sequence[int] = (-1,)) -> Any:
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, SHIFT, SCALE, EPSILON)


def by_hand(x: Any, *, outside: bool = False, axis: int = -1, other_mean: bool = False) -> Any:
    mean = tf.reduce_mean(x, axis, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axis, keepdims=True)
    spread = tf.sqrt(variance) + EPSILON if outside else tf.sqrt(variance + EPSILON)
    taken = mean * 1.01 if other_mean else mean
    return (x - taken) / spread * SCALE + SHIFT


def by_variance(x: Any) -> Any:
    variance = tf.math.reduce_variance(x, -1, keepdims=True)
    return (x - tf.reduce_mean(x, -1, keepdims=True)) * tf.math.rsqrt(variance + EPSILON) * SCALE + SHIFT


def by_root_of_squares(x: Any) -> Any:
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + EPSILON) * SCALE


NORMALIZATIONS: dict[str, tuple[str, Build, np.ndarray]] = {
    "moments": ("LayerNormalization", by_moments, X),
    "hand": ("LayerNormalization", by_hand, X),
    "variance": ("LayerNormalization", by_variance, X),
    "layer": ("LayerNormalization", settled(layers.LayerNormalization(), X), X),
    "layer_no_scale": ("LayerNormalization", settled(layers.LayerNormalization(scale=False), X), X),
    "layer_no_shift": ("LayerNormalization", settled(layers.LayerNormalization(center=False), X), X),
    "layer_two_axes": ("LayerNormalization", settled(layers.LayerNormalization(axis=[1, 2]), X), X),
    "root": ("RMSNormalization", by_root_of_squares, X),
    "root_layer": ("RMSNormalization", settled(layers.RMSNormalization(), X), X),
    "group": ("GroupNormalization", settled(layers.GroupNormalization(2), IMAGE), IMAGE),
    "group_first": (
        "GroupNormalization",
        settled(layers.GroupNormalization(2, axis=1), drawn(2, 8, 4)),
        drawn(2, 8, 4),
    ),
    "instance": ("GroupNormalization", settled(layers.GroupNormalization(-1), IMAGE), IMAGE),
    "batch": ("BatchNormalization", settled(layers.BatchNormalization(), IMAGE), IMAGE),
    "batch_first": ("BatchNormalization", settled(layers.BatchNormalization(axis=1), IMAGE), IMAGE),
    "batch_matrix": ("BatchNormalization", settled(layers.BatchNormalization(), X[:, 0]), X[:, 0]),
    "batch_no_scale": ("BatchNormalization", settled(layers.BatchNormalization(scale=False), X), X),
    "batch_no_shift": ("BatchNormalization", settled(layers.BatchNormalization(center=False), X), X),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations(name: str) -> None:
    operator, function, x = NORMALIZATIONS[name]
    found = carried(function, x)
    assert found[operator] == 1
    assert not {"ReduceMean", "Sqrt", "Reciprocal"} & set(found)


NO_NORMALIZATIONS: dict[str, Build] = {
    "epsilon_outside_of_the_root": lambda x: by_hand(x, outside=True),
    "an_axis_before_the_last": lambda x: by_hand(x, axis=1),
    "another_mean": lambda x: by_hand(x, other_mean=True),
    "axes_apart": lambda x: by_moments(x, (0, 2)),
    "deviation": lambda x: (
        (x - tf.reduce_mean(x, -1, keepdims=True)) / (tf.math.reduce_std(x, -1, keepdims=True) + 1)
    ),
    "length": settled(layers.UnitNormalization(), X),
}


@pytest.mark.parametrize("name", NO_NORMALIZATIONS)
def test_what_is_no_normalization(name: str) -> None:
    assert not [op for op in carried(NO_NORMALIZATIONS[name]) if op.endswith("Normalization")]


def test_weights_keep_their_names() -> None:
    layer = settled(layers.LayerNormalization(name="norm"), X)
    hub = agree(lambda x: layer(x), X)
    (node,) = [node for node in hub.graph if node.op_type == "LayerNormalization"]
    assert all(value.name in hub.graph.initializers for value in node.inputs[1:])


# ---------------------------------------------------------------------------------------------- activations


ACTIVATIONS: dict[str, tuple[str, Build]] = {
    "gelu": ("Gelu", tf.nn.gelu),
    "gelu_tanh": ("Gelu", lambda x: tf.nn.gelu(x, approximate=True)),
    "gelu_keras": ("Gelu", lambda x: keras.activations.gelu(x, approximate=False)),
    "gelu_by_hand": ("Gelu", lambda x: 0.5 * x * (1 + tf.math.erf(x / np.float32(np.sqrt(2))))),
    "gelu_tanh_by_hand": (
        "Gelu",
        lambda x: 0.5 * x * (1 + tf.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * tf.pow(x, 3)))),
    ),
    "hard_sigmoid": ("HardSigmoid", keras.activations.hard_sigmoid),
    "hard_sigmoid_of_keras_2": ("HardSigmoid", lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)),
    "hard_swish": ("HardSwish", keras.activations.hard_silu),
    "hard_swish_by_hand": ("HardSwish", lambda x: x * tf.nn.relu6(x + 3) / 6),
    "mish": ("Mish", keras.activations.mish),
    "relu6": ("Clip", tf.nn.relu6),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    operator, function = ACTIVATIONS[name]
    assert carried(function) == {operator: 1}


NO_ACTIVATIONS: dict[str, Build] = {
    "another_root": lambda x: 0.5 * x * (1 + tf.math.erf(x / 1.5)),
    "another_half": lambda x: 0.4 * x * (1 + tf.math.erf(x / np.float32(np.sqrt(2)))),
    "another_operand": lambda x: 0.5 * x[:, ::-1] * (1 + tf.math.erf(x / np.float32(np.sqrt(2)))),
    "another_cube": lambda x: 0.5 * x * (1 + tf.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.05 * tf.pow(x, 3)))),
    "a_line_from_one": lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.1, 1.0),
    "a_line_to_two": lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 2.0),
    "another_swish": lambda x: x * tf.nn.relu6(x + 2) / 6,
    "swish_of_another": lambda x: x[:, ::-1] * tf.nn.relu6(x + 3) / 6,
    "mish_of_another": lambda x: x[:, ::-1] * tf.tanh(tf.nn.softplus(x)),
}


@pytest.mark.parametrize("name", NO_ACTIVATIONS)
def test_what_is_none_of_these(name: str) -> None:
    assert not {"Gelu", "HardSwish", "Mish"} & set(carried(NO_ACTIVATIONS[name]))


# --------------------------------------------------------------------------------------- dense and attention


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_dense_layers_of_any_rank(rank: int) -> None:
    x = drawn(2, 3, 4, 8)[(slice(None), *[0] * (4 - rank))]
    layer = settled(layers.Dense(3, activation="relu"), x)
    assert carried(layer, x, free=range(rank - 1)) == {"MatMul": 1, "Add": 1, "Relu": 1}


def test_a_dense_layer_over_axes_by_a_formula() -> None:
    layer = settled(layers.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d"), X)
    assert carried(layer, X, free=(0, 1), more=[X[:1, :2]]) == {"MatMul": 1, "Add": 1}


def test_attention_without_weights() -> None:
    found = carried(lambda x: layers.Attention()([x, x]), X, free=(0, 1), more=[X[:1, :2]])
    assert found == {"MatMul": 2, "Softmax": 1, "Transpose": 1}


ATTENTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "plain": lambda layer, x: layer(x, x),
    "causal": lambda layer, x: layer(x, x, use_causal_mask=True),
    "masked": lambda layer, x: layer(x, x, attention_mask=tf.abs(x[:, :, :1]) < 1),
    "other_values": lambda layer, x: layer(x, x * 2, x + 1),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_of_several_heads(name: str) -> None:
    layer = layers.MultiHeadAttention(2, 4)
    layer(X, X)
    found = carried(lambda x: ATTENTIONS[name](layer, x), X, free=(0, 1), more=[X[:1, :3]])
    assert found["Softmax"] == 1
    assert not {"Loop", "Where"} & set(found) if name in ("plain", "other_values") else "Loop" not in found


def test_attention_by_groups_of_heads() -> None:
    layer = layers.GroupQueryAttention(4, 4, 2)
    layer(X, X)
    carried(lambda x: layer(x, x), X, free=(0, 1), more=[X[:1, :3]])


def test_additive_attention() -> None:
    layer = settled(layers.AdditiveAttention(), [X, X])
    carried(lambda x: layer([x, x]), X, free=(0, 1), more=[X[:1, :3]])
