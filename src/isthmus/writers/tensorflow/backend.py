"""What the walk must know of TensorFlow: constants, parameters, static values, name scopes, short errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from isthmus.hub.provenance import where
from isthmus.lower.walk import Refusal
from isthmus.writers.tensorflow.narrow import from_bits, is_narrow


class Weights(Protocol):
    """Where initializers come from: graph constants, captured tensors, placeholders or variables."""

    def begin(self) -> None:
        """A walk starts, in the graph that is now the default one."""

    def constant(self, value: ir.Value) -> tf.Tensor:
        """The tensor of an initializer."""

    def parameter(self, value: ir.Value) -> tf.Tensor | tf.Variable:
        """The variable of an initializer where it has one, else its tensor."""


class Constants:
    """Every initializer is a constant of the graph under construction, or an eager tensor where there is none."""

    def begin(self) -> None: ...

    def constant(self, value: ir.Value) -> tf.Tensor:
        assert value.const_value is not None
        return tensor_of(value.const_value, name=scope_name(value.name or "constant"))

    def parameter(self, value: ir.Value) -> tf.Tensor:
        return self.constant(value)


class TensorFlowBackend:
    """Lowers into the surrounding ``tf.function`` trace, or eagerly where there is none."""

    failures: tuple[type[Exception], ...] = (ValueError, TypeError, tf.errors.OpError)

    def __init__(self, weights: Weights | None = None) -> None:
        self._weights = weights or Constants()
        self._weights.begin()

    def constant(self, value: ir.Value) -> tf.Tensor:
        _require_type(value)
        return self._weights.constant(value)

    def parameter(self, value: ir.Value) -> tf.Tensor | tf.Variable:
        _require_type(value)
        return self._weights.parameter(value)

    def known(self, tensor: Any) -> np.ndarray | None:
        return tf.get_static_value(tensor) if tf.is_tensor(tensor) else None

    def rank(self, tensor: Any) -> int | None:
        return tensor.shape.rank if tf.is_tensor(tensor) else None

    @contextlib.contextmanager
    def _short_errors(self) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            raise ValueError(essence(str(error))) from error

    @contextlib.contextmanager
    def _scope(self, name: str) -> Iterator[None]:
        with self._short_errors(), tf.name_scope(name):
            yield

    def scope(self, node: ir.Node) -> AbstractContextManager[Any]:
        return self._scope(_scope_of(node))


def tensor_of(tensor: ir.TensorProtocol, name: str | None = None) -> tf.Tensor:
    """An ONNX tensor as a TensorFlow constant of the same element type. Raises TypeError where there is none."""
    array = tensor.numpy()
    if tensor.dtype == ir.DataType.STRING:
        return tf.constant(array.astype(object), dtype=tf.string, name=name)
    dtype = dtype_of(tensor.dtype)
    if array.size == 1 and is_narrow(dtype):  # such an element tf.constant would write by its type
        return from_bits(tf.constant(array.view(np.uint8)), dtype)
    return tf.constant(array, dtype=dtype, name=name)


def dtype_of(dtype: ir.DataType) -> tf.DType:
    """The TensorFlow type of an ONNX element type. Raises TypeError where TensorFlow has none."""
    if dtype == ir.DataType.STRING:
        return tf.string
    try:
        return tf.dtypes.as_dtype(dtype.numpy())
    except TypeError as error:
        raise TypeError(f"TensorFlow has no {dtype.name.lower()} tensors") from error


def _require_type(value: ir.Value) -> None:
    assert value.const_value is not None
    try:
        dtype_of(value.const_value.dtype)
    except TypeError as error:
        raise Refusal(str(error), "") from error


def module_scope(module: str) -> str:
    """The scope of a module's operations: ``layers.0.conv`` is ``layers/0/conv``."""
    return scope_name(module.replace(".", "/"))


def _scope_of(node: ir.Node) -> str:
    """The node's name within its module's scope, counted from the root; where it is not there by itself already."""
    own, module = scope_name(node.name or node.op_type), where(node).module
    scope = module_scope(module) if module else ""
    return f"{scope}/{own}/" if scope and not own.startswith(f"{scope}/") else own


def scope_name(name: str) -> str:
    """``name`` in the characters that TensorFlow allows in a scope or an operation's name."""
    cleaned = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name).strip("/")
    return cleaned if re.match(r"[A-Za-z0-9.]", cleaned) else f"n{cleaned}"


_NOISE = re.compile(
    r"\{\{[^}]*\}\}"  # {{node …}}, {{function_node …}}
    r"|\[Op:[^\]]*\]|\bname: *\S*$"  # what eager execution appends
    r"|in user code:|File \"[^\"]*\", line \d+, in .*"  # tracebacks inside of a message
)
_NODE = re.compile(r"for '\s*= *(\w+)\[.*\]\(.*\)' with input shapes: (.*?)(?: and with .*)?\.?$")
_ABSOLUTE = re.compile(r"(?:/[\w.@+-]+){2,}/|[A-Za-z]:\\(?:[^\s\\]+\\)+")


def essence(message: str, limit: int = 240) -> str:
    """The first telling line of one of TensorFlow's messages, without tracebacks and absolute folders."""
    lines = (_NOISE.sub("", line).strip(" :;,\t") for line in message.splitlines())
    line = next((line for line in lines if len(line) > 2), "no reason given")
    line = " ".join(_NODE.sub(r"for \1 of shapes \2", _ABSOLUTE.sub("", line)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
