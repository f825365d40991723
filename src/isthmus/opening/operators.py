"""What a graph may hold before anything of it is run: operators that TensorFlow has, none that touches files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.framework.types_pb2 import DT_STRING
from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef
from tensorflow.python.framework import op_def_registry

from isthmus.errors import InvalidModel, UnsafeInput, Unsupported
from isthmus.types import Blocker

INITIALIZER = "__saved_model_init_op"
"""Among the signatures of a proto, but none: it fills tables."""

_PLACES = frozenset(
    {
        *("filename", "filenames", "file_pattern", "pattern", "patterns", "path", "prefix", "checkpoint_prefixes"),
        *("ckpt_path", "vocab_file", "new_vocab_file", "old_vocab_file", "logdir", "db_uri", "data_source_name"),
        *("directory", "address", "chunk_file", "shard_dir", "snapshot_path"),
    }
)
"""What operators call an input or attribute that names a file or a machine."""

_OF_TEXT = frozenset({"RegexFullMatch", "RegexReplace", "StaticRegexFullMatch", "StaticRegexReplace"})
"""Operators whose pattern is no path."""

_STREAMS = ("output_stream", "debug_urls")
_TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
_RESTORING = frozenset({"Restore", "RestoreSlice", "RestoreV2"})
_ASSETS = "saved_model_assets"
_RUN_FIRST = ("saved_model_main_op", "legacy_init_op", "table_initializer")


def refuse_unknown(graph_def: Any, name: str) -> None:
    """Raise errors.Unsupported with every operator that this TensorFlow has not: Flex, TPU and custom libraries."""
    own = {function.signature.name for function in graph_def.library.function}
    counts: dict[str, int] = {}
    for node in nodes_of(graph_def):
        if node.op not in own and op_def_registry.get(node.op) is None:
            counts[node.op] = counts.get(node.op, 0) + 1
    blockers = [
        Blocker(op, "TensorFlow itself has no such operator: it comes from a library of its own", count=count)
        for op, count in sorted(counts.items())
    ]
    if blockers:
        raise Unsupported(f"{name} uses operations that cannot be carried", blockers)


def refuse_files(graph_def: Any, name: str, wanted: Iterable[str]) -> None:
    """Raise errors.UnsafeInput with every operator that would read or write files when ``wanted`` is computed.

    ``wanted`` names nodes, tensors and functions.
    """
    outermost, inner = needed(graph_def, wanted)
    _refuse((*outermost, *inner), name)


def refuse_files_of(meta: Any, name: str, wanted: Iterable[str]) -> None:
    """The same of a MetaGraphDef: what is run when it is loaded counts as wanted.

    It may restore variables then, and fill tables from files that are its own.
    """
    first = [node for key in _RUN_FIRST if key in meta.collection_def for node in _listed(meta.collection_def[key])]
    if INITIALIZER in meta.signature_def:
        first += [info.name for info in meta.signature_def[INITIALIZER].outputs.values()]
    outermost, inner = needed(meta.graph_def, (*wanted, *first, *meta.object_graph_def.concrete_functions))
    own = {asset.tensor_info.name.partition(":")[0] for asset in _assets(meta)}
    filled = {node.name for node in outermost if node.op in _TABLES and own.intersection(node.input)}
    _refuse([node for node in outermost if node.name not in filled], name)
    _refuse([node for node in inner if node.op not in _TABLES], name)
    _refuse(_filling(meta), name)
    restoring, called = needed(meta.graph_def, [meta.saver_def.restore_op_name])
    _refuse([node for node in (*restoring, *called) if node.op not in _RESTORING], name)


def _filling(meta: Any) -> Iterator[Any]:
    """The operators that fill tables from files which are not the model's own, inside of its functions.

    A function that is handed its file by the object that it belongs to says nothing of its own.
    """
    nodes = {node.name: node for node in meta.graph_def.node}
    things = meta.object_graph_def.nodes
    for name, function in meta.object_graph_def.concrete_functions.items():
        _, inner = needed(meta.graph_def, [name])
        filling = [node for node in inner if node.op in _TABLES]
        handed = [nodes.get(things[index].constant.operation) for index in function.bound_inputs]
        words = [node for node in (*handed, *inner) if node is not None and node.op == "Const" and _is_text(node)]
        if words:
            yield from filling


def _is_text(constant: Any) -> bool:
    return bool(constant.attr["dtype"].type == DT_STRING)


def _listed(collection: Any) -> Iterator[str]:
    """Names of operations in a collection, however it lists them."""
    yield from collection.node_list.value
    yield from (text.decode("utf-8", "replace") for text in collection.bytes_list.value)


def check_assets(folder: Path, meta: Any) -> None:
    """Raise UnsafeInput for files of a SavedModel that lie outside of it, InvalidModel for those that are missing."""
    home = (folder / "assets").resolve()
    for asset in _assets(meta):
        path = home / asset.filename
        if not path.resolve().is_relative_to(home):
            raise UnsafeInput(f"{folder.name} refers to a file outside of its folder: {asset.filename!r}")
        if not path.is_file():
            raise InvalidModel(f"{folder.name} lacks its file assets/{asset.filename}")


def _assets(meta: Any) -> list[Any]:
    """The files that a MetaGraphDef says are its own; TensorFlow 1 lists them in a collection."""
    if meta.asset_file_def or _ASSETS not in meta.collection_def:
        return list(meta.asset_file_def)
    found = []
    for packed in meta.collection_def[_ASSETS].any_list.value:
        asset = AssetFileDef()
        try:
            known = packed.Unpack(asset)
        except DecodeError as error:
            raise InvalidModel(f"its list of files cannot be parsed: {error}") from error
        if known:
            found.append(asset)
    return found


def nodes_of(graph_def: Any) -> Iterator[Any]:
    """Every NodeDef of a graph and its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def needed(graph_def: Any, wanted: Iterable[str]) -> tuple[list[Any], list[Any]]:
    """What nodes, tensors and functions need: nodes of the outermost graph, and those of functions, each once."""
    nodes = {node.name: node for node in graph_def.node}
    functions = {function.signature.name: function for function in graph_def.library.function}
    names = [name.removeprefix("^").partition(":")[0] for name in wanted]
    outermost = _closure(names, nodes)
    inner: list[Any] = []
    seen: set[str] = set()
    pending = [name for name in names if name in functions]
    pending += [name for node in outermost for name in _called(node, functions)]
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            inner += functions[name].node_def
            pending += [other for node in functions[name].node_def for other in _called(node, functions)]
    return outermost, inner


