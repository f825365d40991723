"""Layers of Keras 3 in small models. Those for sequences stand in ``keras_sequence_cases``, those that
prepare data in ``keras_preprocessing_cases``.

A case is named after its class; what stands behind a comma tells it from others of that class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

RNG = np.random.default_rng(5)

ROWS = 3
"""The batch that the arrays of every case have."""


@dataclass(frozen=True)
class LayerCase:
    """``build`` makes outputs of symbolic inputs; ``free`` are axes besides the batch that may have any size."""

    build: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    free: tuple[int, ...] = ()
    random: bool = True
    """Whether its weights are drawn anew, so that no scale is one and no shift nought."""

    def model(self) -> keras.Model:
        """The model, the same at each call."""
        keras.utils.set_random_seed(3)
        inputs = [
            keras.Input(
                [None if axis in self.free else size for axis, size in enumerate(array.shape)][1:],
                dtype="string" if array.dtype.kind in "OSU" else array.dtype.name,
                name=f"in_{place}",
            )
            for place, array in enumerate(self.arrays)
        ]
        model = keras.Model(inputs if len(inputs) > 1 else inputs[0], self.build(*inputs))
        if self.random:
            _draw(model)
        return model


def _draw(model: keras.Model) -> None:
    rng = np.random.default_rng(7)
    for variable in model.variables:
        if "float" not in str(variable.dtype):
            continue
        drawn = rng.normal(0, 0.4, variable.shape)
        variable.assign(np.abs(drawn) + 0.5 if variable.path.endswith(("variance", "gamma", "scale")) else drawn)


def normal(*shape: int) -> np.ndarray:
    """Numbers around nought, in float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def layer(name: str, *arrays: np.ndarray, free: tuple[int, ...] = (), **settings: Any) -> LayerCase:
    """The layer of that class called on its inputs: on one alone, on several as a list."""

    def build(*inputs: Any) -> Any:
        made = getattr(layers, name)(**settings)
        return made(inputs[0] if len(inputs) == 1 else list(inputs))

    return LayerCase(build, arrays, free)


def several(name: str, *arrays: np.ndarray, variants: Mapping[str, Mapping[str, Any]], **common: Any) -> Any:
    """One case a variant, which adds to what is common."""
    return {
        f"{name}, {told}" if told else name: layer(name, *arrays, **{**common, **variant})
        for told, variant in variants.items()
    }


FLAT = normal(ROWS, 6)
SERIES = normal(ROWS, 9, 4)
IMAGE = normal(ROWS, 8, 7, 4)
VOLUME = normal(ROWS, 5, 6, 4, 4)
BY_RANK = {1: SERIES, 2: IMAGE, 3: VOLUME}
TOKENS = np.array([[3, 1, 2, 0, 0], [4, 4, 0, 0, 0], [1, 2, 3, 4, 5]], np.int32)
"""Nought is a mask at the end of each row, and there is at least one token."""
HOLED = np.array([[0, 1, 2, 0, 5], [4, 0, 0, 3, 0], [1, 2, 3, 4, 5]], np.int32)
"""Nought is a mask anywhere."""
FIRST = {"data_format": "channels_first"}
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh"),
    *("leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
    *("swish", "tanh", "tanh_shrink", "threshold", "glu"),
)
"""Every name that ``keras.activations`` has."""


def _activation(name: str) -> Any:
    """What a layer takes for the activation: its name, or a function where it needs more than a tensor."""
    return (lambda x: keras.activations.threshold(x, 0.2, -1.0)) if name == "threshold" else name


def _activations() -> dict[str, LayerCase]:
    direct = {f"Activation, {name}": layer("Activation", FLAT, activation=_activation(name)) for name in ACTIVATIONS}
    fused = {
        f"Dense, {name}": layer("Dense", FLAT, units=6, activation=name)
        for name in ("relu", "gelu", "softmax", "silu", "elu", "selu", "hard_sigmoid", "mish", "leaky_relu")
    }
    return direct | fused


