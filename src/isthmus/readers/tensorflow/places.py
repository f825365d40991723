"""Keys of PyTorch's for the weights of Keras: what its layers call the same thing."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.opening.names import module_path

_LEAVES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_SEPARABLE = {
    "depthwise_kernel": "depthwise.weight",
    "pointwise_kernel": "pointwise.weight",
    "bias": "pointwise.bias",
}
"""A separable convolution is two of PyTorch's layers."""


def torch_keys(names: Iterable[str]) -> dict[str, str]:
    """``block/dense/kernel`` → ``block.dense.weight``, for weights that Keras names so; others keep their names.

    Where two of one layer would get the same key, both keep their own.
    """
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition("/")
        if layer:
            layers.setdefault(layer, []).append(leaf)
    found = {}
    for layer, leaves in layers.items():
        told = _SEPARABLE if "pointwise_kernel" in leaves else _LEAVES
        renamed = [told.get(leaf, leaf) for leaf in leaves]
        for leaf, key in zip(leaves, renamed, strict=True):
            own = key if renamed.count(key) == 1 else leaf
            found[f"{layer}/{leaf}"] = f"{module_path(layer)}.{own if own != leaf else leaf.replace('.', '_')}"
    return found
