"""The gradient of a loss by every weight that may be trained: the same question to each framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus.types import StoredWeight
from isthmus.verify.runners.codec import Array, Value


@dataclass(frozen=True)
class Gradients:
    """What a loss is worth to each weight that may be trained.

    ``values`` are by the weight's name; None where the loss does not reach the weight. ``tied``: further names of a
    weight → its name in ``values``. ``stored``: by name, what a weight was in the model that this one was converted
    from, where that is told and differs.
    """

    values: Mapping[str, Value]
    tied: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, StoredWeight] = field(default_factory=dict)

    def find(self, names: Iterable[str]) -> str | None:
        """The name in ``values`` of the weight that has one of these names."""
        known = (name if name in self.values else self.tied.get(name) for name in names)
        return next((name for name in known if name is not None), None)

    def names_of(self, name: str) -> tuple[str, ...]:
        """All names of a weight, the first being the one in ``values``."""
        return name, *(alias for alias, first in self.tied.items() if first == name)


@dataclass(frozen=True)
class Origin:
    """Where a weight comes from: its source's name, the order of axes that it is stored in, its source's shape."""

    name: str
    perm: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None

    def restored(self, array: Array) -> Array:
        """``array``, shaped like the weight as it is stored, in the axes of the source."""
        if self.perm is not None:
            array = array.transpose(np.argsort(self.perm))
        return array if self.shape is None else array.reshape(self.shape)


def of_torch(
    torch: Any,
    module: Any,
    outputs: Mapping[str, Any],
    cotangents: Mapping[str, Any],
    to_numpy: Callable[[Any], Array],
    stored: Mapping[str, StoredWeight],
) -> Gradients:
    """The gradients of the sum of ``outputs[name] * cotangents[name]``, computed with gradients on.

    A weight that the module has under several names, or as several parameters on one memory, is one weight.
    """
    parameters = [(n, p) for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad]
    leaves = list({id(p): p for _, p in parameters}.values())
    reached = [name for name in cotangents if name in outputs and outputs[name].requires_grad]
    made = [None] * len(leaves)
    if reached and leaves:
        roots = [outputs[name] for name in reached]
        weights = [cotangents[name].to(outputs[name].dtype) for name in reached]
        made = torch.autograd.grad(roots, leaves, weights, allow_unused=True)
    by_leaf = {id(leaf): gradient for leaf, gradient in zip(leaves, made, strict=True)}
    weights_of: dict[Any, tuple[str, dict[int, Any]]] = {}
    tied: dict[str, str] = {}
    for name, parameter in parameters:
        first, parts = weights_of.setdefault(_memory(parameter), (name, {}))
        parts[id(parameter)] = by_leaf[id(parameter)]
        if first != name:
            tied[name] = first
    values: dict[str, Value] = {}
    for name, parts in weights_of.values():
        found = [part for part in parts.values() if part is not None]
        values[name] = to_numpy(sum(found[1:], found[0])) if found else None
    return Gradients(values, tied, stored)


def _memory(parameter: Any) -> Any:
    """What tells a weight from others: the memory that it lies in, as it lies there."""
    if not parameter.numel():
        return id(parameter)
    return parameter.data_ptr(), parameter.dtype, tuple(parameter.shape), tuple(parameter.stride())


def of_tensorflow(
    tf: Any,
    variables: Mapping[str, Any],
    call: Callable[[], Mapping[str, Any]],
    cotangents: Mapping[str, Any],
    origins: Mapping[str, Origin],
    stored: Mapping[str, StoredWeight],
) -> Gradients:
    """The gradients of the sum of the outputs of ``call`` times ``cotangents``, by the names of ``variables``."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(variables.values()))
        outputs = call()
        reached = [name for name in cotangents if name in outputs]
        roots = [outputs[name] for name in reached]
    weights = [tf.cast(cotangents[name], root.dtype) for name, root in zip(reached, roots, strict=True)]
    held = list(variables.values())
    made = tape.gradient(roots, held, output_gradients=weights) if roots else [None] * len(held)
    values: dict[str, Value] = {}
    for name, gradient in zip(variables, made, strict=True):
        origin = origins.get(name, Origin(name))
        # The gradient of a gathered table comes as rows.
        values[origin.name] = None if gradient is None else origin.restored(tf.convert_to_tensor(gradient).numpy())
    return Gradients(values, stored=stored)
