"""The models of keras.applications with random weights under which a mistake shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

_FREE = 80, 96
"""The sizes of images where these are free: Inception takes none below 75."""


@dataclass(frozen=True)
class Net:
    """One model: what ``keras.applications`` calls it, and how it is built."""

    name: str
    size: int | None = 64
    """Height and width of its images; None where they are free."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "channels_last"

    @property
    def label(self) -> str:
        size = "free" if self.size is None else str(self.size)
        told = "".join(f" {key}={value}" for key, value in self.settings.items())
        return f"{self.name} {size}{told}{' NCHW' if self.layout == 'channels_first' else ''}"

    def build(self) -> Any:
        """The Keras model, its statistics those of images that it was shown."""
        with _config("image_data_format", self.layout):
            model = self._made()
            randomize(model, self.images(8, self.size or _FREE[0]))
            return model

    def in_float64(self, model: Any) -> Callable[[np.ndarray], np.ndarray]:
        """The same model with the same weights, computing in float64, and channels last: TensorFlow has no other."""
        with _config("image_data_format", "channels_last"), _config("dtype_policy", "float64"):
            wide = replace(self, layout="channels_last")._made()
        turns = self.layout == "channels_first"
        wide.set_weights(model.get_weights())
        return lambda images: wide(images.transpose(0, 2, 3, 1) if turns else images, training=False).numpy()

    def _made(self) -> Any:
        import keras

        shape = (3, self.size, self.size) if self.layout == "channels_first" else (self.size, self.size, 3)
        top = {"classes": 10, "classifier_activation": None} if self.size is not None else {"include_top": False}
        made = getattr(keras.applications, self.name)
        return made(weights=None, input_shape=shape, **{**top, **self.settings})

    def images(self, batch: int, size: int) -> np.ndarray:
        """Random images of 0 … 255."""
        shape = (batch, 3, size, size) if self.layout == "channels_first" else (batch, size, size, 3)
        return np.random.default_rng([batch, size]).uniform(0, 255, shape).astype(np.float32)

    def feeds(self) -> Iterator[np.ndarray]:
        """Two batch sizes; two sizes of images, where these are free."""
        yield self.images(1, self.size or _FREE[0])
        yield self.images(3, self.size or _FREE[1])


def randomize(model: Any, images: Any) -> None:
    """Weights of their own that keep the signal at its scale; batch norms take the statistics of the images.

    Raises AssertionError where the outputs do not depend on the images.
    """
    import keras

    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(_drawn(rng, weight))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    for output in keras.tree.flatten(model(images, training=False)):
        made = output.numpy()
        assert np.isfinite(made).all(), "the outputs are not finite"
        assert made.std(axis=0).max() > 1e-3 * np.abs(made).max(), "the images do not show in the outputs"


def _drawn(rng: np.random.Generator, weight: Any) -> np.ndarray:
    kind, shape = weight.path.rpartition("/")[2], tuple(weight.shape)
    if kind == "gamma":
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) < 2:
        return rng.normal(0, 0.1, shape)
    fan_in = np.prod(shape[:2]) if "depthwise" in kind else np.prod(shape[:-1])
    return rng.normal(0, np.sqrt(2 / fan_in), shape)


@contextmanager
def _config(name: str, value: str) -> Iterator[None]:
    """A setting of Keras, while open."""
    import keras

    before = getattr(keras.config, name)()
    getattr(keras.config, f"set_{name}")(value)
    try:
        yield
    finally:
        getattr(keras.config, f"set_{name}")(before)


def _free(*names: str) -> tuple[Net, ...]:
    return tuple(Net(name, None) for name in names)


NETS = (
    Net("MobileNet", settings={"alpha": 0.25}),
    Net("MobileNetV2", 96, {"alpha": 0.35, "classifier_activation": "softmax"}),
    Net("MobileNetV3Small"),
    Net("MobileNetV3Small", settings={"minimalistic": True, "alpha": 0.75}),
    Net("MobileNetV3Large"),
    Net("EfficientNetB0"),
    Net("EfficientNetB1"),
    Net("EfficientNetV2B0"),
    Net("EfficientNetV2B1"),
    Net("EfficientNetV2S"),
    Net("DenseNet121"),
    Net("DenseNet169"),
    Net("NASNetMobile"),
    Net("ResNet50"),
    Net("ResNet101"),
    Net("ResNet50V2"),
    Net("Xception", 96),
    Net("InceptionV3", 96),
    Net("InceptionResNetV2", 96),
    Net("ConvNeXtTiny"),
    Net("ConvNeXtSmall"),
    Net("VGG16"),
    Net("VGG19"),
    *_free("MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121"),
    *_free("ResNet50", "ResNet50V2", "Xception", "InceptionV3", "ConvNeXtTiny", "VGG16"),
    Net("InceptionResNetV2", None, {"pooling": "avg"}),
    Net("MobileNetV3Large", None, {"pooling": "max"}),
    Net("ResNet50", layout="channels_first"),
    Net("VGG16", 32, layout="channels_first"),
    Net("MobileNet", layout="channels_first"),
    Net("Xception", 96, layout="channels_first"),
)
"""Every family, the smallest member of each among them.

Left out is what Keras itself does not do: a NASNet of free size runs at none, a DenseNet takes channels last only.
The VGG with channels first flattens one pixel, so that its layers have the order that they have with channels last.
"""
