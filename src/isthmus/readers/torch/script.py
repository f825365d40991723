"""The road of last resort: tracing to TorchScript and torch's older exporter, for what torch.export refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from isthmus.errors import Unsupported, UsageError
from isthmus.readers.torch import names
from isthmus.readers.torch.capture import one_line, refusals
from isthmus.readers.torch.dims import Axes, Free, asked_axes, ranges
from isthmus.readers.torch.feeds import Feeds, feeds_of, resized, tensor_names
from isthmus.readers.torch.graph import Graph
from isthmus.readers.torch.packed import as_long_as_in_pytorch, unpacks
from isthmus.readers.torch.quiet import quiet, silent_descriptors, undisturbed
from isthmus.readers.torch.structure import output_names, plain_outputs
from isthmus.types import Blocker, Options

SCRIPT_OPSET = 18
"""What the older exporter's operators were written for."""

ROAD = "torch.onnx TorchScript exporter"


class _Flat(torch.nn.Module):
    """``module`` from a flat list of tensors to a flat tuple of tensors; other leaves are constants."""

    def __init__(self, module: Any, feeds: Feeds) -> None:
        super().__init__()
        self._isthmus_inner = module
        self._leaves, self._spec = pytree.tree_flatten((feeds.args, feeds.kwargs))

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        result = plain_outputs(self._isthmus_inner(*args, **kwargs))
        return tuple(leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor))


def traced(module: torch.nn.Module, feeds: Feeds, axes: Axes, options: Options) -> Graph:
    """Trace ``module``, prove the trace on other values and sizes, and export it with the older exporter.

    Raises:
        one of ``refusals()``: it cannot be traced, the trace depends on the data, or has no translation.
    """
    flat = _Flat(module, feeds)
    tensors = tuple(leaf for leaf in pytree.tree_leaves((feeds.args, feeds.kwargs)) if isinstance(leaf, torch.Tensor))
    inputs = tensor_names(feeds.bound(module))
    with quiet():
        result = plain_outputs(module(*feeds.args, **feeds.kwargs))
        with as_long_as_in_pytorch():
            trace = torch.jit.trace(flat, tensors, check_trace=False)
        for other in _variants(tensors, inputs, axes):
            _compare(trace, flat, other)
    outputs = _tensor_names(result)
    return _exported(trace, tensors, inputs, outputs, axes, options)


def _tensor_names(result: Any) -> list[str]:
    leaves = pytree.tree_leaves(result)
    return [n for n, leaf in zip(output_names(result), leaves, strict=True) if isinstance(leaf, torch.Tensor)]


def _variants(tensors: Sequence[torch.Tensor], inputs: Sequence[str], axes: Axes) -> list[tuple[torch.Tensor, ...]]:
    """Other inputs of the same kind: values mirrored and scaled, then every free axis one longer."""
    flipped = tuple(_other(tensor) for tensor in tensors)
    grown = []
    for name, tensor in zip(inputs, tensors, strict=True):
        for axis, dim in axes.axes.get(name, {}).items():
            if isinstance(axes.choices[dim], Free):
                tensor = resized(tensor, axis, tensor.shape[axis] + 1)
        grown.append(tensor)
    return [flipped, tuple(grown)] if axes.axes else [flipped]


def _other(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_floating_point():
        return -3 * tensor
    if tensor.dtype == torch.bool:
        return ~tensor
    return tensor.flip(tuple(range(tensor.ndim)))


def _compare(trace: Any, flat: torch.nn.Module, tensors: tuple[torch.Tensor, ...]) -> None:
    try:
        expected = flat(*tensors)
    except refusals():
        return  # The module itself does not take this variant; it proves nothing.
    try:
        got = trace(*tensors)
    except refusals() as error:
        raise RuntimeError(f"a trace holds only for the sizes of the example: {one_line(error)}") from error
    same = len(got) == len(expected) and all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-4, equal_nan=True)
        for a, b in zip(got, expected, strict=True)
    )
    if not same:
        raise RuntimeError("forward branches on its data or sizes, and a trace would keep one branch only")


