"""Functions, alive or out of a SavedModel: ``tf.function``, ``ConcreteFunction``, ``tf.Module``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from isthmus.errors import Unsupported, UsageError
from isthmus.opening.function import Opened, Variable
from isthmus.opening.names import distinct, leaves, no_signature, output_names, signature_key
from isthmus.opening.shapes import inputs_of, specs_of_inputs
from isthmus.types import Blocker

_COMPOSITES = (tf.RaggedTensor, tf.RaggedTensorSpec, tf.SparseTensor, tf.SparseTensorSpec, tf.IndexedSlices)

_FORGOTTEN = "UnknownArgument"
"""The class of what a trace shows in place of an object of Python; it is called with its tensors alone then."""


def of_concrete(
    concrete: Any, name: str, kind: str, *, dynamic_shapes: Any = None, root: Any = None, keeps: tuple[Any, ...] = ()
) -> Opened:
    """A ConcreteFunction: its inputs by the names of its arguments, its outputs by what it returns."""
    args, kwargs = concrete.structured_input_signature or _of_graph(concrete)
    named = [*_named_arguments(concrete, args), *leaves(kwargs)]
    _refuse_composites(name, [*named, *leaves(concrete.structured_outputs)])
    tensors = [(path, leaf) for path, leaf in named if isinstance(leaf, tf.TensorSpec)]
    names = distinct(path for path, _ in tensors)
    inputs = inputs_of([(n, leaf) for n, (_, leaf) in zip(names, tensors, strict=True)], dynamic_shapes)

    def call(*values: tf.Tensor) -> Any:
        if any(type(leaf).__name__ == _FORGOTTEN for _, leaf in named):
            return concrete(*values)
        given = iter(values)
        filled = tf.nest.map_structure(
            lambda leaf: next(given) if isinstance(leaf, tf.TensorSpec) else leaf, (args, kwargs)
        )
        return concrete(*filled[0], **filled[1])

    return Opened(
        name=name,
        kind=kind,
        road="tf.function",
        inputs=inputs,
        call=call,
        outputs=output_names,
        concrete=concrete,
        returned=concrete.structured_outputs,
        weights=lambda found: weights_of(found, root),
        keeps=(concrete, *keeps),
    )


def _of_graph(concrete: Any) -> tuple[tuple[tf.TensorSpec, ...], dict[str, Any]]:
    """The arguments of a function that was cut out of a graph, or frozen: the inputs of the graph by their names."""
    captured = {id(tensor) for tensor in concrete.graph.internal_captures}
    free = [tensor for tensor in concrete.inputs if id(tensor) not in captured]
    return tuple(tf.TensorSpec(tensor.shape, tensor.dtype, tensor.op.name) for tensor in free), {}


def of_function(function: Any, inputs: Any, dynamic_shapes: Any, *, name: str, kind: str, root: Any = None) -> Opened:
    """A ``tf.function``: by its input signature, the only trace that it has, or what the user tells of its shapes.

    Raises errors.UsageError where nothing tells them.
    """
    traces = _inference_traces(function)
    names = list(function.function_type.parameters) if getattr(function, "function_type", None) is not None else []
    if getattr(function, "input_signature", None) is not None:
        concrete = function.get_concrete_function()
    elif getattr(function, "concrete_functions", None):  # out of a file: it can be traced no more
        told = specs_of_inputs(inputs, dynamic_shapes, names, batched=False)
        concrete = _taking(traces, told, name)
    elif inputs is None and len(traces) == 1:
        concrete = traces[0]
    elif (told := specs_of_inputs(inputs, dynamic_shapes, names, batched=False)) is not None:
        concrete = function.get_concrete_function(**told)
    else:
        raise _no_shapes(name, traces)
    return of_concrete(concrete, name, kind, dynamic_shapes=dynamic_shapes, root=root, keeps=(function, root))


def _taking(traces: Sequence[Any], told: Any, name: str) -> Any:
    """The trace that takes what is told, the one made for the most of it. Raises errors.UsageError for none."""
    if told is None and len(traces) == 1:
        return traces[0]
    wanted = {} if told is None else dict(leaves(told))
    fits = [trace for trace in traces if told is not None and _takes(_specs(trace), wanted)]
    if not fits:
        raise _no_shapes(name, traces)
    return min(fits, key=lambda trace: sum(spec.shape.num_elements() is None for spec in _specs(trace).values()))


def _takes(own: Mapping[str, tf.TensorSpec], wanted: Mapping[str, tf.TensorSpec]) -> bool:
    return own.keys() == wanted.keys() and all(
        spec.dtype == wanted[key].dtype and spec.shape.is_compatible_with(wanted[key].shape)
        for key, spec in own.items()
    )


def _specs(concrete: Any) -> dict[str, tf.TensorSpec]:
    """The tensors that a trace takes, by name."""
    args, kwargs = concrete.structured_input_signature
    named = [*_named_arguments(concrete, args), *leaves(kwargs)]
    return {path: leaf for path, leaf in named if isinstance(leaf, tf.TensorSpec)}


def _no_shapes(name: str, traces: Sequence[Any]) -> UsageError:
    hint = "tell them: --input-shapes x:[batch,3] (dynamic_shapes=), or --inputs"
    if not traces:
        return UsageError(f"the shapes of {name} are not known: it has no input signature", hint=hint)
    made = "; ".join(", ".join(map(_spelled, _specs(trace).items())) for trace in traces)
    return UsageError(f"the shapes of {name} are not known: it was traced for {made}", hint=hint)


def _spelled(named: tuple[str, tf.TensorSpec]) -> str:
    name, spec = named
    dims = "…" if spec.shape.rank is None else ", ".join("?" if d is None else str(d) for d in spec.shape.as_list())
    return f"{name}: {spec.dtype.name}[{dims}]"


def of_module(module: Any, inputs: Any, dynamic_shapes: Any, signature: str | None) -> Opened:
    """A live ``tf.Module``: by a signature that it has, ``__call__``, or the only function there is.

    Raises errors.UsageError, with the functions by name, where none is chosen.
    """
    label = type(module).__name__
    signatures = getattr(module, "signatures", None)
    signatures = signatures if isinstance(signatures, Mapping) else {}
    key = signature_key(signatures, signature)
    if key in signatures:
        return of_concrete(
            signatures[key], label, "tensorflow.Module", dynamic_shapes=dynamic_shapes, root=module, keeps=(module,)
        )
    functions = dict(_functions(module))
    if not key and "__call__" in functions:
        key = "__call__"
    key = key or (next(iter(functions)) if len(functions) == 1 else "")
    if key not in functions and ((inputs is None and dynamic_shapes is None) or not callable(module) or key):
        raise no_signature(label, key, sorted(signatures), [name for name in functions if name not in signatures])
    function = functions[key] if key else tf.function(type(module).__call__.__get__(module))
    return of_function(function, inputs, dynamic_shapes, name=label, kind="tensorflow.Module", root=module)


def weights_of(concrete: Any, root: Any = None) -> Mapping[int, Variable]:
    """The variables of a ConcreteFunction by their handles.

    They have their own names; those that have none, or one name together, have the path of attributes from ``root``.
    """
    captured = {id(handle): place for place, handle in enumerate(concrete.captured_inputs)}
    variables = sorted(  # a graph keeps them in no order
        {id(v.handle): v for v in (*concrete.graph.variables, *concrete.variables)}.values(),
        key=lambda v: (captured.get(id(v.handle), len(captured)), v.name),
    )
    own = {id(v.handle): str(v.name).removesuffix(":0") for v in variables}
    often = [name for name in own.values() if name == "Variable" or list(own.values()).count(name) > 1]
    paths = attribute_paths(root) if often and root is not None else {}
    names = {key: paths.get(key, name) if name in often else name for key, name in own.items()}
    unique = dict(zip(names, distinct(names.values()), strict=True))
    return {id(v.handle): Variable(unique[id(v.handle)], bool(v.trainable), v) for v in variables}


def attribute_paths(root: Any) -> dict[int, str]:
    """Handle → the shortest path of attributes, as checkpoints spell it, from ``root`` to its variable."""
    view = tf.train.TrackableView(root)
    found: dict[int, str] = {}
    seen = {id(root)}
    level: list[tuple[str, Any]] = [("", root)]
    while level:
        below: list[tuple[str, Any]] = []
        for path, thing in level:
            for key, child in sorted(view.children(thing).items()):
                if id(child) in seen:
                    continue
                seen.add(id(child))
                place = f"{path}/{key}" if path else key
                if isinstance(child, tf.Variable):
                    found.setdefault(id(child.handle), place)
                below.append((place, child))
        level = below
    return found


def _named_arguments(concrete: Any, args: Sequence[Any]) -> list[tuple[str, Any]]:
    """The leaves of positional arguments under the names of the parameters, or those of their specs."""
    parameters = list(concrete.function_type.parameters)
    found = []
    for place, argument in enumerate(args):
        own = parameters[place] if place < len(parameters) else f"input_{place}"
        for path, leaf in leaves(argument):
            spec_name = getattr(leaf, "name", None)
            found.append((f"{own}.{path}" if path else spec_name or own, leaf))
    return found


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    """The functions of TensorFlow's that an object has, by name."""
    for name in ("__call__", *sorted(n for n in dir(type(module)) if not n.startswith("_"))):
        try:
            found = inspect.getattr_static(type(module), name)
        except AttributeError:
            continue
        if hasattr(found, "get_concrete_function"):
            yield name, getattr(module, name)
    for name, value in sorted(vars(module).items()):
        if hasattr(value, "get_concrete_function") and not name.startswith("_"):
            yield name, value


def _inference_traces(function: Any) -> list[Any]:
    """The traces of a function, but for those that train."""
    held = getattr(function, "concrete_functions", None)
    if held is None:
        held = function._list_all_concrete_functions() if hasattr(function, "_list_all_concrete_functions") else []
    return [trace for trace in held if True not in [leaf for _, leaf in leaves(trace.structured_input_signature)]]


def _refuse_composites(name: str, named: Sequence[tuple[str, Any]]) -> None:
    """Raise errors.Unsupported for ragged and sparse tensors among inputs and outputs."""
    blockers = [
        Blocker(type(leaf).__name__, f"{path or 'a result'!r} is no dense tensor, and ONNX has no such type")
        for path, leaf in named
        if isinstance(leaf, _COMPOSITES)
    ]
    if blockers:
        raise Unsupported(f"the inputs and outputs of {name} cannot be carried", blockers)
