"""What a TensorFlow or Keras source is, told without running it; a SavedModel even without loading it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from isthmus.opening.function import Opened
from isthmus.opening.graphs import OpenedGraph, tagged
from isthmus.opening.names import dims_of, no_signature, ranked, signature_key
from isthmus.opening.operators import INITIALIZER, needed
from isthmus.opening.record import record_of
from isthmus.opening.saved_models import functions_of_proto, proto_of
from isthmus.opening.source import open_source
from isthmus.types import Dim, Options, Signature, TensorSpec

_BINDING = frozenset({"Placeholder", "VarHandleOp", "NoOp", "StatefulPartitionedCall", "PartitionedCall"})
"""Operations of a SavedModel's outermost graph that bind a signature to its function, and compute nothing."""

_LEAST_TABLE = 64
"""Constants of integers and words count among the parameters from this size on: smaller ones are shapes and axes."""

Weight = tuple[tf.DType, tuple[int, ...]]


@dataclass(frozen=True)
class Description:
    """``kind`` as in ``Opened``; ``ops`` names operators or layers, one for each; ``producer`` wrote the file.

    ``signatures`` are what ``--signature`` may choose, functions without a signature among them.
    """

    kind: str
    signature: Signature
    ops: tuple[str, ...]
    weights: tuple[Weight, ...]
    producer: str
    signatures: tuple[str, ...] = ()


def describe(source: Any, options: Options) -> Description:
    """Describe a path, or a live object. Raises what opening it raises."""
    if isinstance(source, Path) and source.is_dir():
        found = _saved_model(source, options.signature)
        if found is not None:
            return found
    opened = open_source(
        source, signature=options.signature, custom=options.custom_objects, trust=options.trust_pickle
    )
    return _graph(opened) if isinstance(opened, OpenedGraph) else _function(opened)


def _graph(opened: OpenedGraph) -> Description:
    nodes = opened.operations()
    weights = [(stored.dtype, tuple(stored.shape)) for stored in opened.variables.values()]
    return Description(
        kind=opened.kind,
        signature=_signature(opened, opened.outputs),
        ops=tuple(node.type for node in nodes if node.type != "Placeholder"),
        weights=(*weights, *_constants(node.node_def for node in nodes)),
        producer=opened.producer,
        signatures=opened.signatures,
    )


def _function(opened: Opened) -> Description:
    layers = [] if opened.layers is None else opened.layers()
    concrete = None if layers else opened.traced()[0]
    nodes = [] if concrete is None else list(_nodes_of_graph(concrete.graph))
    returned = opened.returned if concrete is None else concrete.structured_outputs
    held = [(variable.value.dtype, tuple(variable.value.shape)) for variable in opened.weights(concrete).values()]
    return Description(
        kind=opened.kind,
        signature=_signature(opened, () if returned is None else opened.outputs(returned)),
        ops=(*layers, *(node.op for node in nodes if node.op not in ("Placeholder", "NoOp"))),
        weights=(*held, *_constants(nodes)),
        producer=opened.producer or f"tensorflow {tf.__version__}",
    )


def _nodes_of_graph(graph: Any) -> Iterator[Any]:
    proto = graph.as_graph_def()
    yield from proto.node
    for function in proto.library.function:
        yield from function.node_def


def _signature(opened: Opened | OpenedGraph, outputs: Iterable[tuple[str, Any]]) -> Signature:
    return Signature(
        tuple(TensorSpec(i.name, dtype_name(i.spec.dtype), i.dims) for i in opened.inputs),
        tuple(TensorSpec(name, dtype_name(leaf.dtype), _static(leaf.shape)) for name, leaf in outputs),
    )


