"""Attributes of TensorFlow nodes as plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from isthmus.types import Dim


@dataclass(frozen=True)
class FunctionName:
    """An attribute that names a function of the graph's library."""

    name: str


def attribute_value(proto: Any) -> Any:
    """An AttrValue as Python: str, int, float, bool, ``tf.DType``, an ndarray, a FunctionName, or a tuple of these.

    A shape is a tuple with None for free dimensions, or None where it has no rank.
    """
    kind = proto.WhichOneof("value")
    if kind is None:
        return None
    if kind == "list":
        filled = next((values for _, values in proto.list.ListFields()), ())
        name = next((field.name for field, _ in proto.list.ListFields()), "")
        return tuple(_plain(name, value) for value in filled)
    return _plain(kind, getattr(proto, kind))


def _plain(kind: str, value: Any) -> Any:
    match kind:
        case "s":
            return value.decode("utf-8", "surrogateescape")
        case "type":
            return tf.as_dtype(value)
        case "shape":
            return shape_of(value)
        case "tensor":
            return tf.make_ndarray(value)
        case "func":
            return FunctionName(value.name)
    return value


def shape_of(proto: Any) -> tuple[Dim, ...] | None:
    """A TensorShapeProto: ints, None for free dimensions; None where even the rank is unknown."""
    if proto.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)