def _exported(
    module: Any,
    tensors: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Axes,
    options: Options,
) -> Graph:
    free: dict[str, dict[int, str]] = {}
    for name, own in axes.axes.items():
        kept = {axis: axes.asked[dim] for axis, dim in own.items() if isinstance(axes.choices[dim], Free)}
        if kept:
            free[name] = kept
    training = torch.onnx.TrainingMode.PRESERVE if options.trainable else torch.onnx.TrainingMode.EVAL
    with tempfile.TemporaryDirectory() as folder, quiet(), silent_descriptors():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            tensors,
            str(path),
            dynamo=False,
            opset_version=SCRIPT_OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free,
            do_constant_folding=False,
            training=training,
        )
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    for name in list(model.graph.initializers):
        _without_prefix(model.graph, name)
    present = [str(value.name) for value in model.graph.inputs]
    _restore_unused(model.graph, inputs, tensors, present, free)
    names.name_inputs_and_outputs(model, inputs, outputs)
    return Graph(model, ROAD, ranges(axes), ())


def _without_prefix(graph: ir.Graph, name: str) -> None:
    own = name.removeprefix("_isthmus_inner.")
    if own != name and own not in graph.initializers:
        value = graph.initializers.pop(name)
        value.name = own
        graph.initializers[own] = value


def _restore_unused(
    graph: ir.Graph,
    inputs: Sequence[str],
    tensors: Sequence[torch.Tensor],
    present: Sequence[str],
    free: dict[str, dict[int, str]],
) -> None:
    """Inputs that the trace never reads are dropped by the exporter; the signature keeps them."""
    by_name = {str(value.name): value for value in graph.inputs}
    if list(present) == list(inputs):
        return
    graph.inputs.clear()
    for name, tensor in zip(inputs, tensors, strict=True):
        value = by_name.get(name)
        if value is None:
            shape = [free.get(name, {}).get(axis, size) for axis, size in enumerate(tensor.shape)]
            dtype = ir.DataType.from_numpy(torch.empty(0, dtype=tensor.dtype).numpy().dtype)
            value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        graph.inputs.append(value)


def from_torchscript(module: Any, inputs: Any, dynamic_shapes: Any, options: Options) -> Graph:
    """A TorchScript module through the older exporter.

    Raises:
        UsageError: no inputs, or inputs that the module does not take.
        Unsupported: the exporter refuses it.
    """
    if unpacks(module):
        reason = "torch's exporter pads to the length that was packed, not to that of the longest sequence"
        hint = "convert the nn.Module itself, where this is made right"
        raise Unsupported(
            "the TorchScript module cannot be translated", [Blocker("aten::_pad_packed_sequence", reason, hint)]
        )
    parameters = [a.name for a in module.forward.schema.arguments if a.name != "self"]
    shell = _Signed(module, parameters)
    feeds = feeds_of(inputs, shell)
    with undisturbed(module):
        bound = feeds.bound(shell)
        axes = asked_axes(dynamic_shapes, bound)
        feeds = axes.grown(feeds, bound)
        bound = feeds.bound(shell)
        tensors = tuple(bound.values())
        if not all(isinstance(value, torch.Tensor) for value in tensors):
            raise UsageError("a TorchScript module is read with tensors as inputs only")
        try:
            with quiet():
                result = module(*tensors)
        except refusals() as error:
            raise UsageError(f"the TorchScript module fails on the given inputs: {one_line(error)}") from error
        try:
            return _exported(module, tensors, list(bound), _tensor_names(result), axes, options)
        except refusals() as error:
            blockers = [Blocker("TorchScript", one_line(error))]
            raise Unsupported("the TorchScript module cannot be translated", blockers) from error


class _Signed(torch.nn.Module):
    """Stands for a TorchScript module where only the names of its parameters are asked for."""

    def __init__(self, module: Any, parameters: Sequence[str]) -> None:
        super().__init__()
        import inspect

        def forward(*args: Any, **kwargs: Any) -> Any:
            return module(*args, **kwargs)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        own = [inspect.Parameter(name, kind) for name in parameters]
        forward.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        self.forward = forward
