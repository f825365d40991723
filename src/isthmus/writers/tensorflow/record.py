"""Record a hub as a ``tf.Module``: its lowerings are traced once into one ``tf.function``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from isthmus.hub.model import Hub
from isthmus.lower.walk import walk
from isthmus.passes.pipelines import for_tensorflow
from isthmus.writers.tensorflow.backend import TensorFlowBackend, dtype_of
from isthmus.writers.tensorflow.ops import LOWERINGS


class Recorded(tf.Module):
    """A recorded model; ``signatures["serving_default"]`` takes and returns tensors by name."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def eager(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Call the lowerings without a graph."""
        graph = self._hub.graph
        inputs = [feeds[value.name] for value in graph.inputs if value.name]
        outputs = walk(graph, LOWERINGS, TensorFlowBackend(), inputs)
        return {value.name: tensor for value, tensor in zip(graph.outputs, outputs, strict=True) if value.name}


def record(hub: Hub, *, trainable: bool = False) -> Recorded:
    """The hub as a live module. Raises errors.Unsupported with every blocker at once."""
    hub = for_tensorflow(hub, LOWERINGS, trainable=trainable)
    module = Recorded(hub)
    specs = {
        v.name: tf.TensorSpec(
            None if v.shape is None else [d if isinstance(d, int) else None for d in v.shape],
            dtype_of(v.dtype),
            name=v.name,
        )
        for v in hub.graph.inputs
    }
    function = tf.function(lambda **feeds: module.eager(feeds), autograph=False)
    concrete = function.get_concrete_function(**specs)
    module.signatures = {"serving_default": lambda **feeds: concrete(*[feeds[n] for n in sorted(feeds)])}
    return module
