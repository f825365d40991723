"""The user's word on shapes and inputs, against what a source says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from isthmus.errors import UsageError
from isthmus.opening.function import Input
from isthmus.opening.names import dims_of, leaves
from isthmus.types import Dim, TensorSpec

Shapes = Mapping[str, Any] | None
"""Input → its whole shape, with its element type as a ``TensorSpec``, or the axes that change.

A string frees a dimension under that name, a number fixes it.
"""


def inputs_of(named: Sequence[tuple[str, tf.TensorSpec]], dynamic_shapes: Any) -> tuple[Input, ...]:
    """The inputs with their free dimensions named, as the user asks where he does.

    Raises errors.UsageError for shapes of an input that is not there, of another rank or of another size.
    """
    wanted = _by_name(dynamic_shapes, [name for name, _ in named])
    images = [name for name, spec in named if spec.shape.rank in (4, 5)]
    found = []
    for name, spec in named:
        known = None if spec.shape.rank is None else spec.shape.as_list()
        dims = dims_of(name, known, alone=images == [name])
        if name in wanted:
            dims = _asked(name, dims, wanted[name])
            _require_type(spec, wanted[name], name)
        shape = None if dims is None else [d if isinstance(d, int) else None for d in dims]
        found.append(Input(name, tf.TensorSpec(shape, spec.dtype, spec.name), dims))
    return tuple(found)


def specs_of_inputs(inputs: Any, dynamic_shapes: Any, names: Sequence[str], *, batched: bool) -> Any:
    """The structure of ``inputs`` with a TensorSpec for every array; None where nobody tells the shapes.

    The axes that ``dynamic_shapes`` names are free, and with ``batched`` the first one; without ``inputs`` it tells
    the whole shape of each. ``names`` are those of the arguments. Raises errors.UsageError.
    """
    given = loaded(inputs) if inputs is not None else _whole(dynamic_shapes)
    if given is None:
        return None
    arguments = given if isinstance(given, Mapping) else dict(zip(names, _arguments(given), strict=False))
    wanted = _by_name(dynamic_shapes, [path for path, _ in leaves(arguments)])

    def spec(path: str, leaf: Any) -> tf.TensorSpec:
        told = leaf if isinstance(leaf, TensorSpec) else _spec_of(path, np.asarray(leaf))
        assert told.shape is not None
        asked = wanted.get(path, {})
        axes = asked if isinstance(asked, Mapping) else dict(enumerate(_shape_of(asked)))
        free = {axis for axis, dim in axes.items() if not isinstance(dim, int)} | ({0} if batched else set())
        dims = [size if isinstance(size, int) and axis not in free else None for axis, size in enumerate(told.shape)]
        return tf.TensorSpec(dims, told.dtype or "float32", name=path)

    made = iter([spec(path, leaf) for path, leaf in leaves(arguments)])
    return tf.nest.map_structure(lambda _: next(made), arguments)


def tells_types(dynamic_shapes: Any) -> bool:
    """Whether the user tells element types with the shapes."""
    told = dynamic_shapes.values() if isinstance(dynamic_shapes, Mapping) else ()
    return any(isinstance(spec, TensorSpec) and spec.dtype for spec in told)


def _whole(dynamic_shapes: Any) -> dict[str, TensorSpec] | None:
    """Specs out of shapes that are told as a whole, of every input by its name; None where they are not."""
    if not isinstance(dynamic_shapes, Mapping) or not dynamic_shapes:
        return None
    if not all(isinstance(told, (TensorSpec, tuple, list)) for told in dynamic_shapes.values()):
        return None
    return {
        name: told if isinstance(told, TensorSpec) else TensorSpec(name, "", tuple(_dim(dim) for dim in told))
        for name, told in dynamic_shapes.items()
    }


def _spec_of(name: str, array: np.ndarray) -> TensorSpec:
    dtype = "string" if array.dtype.kind in "OSU" else str(tf.as_dtype(array.dtype).name)
    return TensorSpec(name, dtype, array.shape)


def _shape_of(told: Any) -> Sequence[Any]:
    return (told.shape or ()) if isinstance(told, TensorSpec) else told


def loaded(inputs: Any) -> Any:
    """The user's inputs as arrays: what an ``.npz`` holds, or what was given, tensors as numpy. May nest."""
    if isinstance(inputs, (str, Path)):
        with np.load(inputs, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    return tf.nest.map_structure(_array, inputs)


def _array(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        return value
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _arguments(given: Any) -> Sequence[Any]:
    return given if isinstance(given, (list, tuple)) else [given]


def _by_name(dynamic_shapes: Any, names: Sequence[str]) -> Mapping[str, Any]:
    if dynamic_shapes is None:
        return {}
    if not isinstance(dynamic_shapes, Mapping):
        dynamic_shapes = dict(zip(names, dynamic_shapes, strict=False))
    if unknown := [name for name in dynamic_shapes if name not in names]:
        raise UsageError(
            f"shapes are given for {', '.join(map(repr, unknown))}; the model has {', '.join(map(repr, names))}"
        )
    return {name: shape for name, shape in dynamic_shapes.items() if shape is not None}


def _require_type(spec: tf.TensorSpec, asked: Any, name: str) -> None:
    if isinstance(asked, TensorSpec) and asked.dtype and asked.dtype != spec.dtype.name:
        raise UsageError(f"input {name!r} is {spec.dtype.name} in the model, and {asked.dtype} is asked")


def _asked(name: str, dims: tuple[Dim, ...] | None, shape: Any) -> tuple[Dim, ...]:
    """The dimensions as the user wants them. Raises errors.UsageError where the source fixes them otherwise."""
    if isinstance(shape, Mapping):
        if dims is None:
            raise UsageError(f"the rank of input {name!r} is not known", hint="give its whole shape")
        shape = [shape.get(axis, dim) for axis, dim in enumerate(dims)]
    asked = [_dim(dim) for dim in _shape_of(shape)]
    if dims is None:
        return tuple(asked)
    if len(asked) != len(dims):
        raise UsageError(f"input {name!r} has {len(dims)} dimensions, and {len(asked)} are given: {list(asked)}")
    for axis, (own, other) in enumerate(zip(dims, asked, strict=True)):
        if isinstance(own, int) and other is not None and own != other:
            raise UsageError(f"axis {axis} of input {name!r} is {own} in the model, and {other} is asked")
    return tuple(own if other is None else other for own, other in zip(dims, asked, strict=True))


def _dim(dim: Any) -> Dim:
    if dim is None or isinstance(dim, (int, str)):
        return dim
    return str(getattr(dim, "__name__", dim))  # torch.export's Dim
