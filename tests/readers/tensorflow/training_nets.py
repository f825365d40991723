"""Keras models, a layer class or two each, that are trained on either side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import Input, Sequential
from keras import layers as L


def attention() -> keras.Model:
    x = Input((6, 8))
    y = L.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(x, L.Dense(3)(L.LayerNormalization()(x + y)))


def masked_attention() -> keras.Model:
    """Of some queries the mask hides every key, and all of their outputs count."""
    tokens = Input((6,), dtype="int32")
    x = L.Embedding(9, 8, mask_zero=True)(tokens)
    return keras.Model(tokens, L.Dense(3)(L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)))


def transformer() -> keras.Model:
    tokens = Input((6,), dtype="int32")
    x = L.Embedding(20, 8)(tokens)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    x = L.LayerNormalization()(x + L.Dense(8)(L.Dense(16, activation="gelu")(x)))
    return keras.Model(tokens, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def shared() -> keras.Model:
    x, dense = Input((5,)), L.Dense(5)
    return keras.Model(x, dense(L.ReLU()(dense(x))))


def residual() -> keras.Model:
    x = y = Input((8, 8, 3))
    for _ in range(2):
        z = L.BatchNormalization()(L.Conv2D(3, 3, padding="same", use_bias=False)(y))
        y = L.ReLU()(y + z)
    return keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(y)))


class Rounded(L.Layer):
    """Quantised on the way there, and straight through on the way back; one half of it is not trained."""

    def call(self, x: Any) -> Any:
        rounded = x + keras.ops.stop_gradient(keras.ops.round(x * 4) / 4 - x)
        return keras.ops.concatenate([rounded, keras.ops.stop_gradient(x)], axis=-1)


def straight_through() -> keras.Model:
    x = Input((5,))
    y = L.Dense(4, activation="tanh")(x)
    return keras.Model(x, L.Dense(3)(Rounded()(y)))


NETS: Mapping[str, Callable[[], keras.Model]] = {
    "dense": lambda: Sequential([Input((5,)), L.Dense(7, activation="relu"), L.Dense(3, use_bias=False)]),
    "dense over steps": lambda: Sequential([Input((4, 5)), L.Dense(7, activation="tanh"), L.Dense(3)]),
    "conv": lambda: Sequential(
        [Input((8, 8, 4)), L.Conv2D(4, 3, strides=2, padding="same"), L.Conv2D(6, 3, groups=2), L.Flatten()]
    ),
    "straight through": straight_through,
    "conv over time": lambda: Sequential(
        [Input((8, 3)), L.Conv1D(5, 3, dilation_rate=2, padding="causal"), L.MaxPooling1D(), L.Flatten(), L.Dense(3)]
    ),
    "conv in space": lambda: Sequential([Input((4, 5, 6, 3)), L.Conv3D(5, 2), L.Flatten(), L.Dense(3)]),
    "depthwise": lambda: Sequential(
        [Input((8, 8, 3)), L.DepthwiseConv2D(3, depth_multiplier=2), L.DepthwiseConv2D(3), L.Flatten(), L.Dense(3)]
    ),
    "separable": lambda: Sequential(
        [Input((8, 8, 3)), L.SeparableConv2D(5, 3, depth_multiplier=2), L.Flatten(), L.Dense(3)]
    ),
    "separable over time": lambda: Sequential(
        [Input((8, 3)), L.SeparableConv1D(5, 3), L.DepthwiseConv1D(3), L.Flatten(), L.Dense(3)]
    ),
    "transposed": lambda: Sequential(
        [Input((4, 4, 3)), L.Conv2DTranspose(5, 3, strides=2, padding="same"), L.Conv2DTranspose(2, 2, strides=2)]
    ),
    "batch norm": lambda: Sequential(
        [Input((8, 8, 3)), L.Conv2D(4, 3), L.BatchNormalization(momentum=0.8), L.ReLU(), L.Flatten(), L.Dense(3)]
    ),
    "batch norm without scale": lambda: Sequential(
        [Input((5,)), L.Dense(4), L.BatchNormalization(scale=False), L.Dense(4), L.BatchNormalization(center=False)]
    ),
    "residual": residual,
    "frozen": lambda: Sequential(
        [Input((5,)), L.Dense(7), L.BatchNormalization(trainable=False), L.ReLU(), L.Dense(3, trainable=False)]
    ),
    "layer norm": lambda: Sequential([Input((4, 6)), L.LayerNormalization(), L.Dense(3)]),
    "group norm": lambda: Sequential([Input((4, 4, 6)), L.GroupNormalization(2), L.Conv2D(3, 1)]),
    "embedding": lambda: Sequential([Input((4,), dtype="int32"), L.Embedding(9, 6), L.Flatten(), L.Dense(3)]),
    "lstm": lambda: Sequential([Input((5, 4)), L.LSTM(6, return_sequences=True), L.LSTM(3)]),
    "gru": lambda: Sequential([Input((5, 4)), L.GRU(6, return_sequences=True), L.GRU(3, reset_after=False)]),
    "rnn": lambda: Sequential([Input((5, 4)), L.SimpleRNN(6, return_sequences=True), L.SimpleRNN(3)]),
    "bidirectional": lambda: Sequential(
        [Input((5, 4)), L.Bidirectional(L.LSTM(3, return_sequences=True)), L.Bidirectional(L.GRU(3)), L.Dense(2)]
    ),
    "attention": attention,
    "masked attention": masked_attention,
    "transformer": transformer,
    "einsum": lambda: Sequential(
        [Input((5, 4)), L.EinsumDense("abc,cde->abde", output_shape=(5, 2, 3), bias_axes="de"), L.Flatten()]
    ),
    "prelu": lambda: Sequential(
        [Input((6, 6, 3)), L.Conv2D(4, 3), L.PReLU(shared_axes=[1, 2]), L.Flatten(), L.Dense(3), L.PReLU()]
    ),
    "shared": shared,
    "rms norm": lambda: Sequential([Input((5,)), L.Dense(6), L.RMSNormalization(), L.Dense(2)]),
}


def built(name: str) -> tuple[keras.Model, np.ndarray]:
    """A model with random weights, and a batch of inputs."""
    keras.utils.set_random_seed(0)
    model = NETS[name]()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        positive = weight.path.endswith(("gamma", "variance", "scale"))
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(0, 0.4, weight.shape))
    shape = (4, *model.inputs[0].shape[1:])
    tokens = model.inputs[0].dtype == "int32"
    return model, rng.integers(0, 9, shape) if tokens else rng.normal(0, 1, shape).astype(np.float32)


def trained(model: keras.Model, x: np.ndarray, cotangent: np.ndarray, rate: float) -> dict[str, np.ndarray]:
    """One step of gradient descent in Keras; the gradients by the weights' paths."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss: Any = tf.reduce_sum(model(x, training=True) * cotangent)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    keras.optimizers.SGD(rate).apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    return {w.path: g.numpy() for w, g in zip(model.trainable_weights, gradients, strict=True)}
