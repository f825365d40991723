"""What TensorFlow 1 saved: frozen graphs, meta graphs with checkpoints, SavedModels. A graph, and what it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from isthmus.errors import InvalidModel, UsageError
from isthmus.opening.checkpoints import Held
from isthmus.opening.function import Input, Table
from isthmus.opening.names import distinct, no_signature, signature_key
from isthmus.opening.operators import INITIALIZER, check_assets, refuse_files, refuse_files_of, refuse_unknown
from isthmus.opening.quiet import quiet
from isthmus.opening.shapes import inputs_of

_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
_TABLES = ("HashTableV2", "HashTable", "MutableHashTableV2", "MutableHashTable")
_NO_RESULTS = frozenset({"Const", "Placeholder", "NoOp", "Assert", "PlaceholderWithDefault", "Print", *_VARIABLES})


Session = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Stored(Held):
    """A variable of a checkpoint: read from the file when it is wanted."""

    trainable: bool
    is_reference: bool


@dataclass(frozen=True)
class OpenedGraph:
    """A graph of TensorFlow 1: its ports by name, and its variables by the names of the operations that hold them.

    ``session`` opens one in which the variables and tables have their values. ``signatures`` are what it may be
    opened by, ``producer`` is what wrote it, where the file tells.
    """

    name: str
    kind: str
    graph: tf.Graph
    inputs: tuple[Input, ...]
    input_tensors: tuple[tf.Tensor, ...]
    outputs: tuple[tuple[str, tf.Tensor], ...]
    variables: Mapping[str, Stored]
    session: Session = field(repr=False)
    signatures: tuple[str, ...] = ()
    producer: str = ""

    def operations(self) -> list[tf.Operation]:
        """What the outputs need."""
        return _ancestors(tensor for _, tensor in self.outputs)

    def tables(self) -> dict[str, Table]:
        """The lookup tables that the outputs need and that are filled, by the operations that hold them."""
        nodes = [node for node in self.operations() if node.type in _TABLES]
        if not nodes:
            return {}
        with self.session() as session:
            found = {node.name: _entries(session, node.name) for node in nodes}
        return {name: table for name, table in found.items() if table is not None}


def _entries(session: Any, name: str) -> Table | None:
    """What a table holds; None where nothing has filled it."""
    node = session.graph.get_operation_by_name(name)
    with session.graph.as_default():
        exported = tf.raw_ops.LookupTableExportV2(
            table_handle=node.outputs[0], Tkeys=node.get_attr("key_dtype"), Tvalues=node.get_attr("value_dtype")
        )
    try:
        return Table(*session.run(exported))
    except (tf.errors.AbortedError, tf.errors.FailedPreconditionError):
        return None


@dataclass(frozen=True)
class Asked:
    """What the user says of a graph: shapes, the signature, whether it may touch files."""

    dynamic_shapes: Any = None
    signature: str | None = None
    trust: bool = False


def open_frozen(path: Path, asked: Asked) -> OpenedGraph:
    """A GraphDef in a file: its Placeholders are the inputs, what nothing reads the outputs, unless the signature,
    as ``x:0,y:0->z:0``, names them.

    Raises errors.InvalidModel where it is none, errors.UsageError for names that it has not.
    """
    proto = tf.compat.v1.GraphDef()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InvalidModel(f"{path.name} is no graph of TensorFlow, or cut off: {error}") from error
    if not proto.node:
        raise InvalidModel(f"{path.name} holds no graph", hint="a SavedModel is opened by its folder")
    refuse_unknown(proto, path.name)
    graph = _imported(proto, path.name)
    inputs, outputs = _ports(graph, asked.signature, path.name)
    if not asked.trust:
        refuse_files(proto, path.name, [tensor.name for _, tensor in outputs])

    @contextlib.contextmanager
    def session() -> Iterator[Any]:
        with tf.compat.v1.Session(graph=_imported(proto, path.name)) as opened:
            yield opened

    return _opened(path.name, "tensorflow.GraphDef", graph, inputs, outputs, {}, session, asked.dynamic_shapes)


def open_meta_graph(path: Path, asked: Asked) -> OpenedGraph:
    """A ``.meta`` file and the checkpoint beside it. Ports as in :func:`open_frozen`, or those of its signature."""
    meta = tf.compat.v1.MetaGraphDef()
    try:
        meta.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InvalidModel(f"{path.name} is no meta graph of TensorFlow, or cut off: {error}") from error
    if not meta.graph_def.node:
        raise InvalidModel(f"{path.name} holds no graph")
    prefix = path.with_suffix("")

    @contextlib.contextmanager
    def session() -> Iterator[Any]:
        with tf.compat.v1.Session(graph=_imported(meta.graph_def, path.name)) as opened, quiet():
            with opened.graph.as_default():
                if meta.HasField("saver_def"):
                    tf.compat.v1.train.Saver(saver_def=meta.saver_def).restore(opened, str(prefix))
            for name in meta.collection_def["table_initializer"].node_list.value:
                opened.run(opened.graph.get_operation_by_name(name))
            yield opened

    return _of_meta(meta, prefix, path.name, "tensorflow.MetaGraphDef", asked, session)


def open_v1_saved_model(folder: Path, proto: Any, asked: Asked) -> OpenedGraph:
    """A SavedModel that TensorFlow 1 wrote, by one of its signatures.

    Raises errors.InvalidModel where its variables are missing, errors.UsageError for a signature that it lacks.
    """
    meta = tagged(proto, folder.name)
    tags = list(meta.meta_info_def.tags)
    check_assets(folder, meta)

    @contextlib.contextmanager
    def session() -> Iterator[Any]:
        with tf.compat.v1.Session(graph=tf.Graph()) as opened, quiet():
            tf.compat.v1.saved_model.loader.load(opened, tags, str(folder))
            yield opened

    return _of_meta(meta, folder / "variables" / "variables", folder.name, "saved_model", asked, session)


def _of_meta(meta: Any, prefix: Path, name: str, kind: str, asked: Asked, session: Session) -> OpenedGraph:
    refuse_unknown(meta.graph_def, name)
    graph = _imported(meta.graph_def, name)
    signatures = [key for key in sorted(meta.signature_def) if key != INITIALIZER]
    key = signature_key(signatures, asked.signature)
    if key in signatures:
        chosen = meta.signature_def[key]
        inputs, outputs = _tensors(graph, chosen.inputs, name), _tensors(graph, chosen.outputs, name)
    elif signatures and "->" not in key:
        raise no_signature(name, key, signatures)
    else:
        inputs, outputs = _ports(graph, asked.signature, name)
    if not asked.trust:
        refuse_files_of(meta, name, [tensor.name for _, tensor in outputs])
    variables = _variables(meta, graph, [tensor for _, tensor in outputs], prefix, name)
    opened = _opened(name, kind, graph, inputs, outputs, variables, session, asked.dynamic_shapes)
    version = meta.meta_info_def.tensorflow_version
    return replace(opened, signatures=tuple(signatures), producer=f"tensorflow {version}" if version else "")


def _opened(
    name: str,
    kind: str,
    graph: tf.Graph,
    inputs: Sequence[tuple[str, tf.Tensor]],
    outputs: Sequence[tuple[str, tf.Tensor]],
    variables: Mapping[str, Stored],
    session: Session,
    dynamic_shapes: Any,
) -> OpenedGraph:
    specs = [(key, tf.TensorSpec(tensor.shape, tensor.dtype, key.replace(":", "_"))) for key, tensor in inputs]
    return OpenedGraph(
        name=name,
        kind=kind,
        graph=graph,
        inputs=inputs_of(specs, dynamic_shapes),
        input_tensors=tuple(tensor for _, tensor in inputs),
        outputs=tuple(outputs),
        variables=variables,
        session=session,
    )


def _imported(graph_def: Any, name: str) -> tf.Graph:
    graph = tf.Graph()
    try:
        with graph.as_default(), quiet():
            tf.import_graph_def(graph_def, name="")
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InvalidModel(f"TensorFlow cannot import the graph of {name}: {str(error).splitlines()[0]}") from error
    return graph


def _ports(
    graph: tf.Graph, signature: str | None, name: str
) -> tuple[list[tuple[str, tf.Tensor]], list[tuple[str, tf.Tensor]]]:
    """Inputs and outputs as ``signature`` names them, or as the graph shows them."""
    if signature:
        first, arrow, second = signature.partition("->")
        if not arrow:
            raise UsageError(f"{name} has no signature {signature!r}", hint="write --signature 'x:0,y:0->z:0'")
        return _asked(graph, first, name), _asked(graph, second, name)
    places = [node.outputs[0] for node in graph.get_operations() if node.type == "Placeholder"]
    inputs = [tensor for tensor in places if tensor.consumers()] or places
    sinks = _sinks(graph, inputs)
    if not sinks:
        raise UsageError(f"nothing tells the outputs of {name}", hint="name them: --signature 'x:0->y:0'")
    return _labelled(inputs), _labelled(sinks)


def _sinks(graph: tf.Graph, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What nothing reads of all that the inputs reach: neither inside of a loop nor the mere sign of a branch.

    What leaves a loop counts only where there is nothing else: most of it is counters.
    """
    nodes = graph.get_operations()
    fed = _dependants(inputs) if inputs else set(nodes)
    inside = _dependants([node.outputs[0] for node in nodes if node.type == "Enter"], until="Exit")
    found = [
        tensor
        for node in nodes
        if node in fed and node not in inside and node.type not in (*_NO_RESULTS, "Switch", "_SwitchN")
        if not any(t.consumers() for t in node.outputs)
        if not (node.type == "Identity" and node.inputs[0].op.type in ("Switch", "_SwitchN"))
        for tensor in node.outputs
        if tensor.dtype not in (tf.resource, tf.variant)
    ]
    return [tensor for tensor in found if tensor.op.type != "Exit"] or found


