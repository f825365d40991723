"""Whatever TensorFlow can save, and what is alive in this process, opened as a ``Program``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from isthmus.errors import Unsupported, UsageError
from isthmus.opening.function import Opened, Variable
from isthmus.opening.graphs import OpenedGraph
from isthmus.opening.source import open_source
from isthmus.readers.tensorflow.frames import control_effects
from isthmus.readers.tensorflow.modules import learned_scopes
from isthmus.readers.tensorflow.program import Port, Program
from isthmus.types import Blocker, Options, Where


def open_program(source: Any, inputs: Any, dynamic_shapes: Any, options: Options) -> Program:
    """Open ``source``. Raises what :func:`isthmus.readers.tensorflow.read_tensorflow` says."""
    opened = open_source(
        str(source) if isinstance(source, Path) else source,
        inputs,
        dynamic_shapes,
        signature=options.signature,
        custom=options.custom_objects,
        trust=options.trust_pickle,
        lazily=True,
    )
    return _of_graph(opened) if isinstance(opened, OpenedGraph) else _of_function(opened)


def _of_function(opened: Opened) -> Program:
    """A function as a program: its graph, and what its captured placeholders stand for."""
    concrete, scopes = opened.traced()
    graph = concrete.graph
    weights = opened.weights(concrete)
    captured = dict(zip((t.name for t in graph.internal_captures), concrete.captured_inputs, strict=True))
    captures = {name: weights.get(id(value), value) for name, value in captured.items()}
    free = [tensor for tensor in concrete.inputs if tensor.name not in captures]
    places = opened.places or range(len(opened.inputs))
    outputs = opened.outputs(_returned(concrete))
    if not outputs:
        raise UsageError(f"{opened.name} returns nothing")
    learned = learned_scopes(graph, {k: v for k, v in captures.items() if isinstance(v, Variable)})
    return Program(
        graph=graph,
        inputs=tuple(Port(i.name, free[place], i.dims) for i, place in zip(opened.inputs, places, strict=True)),
        outputs=tuple(Port(name, tensor) for name, tensor in outputs),
        captures=captures,
        name=opened.name,
        kind=opened.kind,
        road=opened.road,
        notes=opened.notes,
        modules=scopes or opened.scopes or learned,
        classes=opened.classes(),
        constants=opened.constants,
        state=opened.state,
        keeps=(concrete, opened),
    )


def _returned(concrete: Any) -> Any:
    """What a function returns, its leaves the tensors of its graph."""
    tensors: Iterator[tf.Tensor] = iter(concrete.outputs)
    return tf.nest.map_structure(lambda leaf: None if leaf is None else next(tensors), concrete.structured_outputs)


def _of_graph(opened: OpenedGraph) -> Program:
    """A graph of TensorFlow 1 as a program: the operations that hold variables and tables stand for these."""
    captures: dict[str, Any] = {
        f"{node}:0": Variable(node, stored.trainable, stored, is_reference=stored.is_reference)
        for node, stored in opened.variables.items()
    }
    captures |= {f"{node}:0": table for node, table in opened.tables().items()}
    if changing := control_effects(tensor for _, tensor in opened.outputs):
        reason = "it changes a variable before the outputs are computed, and the model keeps no state"
        blockers = [Blocker(node.type, reason, where=Where(node=node.name, op=node.type)) for node in changing]
        raise Unsupported(f"{opened.name} uses operations that cannot be carried", blockers)
    ports = zip(opened.inputs, opened.input_tensors, strict=True)
    return Program(
        graph=opened.graph,
        inputs=tuple(Port(i.name, tensor, i.dims) for i, tensor in ports),
        outputs=tuple(Port(name, tensor) for name, tensor in opened.outputs),
        captures=captures,
        name=opened.name,
        kind=opened.kind,
        road="tf.Graph",
        keeps=(opened,),
    )