def _convolutions() -> dict[str, LayerCase]:
    found: dict[str, LayerCase] = {}
    for rank, array in BY_RANK.items():
        one = {"filters": 4, "kernel_size": 3}
        variants: dict[str, dict[str, Any]] = {
            "": {"activation": "relu"},
            "same, strides": {"padding": "same", "strides": 2},
            "dilation": {"padding": "same", "dilation_rate": 2, "kernel_size": 2},
            "groups": {"groups": 2, "use_bias": False},
            "channels_first": {"padding": "same", **FIRST},
        }
        if rank == 1:
            variants["causal"] = {"padding": "causal", "dilation_rate": 2}
        if rank == 2:
            variants["free sizes"] = {"free": (1, 2), "padding": "same", "strides": 2}
            variants["of two sizes"] = {"kernel_size": (3, 1), "strides": (2, 1), "activation": "gelu"}
        found |= several(f"Conv{rank}D", array, variants=variants, **one)
        transposed: dict[str, dict[str, Any]] = {
            "": {},
            "same, strides": {"padding": "same", "strides": 2},
            "strides": {"strides": 2},
            "channels_first": {"padding": "same", "strides": 2, **FIRST},
        }
        if rank < 3:
            transposed["output_padding"] = {"strides": 3, "padding": "same", "output_padding": 1}
            transposed["dilation"] = {"dilation_rate": 2}
        if rank == 2:
            transposed["free sizes"] = {"free": (1, 2), "padding": "same", "strides": 2}
        found |= several(f"Conv{rank}DTranspose", array, variants=transposed, **one)
        if rank < 3:
            depth: dict[str, dict[str, Any]] = {
                "": {},
                "multiplier": {"depth_multiplier": 2, "padding": "same", "activation": "relu"},
                "strides": {"padding": "same", "strides": 2},
                "dilation": {"dilation_rate": 2, "use_bias": False},
                "channels_first": {"padding": "same", **FIRST},
            }
            found |= several(f"DepthwiseConv{rank}D", array, variants=depth, kernel_size=3)
            found |= several(f"SeparableConv{rank}D", array, variants=depth, **one)
    return found


def _pools() -> dict[str, LayerCase]:
    found: dict[str, LayerCase] = {}
    for rank, array in BY_RANK.items():
        for kind in ("Average", "Max"):
            variants: dict[str, dict[str, Any]] = {
                "": {"pool_size": 2},
                "same, strides": {"pool_size": 3, "strides": 2, "padding": "same"},
                "channels_first": {"pool_size": 2, "padding": "same", **FIRST},
            }
            if rank == 2:
                variants["free sizes"] = {"free": (1, 2), "pool_size": 3, "strides": 2, "padding": "same"}
            found |= several(f"{kind}Pooling{rank}D", array, variants=variants)
            whole = {"": {}, "keepdims": {"keepdims": True}, "channels_first": FIRST}
            found |= several(f"Global{kind}Pooling{rank}D", array, variants=whole)
            found |= several(
                f"Adaptive{kind}Pooling{rank}D",
                array,
                variants={"": {}, "channels_first": FIRST, "of three": {"output_size": 3}},
                output_size=2,
            )
    found["GlobalAveragePooling1D, masked"] = LayerCase(masked(layers.GlobalAveragePooling1D), (HOLED,))
    return found


def masked(cls: Any, **settings: Any) -> Callable[..., Any]:
    """A layer over embedded words, of which those numbered nought count for nothing."""
    return lambda tokens: cls(**settings)(layers.Embedding(6, 4, mask_zero=True)(tokens))