def _dependants(tensors: Iterable[tf.Tensor], until: str = "") -> set[tf.Operation]:
    """The operations that the tensors reach, up to those of the type ``until``."""
    found: set[tf.Operation] = {tensor.op for tensor in tensors}
    pending = list(found)
    while pending:
        for tensor in pending.pop().outputs:
            for node in tensor.consumers():
                if node not in found and node.type != until:
                    found.add(node)
                    pending.append(node)
    return found


def _asked(graph: tf.Graph, text: str, name: str) -> list[tuple[str, tf.Tensor]]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    return _labelled([_tensor(graph, part if ":" in part else f"{part}:0", name) for part in names])


def _tensors(graph: tf.Graph, infos: Mapping[str, Any], name: str) -> list[tuple[str, tf.Tensor]]:
    return [(key, _tensor(graph, info.name, name)) for key, info in sorted(infos.items())]


def _tensor(graph: tf.Graph, text: str, name: str) -> tf.Tensor:
    try:
        return graph.get_tensor_by_name(text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{name} has no tensor {text!r}", hint="isthmus inspect shows what it has") from error


def _labelled(tensors: Sequence[tf.Tensor]) -> list[tuple[str, tf.Tensor]]:
    """Tensors by name: that of their operation, where it has one output."""
    names = [tensor.name.removesuffix(":0") for tensor in tensors]
    return list(zip(distinct(names), tensors, strict=True))


def _variables(
    meta: Any, graph: tf.Graph, outputs: Iterable[tf.Tensor], prefix: Path, name: str
) -> dict[str, Stored]:
    """The variables that the outputs need, in the checkpoint. Raises errors.InvalidModel where some are missing."""
    nodes = [node for node in _ancestors(outputs) if node.type in _VARIABLES]
    if not nodes:
        return {}
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        known = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InvalidModel(
            f"{name} comes without its variables: {prefix.name} cannot be read",
            hint="keep .index and .data beside it",
        ) from error
    trained = _trained(meta)
    keys = {node.name: _key(node, known) for node in nodes}
    if missing := [node for node, key in keys.items() if key is None]:
        raise InvalidModel(f"{name}: the checkpoint lacks {len(missing)} variables: {', '.join(missing[:5])}")
    return {
        node.name: Stored(
            reader,
            str(keys[node.name]),
            not trained.isdisjoint((node.name, keys[node.name])),
            node.type != "VarHandleOp",
        )
        for node in nodes
    }


def _key(node: tf.Operation, known: Mapping[str, Any]) -> str | None:
    shared = node.get_attr("shared_name").decode()
    return next((key for key in (shared, node.name) if key in known), None)


def _trained(meta: Any) -> set[str]:
    from tensorflow.core.framework import variable_pb2

    held = meta.collection_def.get("trainable_variables")
    if held is None:
        return set()
    protos = [variable_pb2.VariableDef.FromString(value) for value in held.bytes_list.value]
    return {proto.variable_name.removesuffix(":0") for proto in protos}


def _ancestors(tensors: Iterable[tf.Tensor]) -> list[tf.Operation]:
    found: dict[tf.Operation, None] = {}
    pending = [tensor.op for tensor in tensors]
    while pending:
        node = pending.pop()
        if node not in found:
            found[node] = None
            pending += [tensor.op for tensor in node.inputs]
    return sorted(found, key=lambda node: node.name)


def tagged(proto: Any, name: str) -> Any:
    """The graph to serve: the only one, or the one so tagged."""
    if len(proto.meta_graphs) == 1:
        return proto.meta_graphs[0]
    for meta in proto.meta_graphs:
        if list(meta.meta_info_def.tags) == ["serve"]:
            return meta
    tags = [", ".join(meta.meta_info_def.tags) for meta in proto.meta_graphs]
    raise UsageError(f"{name} holds several graphs, none of them tagged 'serve' alone: {'; '.join(tags)}")
