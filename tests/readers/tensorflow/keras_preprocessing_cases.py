"""Layers of Keras 3 that prepare numbers, text, pictures and sounds: small models, and what is refused and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from keras import layers
from keras_layer_cases import FIRST, FLAT, RNG, ROWS, SERIES, LayerCase, layer, normal, several

PICTURE = RNG.uniform(0, 255, (ROWS, 9, 8, 3)).astype(np.float32)
BYTES = RNG.integers(0, 256, (ROWS, 9, 8, 3)).astype(np.uint8)
WAVE = normal(ROWS, 64)
WORDS = np.array([["a", "b"], ["", "c"], ["d", "a"]], object)
SENTENCES = np.array([["a b  c"], ["d"], ["b b Z a c"]], object)
WHOLE = np.array([[1, 7], [3, 0], [-1, 3]], np.int64)
KINDS = np.array([[1, 2], [3, 0], [1, 1]], np.int32)


def _numbers() -> dict[str, LayerCase]:
    bounds = [-0.5, 0.0, 0.7]
    modes: dict[str, dict[str, Any]] = {mode: {"output_mode": mode} for mode in ("one_hot", "multi_hot", "count")}
    tokens = 4
    return {
        "Rescaling": layer("Rescaling", PICTURE, scale=1 / 127.5, offset=-1),
        "Rescaling, bytes": layer("Rescaling", BYTES, scale=1 / 255),
        "Rescaling, by channel": layer("Rescaling", PICTURE, scale=[0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0]),
        "Normalization": LayerCase(_adapted(layers.Normalization(), SERIES), (SERIES,), random=False),
        "Normalization, axes": LayerCase(
            _adapted(layers.Normalization(axis=(1, 2)), SERIES), (SERIES,), random=False
        ),
        "Normalization, one": LayerCase(_adapted(layers.Normalization(axis=None), FLAT), (FLAT,), random=False),
        "Normalization, inverted": layer("Normalization", FLAT, mean=0.4, variance=2.0, invert=True),
        "Discretization": layer("Discretization", FLAT, bin_boundaries=bounds),
        "Discretization, adapted": LayerCase(
            _adapted(layers.Discretization(num_bins=4, epsilon=0.01), normal(40, 1)), (FLAT,), random=False
        ),
        **{
            f"Discretization, {mode}": layer("Discretization", FLAT, bin_boundaries=bounds, **settings)
            for mode, settings in modes.items()
        },
        **several("CategoryEncoding", KINDS, variants={"": {}, **modes}, num_tokens=tokens),
        "CategoryEncoding, weights": LayerCase(
            lambda x, w: layers.CategoryEncoding(tokens, output_mode="count")(x, count_weights=w),
            (KINDS, normal(ROWS, 2)),
        ),
        "Hashing": layer("Hashing", WORDS, num_bins=5),
        "Hashing, whole numbers": layer("Hashing", WHOLE, num_bins=5, salt=[3, 4]),
        "HashedCrossing": layer("HashedCrossing", WHOLE[:, :1], WHOLE[:, 1:], num_bins=5),
        "IntegerLookup": layer("IntegerLookup", WHOLE, vocabulary=[3, 7, 9]),
        "IntegerLookup, masked": layer("IntegerLookup", WHOLE, vocabulary=[3, 7], mask_token=0, num_oov_indices=2),
        "IntegerLookup, inverted": layer("IntegerLookup", KINDS.astype(np.int64), vocabulary=[3, 7, 9], invert=True),
        **{
            f"IntegerLookup, {mode}": layer("IntegerLookup", WHOLE, vocabulary=[3, 7], **settings)
            for mode, settings in modes.items()
        },
    }


def _adapted(made: Any, data: np.ndarray) -> Any:
    """The layer after it has seen data."""
    made.adapt(data)
    return made


def _texts() -> dict[str, LayerCase]:
    known = ["a", "b", "c"]
    weights = {"idf_weights": [0.5, 1.5, 2.5]}
    plain: dict[str, Any] = {"vocabulary": known, "standardize": None, "output_sequence_length": 4}
    return {
        "StringLookup": layer("StringLookup", WORDS, vocabulary=known),
        "StringLookup, masked": layer("StringLookup", WORDS, vocabulary=known, mask_token=""),
        "StringLookup, inverted": layer("StringLookup", KINDS.astype(np.int64), vocabulary=known, invert=True),
        "StringLookup, several unknown": layer("StringLookup", WORDS, vocabulary=known, num_oov_indices=3),
        "StringLookup, multi_hot": layer("StringLookup", WORDS, vocabulary=known, output_mode="multi_hot"),
        "StringLookup, tf_idf": layer("StringLookup", WORDS, vocabulary=known, output_mode="tf_idf", **weights),
        "TextVectorization": layer("TextVectorization", SENTENCES, vocabulary=known),
        "TextVectorization, plain": layer("TextVectorization", SENTENCES, **plain),
        "TextVectorization, lower": layer("TextVectorization", SENTENCES, **{**plain, "standardize": "lower"}),
        "TextVectorization, whole": layer(
            "TextVectorization", SENTENCES, vocabulary=known, standardize=None, split=None, output_mode="int"
        ),
    }


def _pictures() -> dict[str, LayerCase]:
    sizes = {"height": 5, "width": 6}
    modes: dict[str, dict[str, Any]] = {
        f"{mode}": {"interpolation": mode} for mode in ("nearest", "bicubic", "lanczos3", "area", "lanczos5")
    }
    others: dict[str, dict[str, Any]] = {
        "": {},
        "crop": {"crop_to_aspect_ratio": True},
        "pad": {"pad_to_aspect_ratio": True, "fill_value": 3.0},
        "antialias": {"antialias": True},
        "free sizes": {"free": (1, 2)},
        "free sizes, crop": {"free": (1, 2), "crop_to_aspect_ratio": True},
        "channels_first": FIRST,
    }
    return {
        **several("Resizing", PICTURE, variants={**others, **modes}, **sizes),
        "Resizing, bytes": layer("Resizing", BYTES, interpolation="nearest", **sizes),
        "Resizing, larger": layer("Resizing", PICTURE, height=13, width=17),
        "CenterCrop": layer("CenterCrop", PICTURE, height=4, width=5),
        "CenterCrop, larger": layer("CenterCrop", PICTURE, height=12, width=5),
        "CenterCrop, free sizes": layer("CenterCrop", PICTURE, height=4, width=5, free=(1, 2)),
        "AutoContrast": layer("AutoContrast", PICTURE),
        "Solarization": layer("Solarization", PICTURE, addition_factor=0.1, threshold_factor=0.4),
        "ContrastLimitedAdaptiveHistogramEqualization": layer(
            "ContrastLimitedAdaptiveHistogramEqualization", RNG.integers(0, 256, (ROWS, 16, 16, 3)).astype(np.float32)
        ),
        "Pipeline": LayerCase(
            lambda x: layers.Pipeline([layers.Rescaling(1 / 255), layers.RandomFlip(), layers.CenterCrop(4, 4)])(x),
            (PICTURE,),
        ),
        **{name: layer(name, PICTURE, **settings) for name, settings in AT_REST.items()},
    }


AT_REST: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "AugMix": {},
        "CutMix": {},
        "MixUp": {},
        "RandAugment": {},
        "RandomBrightness": {"factor": 0.2},
        "RandomColorDegeneration": {"factor": 0.5},
        "RandomColorJitter": {"brightness_factor": 0.2},
        "RandomContrast": {"factor": 0.3},
        "RandomCrop": {"height": 5, "width": 6},
        "RandomElasticTransform": {},
        "RandomErasing": {},
        "RandomFlip": {},
        "RandomGaussianBlur": {},
        "RandomGrayscale": {},
        "RandomHue": {"factor": 0.2},
        "RandomInvert": {},
        "RandomPerspective": {},
        "RandomPosterization": {"factor": 4},
        "RandomRotation": {"factor": 0.2},
        "RandomSaturation": {"factor": 0.4},
        "RandomSharpness": {"factor": 0.4},
        "RandomShear": {"x_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
        "RandomZoom": {"height_factor": 0.2},
    }
)
"""Layers that change a picture at random while a model is trained; at inference only RandomCrop does anything."""


def _sounds() -> dict[str, LayerCase]:
    frames = {"sequence_length": 16, "sequence_stride": 8, "fft_length": 16}
    spectrogram = {"frame_length": 16, "frame_step": 8, "fft_length": 16, "window": np.hanning(16)}
    return {
        "MelSpectrogram": layer(
            "MelSpectrogram", WAVE, sampling_rate=800, num_mel_bins=6, min_freq=20.0, max_freq=400.0, **frames
        ),
        "MelSpectrogram, power": layer(
            "MelSpectrogram", WAVE, sampling_rate=800, num_mel_bins=6, min_freq=20.0, power_to_db=False, **frames
        ),
        "STFTSpectrogram": layer("STFTSpectrogram", WAVE[..., None], **spectrogram),
        **{
            f"STFTSpectrogram, {mode}": layer("STFTSpectrogram", WAVE[..., None], mode=mode, **spectrogram)
            for mode in ("magnitude", "psd", "real", "imag", "angle", "stft")
        },
        "STFTSpectrogram, pictures": layer(
            "STFTSpectrogram", WAVE[..., None], expand_dims=True, padding="same", **spectrogram
        ),
    }


CASES: Mapping[str, LayerCase] = MappingProxyType({**_numbers(), **_texts(), **_pictures(), **_sounds()})
