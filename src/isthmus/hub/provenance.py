"""Where a node comes from: module path, class and source line, kept in its metadata."""

from __future__ import annotations

import ast
import re
from collections.abc import MutableMapping
from pathlib import PurePosixPath, PureWindowsPath

import onnx_ir as ir

from isthmus.hub.model import ROLE, op_name
from isthmus.types import Where

MODULE = "isthmus.module"
CLASS = "isthmus.class"
SOURCE = "isthmus.source"

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
_TRACE = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_ROOTS = r"(?:home|root|Users|tmp|work|usr|opt|var|mnt|data|private|content|workspace)"
_PATHLIKE = re.compile(
    rf"(?:/{_ROOTS}/|[A-Za-z]:\\)(?:[^\s\"':/\\]+[/\\])*"  # a folder that every machine has
    r"|/(?:[^\s\"':/]+/)+(?=[\w.-]+\.[A-Za-z]\w{0,7}\b)"  # any folder before a file's name
)
_LIBRARY = re.compile(r"(?:^|[/\\](?:site|dist)-packages[/\\])torch[/\\]")
_NO_MODULE = "_empty_nn_module_stack"
"""How torch begins the scope of nodes that its own passes made."""

_NAMESPACE = "namespace"
"""Torch's third spelling of the scopes, beside the two above."""


def where(node: ir.Node) -> Where:
    """The place of ``node`` in its source, from our own stamps, torch's, or the path in its name."""
    props = node.metadata_props
    module = props.get(MODULE) or _torch_module(props) or _module_of_name(node)
    source = props.get(SOURCE) or _torch_source(props)
    return Where(node=node.name or "", op=op_name(node), module=module, source_line=source)


def class_of(node: ir.Node) -> str:
    """The qualified class of the module that ``node`` was traced in, or an empty string."""
    return node.metadata_props.get(CLASS) or _torch_class(node.metadata_props)


def stamp(node: ir.Node, *, module: str = "", cls: str = "", source: str = "") -> None:
    """Write what is known; what is empty leaves the node as it was. Absolute paths never enter."""
    for key, value in ((MODULE, module), (CLASS, cls), (SOURCE, relative_source(source))):
        if value:
            node.metadata_props[key] = value


def inherit(child: ir.Node, parent: ir.Node) -> None:
    """Give a node that replaces ``parent`` its provenance, where it has none of its own."""
    for key, value in parent.metadata_props.items():
        child.metadata_props.setdefault(key, value)
    if module := where(parent).module:  # which its name alone may tell
        child.metadata_props.setdefault(MODULE, module)


def settle(model: ir.Model) -> None:
    """Turn the exporter's stamps into ours on nodes and weights, and remove what names the user's machine."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            _settle_node(node)
    for value in model.graph.initializers.values():
        _settle_role(value)
    _drop_machine_paths(model.metadata_props)
    model.doc_string = _without_paths(model.doc_string or "") or None


def relative_source(source: str) -> str:
    """``/home/me/net.py:12`` → ``net.py:12``: the file's name and line only."""
    file, separator, line = source.rpartition(":")
    if not separator or not line.isdigit():
        file, line = source, ""
    name = PureWindowsPath(file).name if "\\" in file else PurePosixPath(file).name
    return f"{name}:{line}" if line else name


def _settle_node(node: ir.Node) -> None:
    props = node.metadata_props
    stamp(node, module=_torch_module(props), cls=_torch_class(props), source=_torch_source(props))
    if _SCOPES in props:
        props.pop(_NAMESPACE, None)
    for key in [key for key in props if key.startswith("pkg.")]:
        del props[key]
    _drop_machine_paths(props)
    if node.doc_string:
        node.doc_string = _without_paths(node.doc_string)


def _settle_role(value: ir.Value) -> None:
    """Turn the exporter's word on what an initializer was in the module into ours."""
    kind = value.metadata_props.get(_KIND, "")
    if kind in ("PARAMETER", "BUFFER"):
        value.metadata_props.setdefault(ROLE, kind.lower())


def _torch_module(props: MutableMapping[str, str]) -> str:
    """The innermost module path: the last entry of the scopes before the node's own name."""
    scopes = [s for s in _literal_list(props.get(_SCOPES, ""))[:-1] if s and not s.startswith(_NO_MODULE)]
    return scopes[-1] if scopes else ""


def _torch_class(props: MutableMapping[str, str]) -> str:
    classes = [c for c in _literal_list(props.get(_CLASSES, ""))[:-1] if not c.startswith(_NO_MODULE)]
    return classes[-1] if classes else ""


def _torch_source(props: MutableMapping[str, str]) -> str:
    """The innermost frame that is not torch's own."""
    frames = [(m["file"], m["line"]) for m in _FRAME.finditer(props.get(_TRACE, ""))]
    own = [f"{file}:{line}" for file, line in frames if not _LIBRARY.search(file)]
    return relative_source(own[-1]) if own else ""


def _module_of_name(node: ir.Node) -> str:
    """``/layer1/layer1.0/down/down.1/Conv`` → ``layer1.0.down.1``, as the TorchScript exporter writes paths."""
    parts = [part for part in (node.name or "").split("/") if part]
    path = last = ""
    for part in parts[:-1]:
        if part == path or part.startswith(f"{path}."):
            path = part
        elif last and part.startswith(f"{last}."):  # a child of a list, under the list's own name
            path += part.removeprefix(last)
        else:
            path = f"{path}.{part}" if path else part
        last = part
    return path


def _literal_list(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text) if text else []
    except (SyntaxError, ValueError):
        return []
    return [str(item) for item in value] if isinstance(value, list) else []


def _drop_machine_paths(props: MutableMapping[str, str]) -> None:
    for key, value in list(props.items()):
        props[key] = _without_paths(value)


def _without_paths(text: str) -> str:
    """Absolute folders are cut off; the file's name stays."""
    return _PATHLIKE.sub("", text) if "/" in text or "\\" in text else text