def _images() -> dict[str, LayerCase]:
    found: dict[str, LayerCase] = {}
    for rank, array in BY_RANK.items():
        first = {} if rank == 1 else {"channels_first": FIRST}
        found |= several(f"Cropping{rank}D", array, variants={"": {}, **first}, cropping=1)
        found |= several(f"ZeroPadding{rank}D", array, variants={"": {}, **first}, padding=2)
        sizes = {"": {"size": 2}, **{told: {"size": 2, **more} for told, more in first.items()}}
        found |= several(f"UpSampling{rank}D", array, variants=sizes)
    modes = {f"{mode}": {"interpolation": mode} for mode in ("bilinear", "bicubic", "lanczos3", "lanczos5")}
    found |= several("UpSampling2D", IMAGE, variants={**modes, "free sizes": {"free": (1, 2)}}, size=(2, 3))
    found["ZeroPadding2D, of four sizes"] = layer("ZeroPadding2D", IMAGE, padding=((1, 0), (2, 3)))
    found["Cropping2D, of four sizes"] = layer("Cropping2D", IMAGE, cropping=((1, 0), (2, 3)), free=(1, 2))
    return found


def _norms() -> dict[str, LayerCase]:
    groups = {
        "": {"groups": 2},
        "series": {"groups": 4},
        "of channels": {"groups": -1},
        "channels_first": {"axis": 1},
    }
    found = {
        **several("BatchNormalization", IMAGE, variants={"": {}, "channels_first": {"axis": 1}, "bare": _BARE}),
        "BatchNormalization, flat": layer("BatchNormalization", FLAT, epsilon=0.01),
        "BatchNormalization, frozen": layer("BatchNormalization", FLAT, trainable=False),
        "BatchNormalization, masked": LayerCase(masked(layers.BatchNormalization), (TOKENS,)),
        **several("LayerNormalization", SERIES, variants={"": {}, "two axes": {"axis": [1, 2]}, "bare": _BARE}),
        "LayerNormalization, first axis": layer("LayerNormalization", SERIES, axis=1, epsilon=0.01),
        "RMSNormalization": layer("RMSNormalization", SERIES),
        "RMSNormalization, epsilon": layer("RMSNormalization", SERIES, epsilon=0.1),
        "UnitNormalization": layer("UnitNormalization", SERIES),
        "UnitNormalization, two axes": layer("UnitNormalization", SERIES, axis=[1, 2]),
        "SpectralNormalization": LayerCase(lambda x: layers.SpectralNormalization(layers.Dense(5))(x), (FLAT,)),
        "SpectralNormalization, Conv2D": LayerCase(
            lambda x: layers.SpectralNormalization(layers.Conv2D(3, 2), power_iterations=2)(x), (IMAGE,)
        ),
        "GroupNormalization, series": layer("GroupNormalization", SERIES, groups=4),
        "GroupNormalization, channels_first": layer("GroupNormalization", normal(ROWS, 4, 5, 6), groups=2, axis=1),
    }
    return found | several("GroupNormalization", IMAGE, variants={k: groups[k] for k in ("", "of channels")})


_BARE = {"center": False, "scale": False}


