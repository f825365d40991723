"""What a model is, told without running it: the answer of ``isthmus inspect``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from isthmus import roads
from isthmus.quiet import import_tensorflow
from isthmus.source import Source
from isthmus.types import Options, Signature, Summary, TensorSpec

_TORCH_FORMATS = {"torch": "PyTorch module", "torch.pt2": "PyTorch exported program", "torchscript": "TorchScript"}

_TENSORFLOW_FORMATS = {
    "saved_model": "TensorFlow SavedModel",
    "keras": "Keras archive",
    "keras.h5": "Keras HDF5",
    "keras.Model": "Keras model",
    "tensorflow.Module": "TensorFlow module",
    "tensorflow.function": "TensorFlow function",
    "tensorflow.ConcreteFunction": "TensorFlow function",
    "tensorflow.GraphDef": "TensorFlow frozen graph",
    "tensorflow.MetaGraphDef": "TensorFlow meta graph and checkpoint",
}


def summarize(source: Source, options: Options) -> Summary:
    """Look into ``source``. Raises what its reader raises on a bad file."""
    roads.require_reader(source.kind)
    if source.kind == "onnx":
        return _onnx(source)
    if source.kind == "torch":
        return _torch(source, options)
    return _tensorflow(source, options)


def _onnx(source: Source) -> Summary:
    import onnx
    import onnx_ir as ir

    from isthmus.hub import io
    from isthmus.hub.model import op_counts

    if source.path is not None:
        model = io.model_of(io.load_proto(source.path), source.path.resolve().parent)
    elif isinstance(source.value, onnx.ModelProto):
        own = onnx.ModelProto()
        own.CopyFrom(source.value)
        model = io.model_of(own, None)
    else:
        model = source.value
    weights = [
        value.const_value
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None
    ]
    weights += [
        attribute.as_tensor()
        for graph in model.graphs()
        for node in graph
        for attribute in node.attributes.values()
        if node.op_type == "Constant" and attribute.type == ir.AttributeType.TENSOR
    ]
    return Summary(
        source=source.label,
        format=f"ONNX, IR {model.ir_version}",
        signature=io.signature_of(model),
        ops=op_counts(model),
        parameters=sum(w.size for w in weights),
        bytes=sum(w.nbytes for w in weights),
        dtypes=_counted((io.dtype_name(w.dtype), w.size) for w in weights),
        opset={domain or "ai.onnx": version for domain, version in sorted(model.opset_imports.items())},
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
    )


def _torch(source: Source, options: Options) -> Summary:
    import torch

    from isthmus.readers.torch.sources import open_source

    value = source.factory.callable if source.factory is not None else source.value
    opened = open_source(value, options, source.factory.weights if source.factory is not None else None)
    thing = opened.thing
    if isinstance(thing, torch.export.ExportedProgram):
        tensors = [*thing.state_dict.values(), *(t for t in thing.constants.values() if isinstance(t, torch.Tensor))]
        ops: Iterable[str] = (str(node.target) for node in thing.graph.nodes if node.op == "call_function")
        signature = _program_signature(thing)
    else:
        tensors = list({id(t): t for t in thing.state_dict(keep_vars=True).values()}.values())
        scripted = isinstance(thing, torch.jit.ScriptModule)
        leaves = (part for part in thing.modules() if not any(part.children()))
        ops = (part.original_name if scripted else type(part).__name__ for part in leaves)
        signature = Signature((), ())
    return Summary(
        source=source.label,
        format=_TORCH_FORMATS[opened.kind],
        signature=signature,
        ops=_counted((op, 1) for op in ops),
        parameters=sum(t.numel() for t in tensors),
        bytes=sum(t.numel() * t.element_size() for t in tensors),
        dtypes=_counted((str(t.dtype).removeprefix("torch."), t.numel()) for t in tensors),
        opset={},
        producer=f"torch {torch.__version__}",
    )


def _program_signature(program: Any) -> Signature:
    nodes = {node.name: node for node in program.graph.nodes}

    def spec(name: str) -> TensorSpec | None:
        value: Any = nodes[name].meta.get("val") if name in nodes else None
        if not hasattr(value, "dtype"):
            return None
        dims = tuple(d if isinstance(d, int) else str(d) for d in value.shape)
        return TensorSpec(name, str(value.dtype).removeprefix("torch."), dims)

    named = program.graph_signature
    inputs = [spec(name) for name in named.user_inputs if isinstance(name, str)]
    outputs = [spec(name) for name in named.user_outputs if isinstance(name, str)]
    return Signature(tuple(s for s in inputs if s), tuple(s for s in outputs if s))


def _tensorflow(source: Source, options: Options) -> Summary:
    import_tensorflow()
    from isthmus.opening.described import describe, dtype_name

    found = describe(source.path if source.path is not None else source.value, options)
    sizes = [(dtype, math.prod(shape)) for dtype, shape in found.weights]
    return Summary(
        source=source.label,
        format=_TENSORFLOW_FORMATS.get(found.kind, found.kind),
        signature=found.signature,
        ops=_counted((op, 1) for op in found.ops),
        parameters=sum(size for _, size in sizes),
        bytes=sum(size * (dtype.size or 0) for dtype, size in sizes),
        dtypes=_counted((dtype_name(dtype), size) for dtype, size in sizes),
        opset={},
        producer=found.producer,
        signatures=found.signatures,
    )


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counter: Counter[str] = Counter()
    for name, count in pairs:
        counter[name] += count
    return dict(sorted(counter.items()))
