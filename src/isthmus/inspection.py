"""What a model is, told without running it: the answer of ``isthmus inspect``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from isthmus import roads
from isthmus.source import Source
from isthmus.types import Options, Signature, Summary, TensorSpec

_TORCH_FORMATS = {"torch": "PyTorch module", "torch.pt2": "PyTorch exported program", "torchscript": "TorchScript"}

_TENSORFLOW_FORMATS = {
    "saved_model": "TensorFlow SavedModel",
    "keras": "Keras archive",
    "keras.h5": "Keras HDF5",
    "keras.Model": "Keras model",
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
    if source.path is not None and source.path.is_dir():
        from isthmus.opening.saved_models import proto_of

        meta = proto_of(source.path).meta_graphs[0]
        if meta.object_graph_def.nodes:
            return _saved_model(source, meta, options)
    import tensorflow as tf

    from isthmus.opening.graphs import OpenedGraph
    from isthmus.opening.source import open_source

    value = str(source.path) if source.path is not None else source.value
    opened = open_source(
        value, signature=options.signature, custom=options.custom_objects, trust=options.trust_pickle
    )
    inputs = tuple(TensorSpec(i.name, _dtype_name(i.spec.dtype), i.dims) for i in opened.inputs)
    if isinstance(opened, OpenedGraph):
        nodes = opened.operations()
        arrays = [_sized(stored.dtype, stored.shape) for stored in opened.variables.values()]
        arrays += [_constant(node.node_def.attr["value"].tensor) for node in nodes if node.type == "Const"]
        ops: Iterable[str] = (node.type for node in nodes)
        outputs = opened.outputs
    else:
        layers = [] if opened.layers is None else opened.layers()
        concrete = None if layers else opened.traced()[0]
        weights = opened.weights(concrete).values()
        arrays = [_sized(held.value.dtype, held.value.shape) for held in weights]
        graph_ops = [] if concrete is None else concrete.graph.get_operations()
        ops = (*layers, *(node.type for node in graph_ops))
        returned = opened.returned if concrete is None else concrete.structured_outputs
        outputs = () if returned is None else tuple(opened.outputs(returned))
    return Summary(
        source=source.label,
        format=_TENSORFLOW_FORMATS.get(opened.kind, opened.kind),
        signature=Signature(inputs, tuple(_output(name, leaf) for name, leaf in outputs)),
        ops=_counted((op, 1) for op in ops),
        parameters=sum(size for _, size, _ in arrays),
        bytes=sum(nbytes for _, _, nbytes in arrays),
        dtypes=_counted((dtype, size) for dtype, size, _ in arrays),
        opset={},
        producer=f"tensorflow {tf.__version__}",
    )


def _output(name: str, leaf: Any) -> TensorSpec:
    return TensorSpec(name, _dtype_name(leaf.dtype), None if leaf.shape.rank is None else tuple(leaf.shape.as_list()))


def _saved_model(source: Source, meta: Any, options: Options) -> Summary:
    """A SavedModel by its proto alone: not even its variables are read."""
    functions = [f for f in meta.graph_def.library.function if "traced_" not in f.signature.name]  # save and restore
    nodes = [node for function in functions for node in function.node_def]
    held = {o.variable.name: o.variable for o in meta.object_graph_def.nodes if o.WhichOneof("kind") == "variable"}
    variables = [_variable(proto) for proto in held.values()]
    variables += [_constant(node.attr["value"].tensor) for node in nodes if node.op == "Const"]
    key = options.signature or "serving_default"
    return Summary(
        source=source.label,
        format=_TENSORFLOW_FORMATS["saved_model"],
        signature=_signature_def(meta.signature_def.get(key)),
        ops=_counted((node.op, 1) for node in nodes),
        parameters=sum(size for _, size, _ in variables),
        bytes=sum(nbytes for _, _, nbytes in variables),
        dtypes=_counted((dtype, size) for dtype, size, _ in variables),
        opset={},
        producer=f"tensorflow {meta.meta_info_def.tensorflow_version}",
    )


def _variable(proto: Any) -> tuple[str, int, int]:
    return _sized(proto.dtype, [d.size for d in proto.shape.dim])


def _constant(proto: Any) -> tuple[str, int, int]:
    return _sized(proto.dtype, [d.size for d in proto.tensor_shape.dim])


def _sized(dtype: Any, shape: Iterable[int]) -> tuple[str, int, int]:
    """Name of the element type, elements, bytes."""
    from tensorflow.python.framework import dtypes

    known = dtypes.as_dtype(dtype)
    size = math.prod(int(dim) for dim in shape)
    return _dtype_name(known), size, size * (known.size or 0)


def _dtype_name(dtype: Any) -> str:
    return str(dtype.base_dtype.name)


def _signature_def(proto: Any) -> Signature:
    if proto is None:
        return Signature((), ())
    return Signature(_tensor_infos(proto.inputs), _tensor_infos(proto.outputs))


def _tensor_infos(infos: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name,
            _sized(info.dtype, [])[0],
            None
            if info.tensor_shape.unknown_rank
            else tuple(d.size if d.size >= 0 else None for d in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    )


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counter: Counter[str] = Counter()
    for name, count in pairs:
        counter[name] += count
    return dict(sorted(counter.items()))