def _static(shape: tf.TensorShape) -> tuple[Dim, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def dtype_name(dtype: Any) -> str:
    return str(tf.as_dtype(dtype).base_dtype.name)


def _constants(nodes: Iterable[Any]) -> Iterator[Weight]:
    """The constants that hold weights."""
    for node in nodes:
        if node.op == "Const":
            held = node.attr["value"].tensor
            dtype, shape = tf.as_dtype(held.dtype), tuple(dim.size for dim in held.tensor_shape.dim)
            if dtype.is_floating or dtype.is_complex or math.prod(shape) >= _LEAST_TABLE:
                yield dtype, shape


def _saved_model(folder: Path, asked: str | None) -> Description | None:
    """A SavedModel of TensorFlow 2 by one of its signatures; None where it is none, or a function is asked for.

    Raises errors.UsageError for a signature that it has not.
    """
    proto = proto_of(folder)
    meta = tagged(proto, folder.name)
    if not meta.object_graph_def.nodes:
        return None
    signatures = [key for key in sorted(meta.signature_def) if key != INITIALIZER]
    functions = [name for name in functions_of_proto(meta) if name not in signatures]
    key = signature_key(signatures, asked)
    if key in functions:
        return None
    if key and key not in signatures:
        raise no_signature(folder.name, key, signatures, functions)
    if not key:
        return _undecided(meta, (*signatures, *functions))
    chosen = meta.signature_def[key]
    outermost, inner = needed(meta.graph_def, [info.name for info in chosen.outputs.values()])
    variables = [
        (tf.as_dtype(node.attr["dtype"].type), tuple(d.size for d in node.attr["shape"].shape.dim))
        for node in outermost
        if node.op == "VarHandleOp"
    ]
    computing = [node for node in (*(n for n in outermost if n.op not in _BINDING), *inner) if node.op != "NoOp"]
    return Description(
        kind="saved_model",
        signature=_chosen(folder, chosen),
        ops=tuple(node.op for node in computing),
        weights=(*variables, *_constants(computing)),
        producer=f"tensorflow {meta.meta_info_def.tensorflow_version}",
        signatures=(*signatures, *functions),
    )


def _undecided(meta: Any, choices: tuple[str, ...]) -> Description:
    """A SavedModel whose signature is to be chosen: all that its functions read, and their operations."""
    things = meta.object_graph_def.nodes
    functions = meta.object_graph_def.concrete_functions.values()
    read = {index for function in functions for index in function.bound_inputs}
    held = [things[index].variable for index in sorted(read) if things[index].WhichOneof("kind") == "variable"]
    weights = [(tf.as_dtype(v.dtype), tuple(dim.size for dim in v.shape.dim)) for v in held]
    own = [f for f in meta.graph_def.library.function if "__inference__traced_" not in f.signature.name]
    nodes = [node for function in own for node in function.node_def if node.op != "NoOp"]
    return Description(
        kind="saved_model",
        signature=Signature((), ()),
        ops=tuple(node.op for node in nodes),
        weights=(*weights, *_constants(nodes)),
        producer=f"tensorflow {meta.meta_info_def.tensorflow_version}",
        signatures=choices,
    )


def _chosen(folder: Path, chosen: Any) -> Signature:
    """A signature's inputs and outputs under the names and in the order that opening it gives them."""
    record = record_of(folder)
    words = {word: own for own, word in record.keywords.items() if word in chosen.inputs}
    taken = {words.get(word, word): info for word, info in chosen.inputs.items()}
    shapes = {name: _declared(info) for name, info in taken.items()}
    images = [name for name, shape in shapes.items() if shape is not None and len(shape) in (4, 5)]
    return Signature(
        tuple(
            TensorSpec(name, dtype_name(taken[name].dtype), dims_of(name, shapes[name], alone=images == [name]))
            for name in ranked(taken, record.inputs)
        ),
        tuple(
            TensorSpec(name, dtype_name(chosen.outputs[name].dtype), _declared(chosen.outputs[name]))
            for name in ranked(chosen.outputs, record.outputs)
        ),
    )


def _declared(info: Any) -> tuple[int | None, ...] | None:
    shape = info.tensor_shape
    return None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
