"""A signature of a live module: tensors by the source's names in, tensors by the source's names out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.errors import UsageError
from isthmus.hub.schema import ML
from isthmus.types import Blocker, Note, Where
from isthmus.writers.tensorflow.backend import dtype_of


@dataclass(frozen=True)
class Call:
    """Callable by name or in the source's order. ``function`` takes its tensors as ``order`` says.

    ``structured_input_signature`` and ``structured_outputs`` are those of a signature that TensorFlow loaded.
    """

    function: Any
    inputs: Mapping[str, tf.TensorSpec]
    order: Sequence[str]

    @property
    def structured_input_signature(self) -> tuple[tuple[()], dict[str, tf.TensorSpec]]:
        return (), dict(self.inputs)

    @property
    def structured_outputs(self) -> dict[str, tf.TensorSpec]:
        outputs = self.function.structured_outputs
        return {name: tf.TensorSpec(t.shape, t.dtype, name=name) for name, t in outputs.items()}

    def __call__(self, /, *tensors: Any, **feeds: Any) -> dict[str, tf.Tensor]:
        """Raises errors.UsageError for inputs that are missing, unknown, given twice or of another type."""
        given = self._named(tensors, feeds)
        made = {name: _tensor(name, given[name], spec) for name, spec in self.inputs.items()}
        return dict(self.function(*[made[name] for name in self.order]))

    def _named(self, tensors: Sequence[Any], feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        names = list(self.inputs)
        if len(tensors) > len(names):
            raise UsageError(f"{len(tensors)} inputs given, and this model takes {len(names)}")
        positional = dict(zip(names, tensors, strict=False))
        if twice := positional.keys() & feeds.keys():
            raise UsageError(f"inputs given twice: {sorted(twice)}")
        given = {**positional, **feeds}
        if given.keys() != set(names):
            missing, unknown = sorted(set(names) - given.keys()), sorted(given.keys() - set(names))
            raise UsageError(f"this model's inputs are {names}; missing {missing}, unknown {unknown}")
        return given


def _tensor(name: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    """``value`` as a tensor. Plain numbers take the type of the input; what has a type of its own must have that."""
    typed = tf.is_tensor(value) or isinstance(value, (np.ndarray, np.generic))
    tensor = tf.convert_to_tensor(value, None if typed else spec.dtype)
    if tensor.dtype != spec.dtype:
        raise UsageError(f"input {name!r} is {tensor.dtype.name}, and this model takes {spec.dtype.name}")
    return tensor


def spec_of(value: ir.Value) -> tf.TensorSpec:
    """What TensorFlow must know of a graph's input; free dimensions are None."""
    assert value.dtype is not None
    shape = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    return tf.TensorSpec(shape, dtype_of(value.dtype), name=value.name)


def signature_blockers(graph: ir.Graph) -> list[Blocker]:
    """The inputs and outputs that no signature of TensorFlow can carry."""
    named = [("input", v) for v in graph.inputs] + [("output", v) for v in graph.outputs]
    return [Blocker(kind, reason, where=Where(node=v.name or "")) for kind, v in named for reason in _reasons(v)]


def signature_notes(graph: ir.Graph) -> tuple[Note, ...]:
    """What a caller must know of outputs that TensorFlow carries in another form."""
    text = "{!r} is a list of maps in ONNX: TensorFlow gives their values as a matrix, a column a label in order"
    return tuple(Note("output", text.format(v.name)) for v in graph.outputs if _is_score_table(v))


def _reasons(value: ir.Value) -> list[str]:
    if _is_score_table(value):
        return []
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        held = type(value.type).__name__.removesuffix("Type").lower()
        return [f"{value.name!r} is a {held}, and a TensorFlow signature carries tensors only"]
    if value.dtype is None:
        return [f"the type of {value.name!r} is not known"]
    try:
        dtype_of(value.dtype)
    except TypeError as error:
        return [f"{value.name!r}: {error}"]
    return []


def _is_score_table(value: ir.Value) -> bool:
    """Whether it is a list of maps in ONNX that TensorFlow gets as a matrix: one column a label (see ``ops.ml``)."""
    node = value.producer()
    return node is not None and (node.domain, node.op_type) == (ML, "ZipMap")