def _closure(names: Iterable[str], nodes: Mapping[str, Any]) -> list[Any]:
    """Nodes and all that they depend on, control dependencies among it."""
    found: dict[str, Any] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in nodes and name not in found:
            found[name] = nodes[name]
            pending += [text.removeprefix("^").partition(":")[0] for text in nodes[name].input]
    return list(found.values())


def _called(node: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    if node.op in functions:
        yield node.op
    for attribute in node.attr.values():
        for function in (attribute.func, *attribute.list.func):
            if function.name in functions:
                yield function.name


def _refuse(nodes: Iterable[Any], name: str) -> None:
    found = sorted({node.op for node in nodes if touches_files(node)})
    if found:
        raise UnsafeInput(
            f"running {name} would reach for files outside of it, by {', '.join(found)}",
            hint="pass --trust-pickle if you know who made it",
        )


def touches_files(node: Any) -> bool:
    """Whether a NodeDef reads or writes files, or speaks to other machines."""
    definition = op_def_registry.get(node.op)
    if definition is None or node.op in _OF_TEXT:
        return False
    written = [text for key in _STREAMS if key in node.attr for text in (node.attr[key].s, *node.attr[key].list.s)]
    if any(b"://" in text for text in written):
        return True
    places = {argument.name for argument in (*definition.input_arg, *definition.attr)}
    return not places.isdisjoint(_PLACES) or node.op.endswith(("Reader", "ReaderV2"))