def _plain() -> dict[str, LayerCase]:
    other = normal(ROWS, 6)
    found = {
        **{
            name: layer(name, FLAT, other)
            for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
        },
        "Add, of three": layer("Add", FLAT, other, normal(ROWS, 6)),
        "Add, of other ranks": layer("Add", SERIES, normal(ROWS, 4)),
        "Concatenate": layer("Concatenate", FLAT, normal(ROWS, 2)),
        "Concatenate, axis": layer("Concatenate", SERIES, normal(ROWS, 2, 4), axis=1),
        "Dot": layer("Dot", FLAT, other, axes=1),
        "Dot, normalize": layer("Dot", SERIES, normal(ROWS, 4, 5), axes=(2, 1), normalize=True),
        "Dense": layer("Dense", FLAT, units=5),
        "Dense, series": layer("Dense", SERIES, units=5, use_bias=False, free=(1,)),
        "Dense, lora": layer("Dense", FLAT, units=5, lora_rank=2),
        "EinsumDense": layer(
            "EinsumDense", SERIES, equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"
        ),
        "EinsumDense, ellipsis": layer(
            "EinsumDense", IMAGE, equation="...x,xy->...y", output_shape=5, bias_axes="y", activation="relu"
        ),
        "Embedding": layer("Embedding", TOKENS, input_dim=6, output_dim=4),
        "Embedding, free sizes": layer("Embedding", TOKENS.astype(np.int64), input_dim=6, output_dim=4, free=(1,)),
        "ReversibleEmbedding": LayerCase(_reversible(tied=True), (TOKENS,)),
        "ReversibleEmbedding, apart": LayerCase(_reversible(tied=False), (TOKENS,)),
        "Flatten": layer("Flatten", IMAGE),
        "Flatten, channels_first": layer("Flatten", IMAGE, **FIRST),
        "Flatten, free sizes": layer("Flatten", SERIES, free=(1,)),
        "Permute": layer("Permute", IMAGE, dims=(3, 1, 2)),
        "RepeatVector": layer("RepeatVector", FLAT, n=4),
        "Reshape": layer("Reshape", FLAT, target_shape=(2, -1)),
        "Reshape, free sizes": layer("Reshape", SERIES, target_shape=(-1, 2), free=(1,)),
        "Identity": layer("Identity", FLAT),
        "InputLayer": LayerCase(lambda x: layers.Dense(3)(x), (FLAT,)),
        "Masking": LayerCase(lambda x: layers.GlobalAveragePooling1D()(layers.Masking(0.0)(x)), (SERIES,)),
        "Lambda": LayerCase(lambda x: layers.Lambda(lambda y: y * 2)(x), (FLAT,)),
        "TimeDistributed": LayerCase(lambda x: layers.TimeDistributed(layers.Dense(3))(x), (SERIES,)),
        "TimeDistributed, Conv2D": LayerCase(
            lambda x: layers.TimeDistributed(layers.Conv2D(3, 2))(x), (normal(ROWS, 2, 5, 4, 3),)
        ),
        "TimeDistributed, masked": LayerCase(masked(layers.TimeDistributed, layer=layers.Dense(3)), (TOKENS,)),
        "Softmax": layer("Softmax", SERIES),
        "Softmax, two axes": layer("Softmax", SERIES, axis=[1, 2]),
        "Softmax, masked": LayerCase(lambda x, m: layers.Softmax()(x, mask=m), (FLAT, FLAT > 0)),
        "ReLU": layer("ReLU", FLAT),
        "ReLU, limits": layer("ReLU", FLAT, max_value=1.5, negative_slope=0.2, threshold=0.1),
        "LeakyReLU": layer("LeakyReLU", FLAT, negative_slope=0.2),
        "ELU": layer("ELU", FLAT, alpha=0.7),
        "PReLU": layer("PReLU", FLAT),
        "PReLU, shared axes": layer("PReLU", IMAGE, shared_axes=[1, 2]),
    }
    at_rest = {
        "ActivityRegularization": {},
        "AlphaDropout": {"rate": 0.5},
        "Dropout": {"rate": 0.5},
        "GaussianDropout": {"rate": 0.5},
        "GaussianNoise": {"stddev": 1.0},
    }
    found |= {name: layer(name, FLAT, **settings) for name, settings in at_rest.items()}
    return found | {
        f"SpatialDropout{rank}D": layer(f"SpatialDropout{rank}D", a, rate=0.5) for rank, a in BY_RANK.items()
    }


def _reversible(*, tied: bool) -> Callable[..., Any]:
    def build(tokens: Any) -> Any:
        embedding = layers.ReversibleEmbedding(6, 4, tie_weights=tied, logit_soft_cap=None if tied else 3.0)
        return embedding(embedding(tokens), reverse=True)

    return build


CASES: Mapping[str, LayerCase] = MappingProxyType(
    {
        **_plain(),
        **_activations(),
        **_convolutions(),
        **_pools(),
        **_images(),
        **_norms(),
    }
)
