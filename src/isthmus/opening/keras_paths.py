"""Where the layers of a Keras model are: paths, which begin the names of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layers_of(model: Any) -> list[Any]:
    """The model, and every layer in it."""
    return list(model._flatten_layers(include_self=True, recursive=True))


def paths_of(model: Any) -> dict[int, str]:
    """Layer → its path, which begins its weights' names; a number is added where two layers share one."""
    paths: dict[int, str] = {}
    layers = list({id(layer): layer for layer in layers_of(model)}.values())
    taken: set[str] = set()
    scoped = _scoped(model, str(model.name)) if is_legacy(model) else {}
    for layer in layers:
        path = own_path(layer, scoped)
        if layer is model:
            paths[id(layer)] = path
            continue
        candidate, count = path, 0
        while candidate in taken:
            count += 1
            candidate = f"{path}_{count}"
        taken.add(candidate)
        paths[id(layer)] = candidate
    return paths


def own_path(layer: Any, scoped: Mapping[int, str] | None = None) -> str:
    """Its path as its own weights tell; else what it calls itself, or what those around it tell."""
    own = [variable_name(v) for v in own_variables(layer)]
    parents = {name.rpartition("/")[0] for name in own}
    if len(parents) == 1 and (parent := parents.pop()):
        return parent
    told = None if scoped is None else scoped.get(id(layer))
    return str(getattr(layer, "path", None) or told or layer.name)


def _scoped(layer: Any, scope: str) -> dict[int, str]:
    """Layer → its path, of what is below a layer of tf_keras that stands at ``scope``, as far as names tell.

    Its layers know their own names only. What a subclassed layer calls has weights whose names begin with the scope.
    """
    found: dict[int, str] = {}
    trusted = _begin(layer, scope)
    for child in layer._flatten_layers(include_self=False, recursive=False):
        below = f"{scope}/{child.name}"
        path = below if _begin(child, below) or (trusted and not child.weights) else str(child.name)
        found[id(child)] = path
        found |= {key: inner for key, inner in _scoped(child, path).items() if key not in found}
    return found


def _begin(layer: Any, scope: str) -> bool:
    """Whether names of a layer's weights begin with a scope; those that it shares have another."""
    return any(variable_name(v).startswith(f"{scope}/") for v in layer.weights)


def is_legacy(layer: Any) -> bool:
    """Whether a layer or model is one of tf_keras."""
    return any(cls.__module__.partition(".")[0] == "tf_keras" for cls in type(layer).__mro__)


def own_variables(layer: Any) -> list[Any]:
    """The variables that a layer holds itself, not those of its layers."""
    if hasattr(layer, "_non_trainable_variables"):  # Keras 3
        return [*layer._trainable_variables, *layer._non_trainable_variables]
    return [*layer._trainable_weights, *layer._non_trainable_weights]


def variable_name(variable: Any) -> str:
    """What its Keras calls it: a path."""
    return str(getattr(variable, "path", None) or variable.name).removesuffix(":0")
