"""Tracing Keras so that the graph is what the model does eagerly, and tells where its layers are."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from isthmus.opening.keras_paths import is_legacy


@contextlib.contextmanager
def recorded_callers(layers: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """While open, every layer that is called tells the scope that the graph knows it by: scope → layer.

    No layer is changed by it, and Keras computes in graphs as it does eagerly.
    """
    callers: dict[str, Any] = {}
    watched = []
    try:
        for layer in {id(layer): layer for layer in layers}.values():
            watched.append((layer, vars(layer).get("call")))
            object.__setattr__(layer, "call", _watched(layer, callers))
        with _as_if_eager():
            yield callers
    finally:
        for layer, own in watched:
            if own is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", own)


@contextlib.contextmanager
def _as_if_eager() -> Iterator[None]:
    """Keep the preprocessing layers of Keras 3 from computing otherwise in a graph than they do eagerly.

    They take every graph for the pipeline of a ``tf.data.Dataset``, where they cast whole numbers to floats first: an
    image of bytes that is resized would come out unrounded, and of another type.
    """
    used = sys.modules.get("keras.src.utils.backend_utils")
    own = getattr(used, "in_tf_graph", None)
    if used is None or own is None:  # another Keras, or none
        yield
        return
    used.in_tf_graph = lambda: False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        used.in_tf_graph = own  # type: ignore[attr-defined]


def _watched(layer: Any, callers: dict[str, Any]) -> Callable[..., Any]:
    call = layer.call

    def entered(*args: Any, **kwargs: Any) -> Any:
        return _as_its_caller(call)(*args, **kwargs)

    inner = call if is_legacy(layer) else entered

    @tf.autograph.experimental.do_not_convert
    def note() -> None:
        scope = "" if tf.executing_eagerly() else tf.compat.v1.get_default_graph().get_name_scope()
        if scope:
            callers.setdefault(scope, layer)

    @functools.wraps(call)
    def watched(*args: Any, **kwargs: Any) -> Any:  # plain enough for AutoGraph, which converts what it calls
        note()
        return inner(*args, **kwargs)

    return watched


def _as_its_caller(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call`` by way of AutoGraph where its caller is: Keras 3 stands between the two, and tf_keras does this."""
    autograph = tf.__internal__.autograph
    return autograph.tf_convert(call, autograph.control_status_ctx())
