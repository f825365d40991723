"""TensorFlow and Keras models as their framework runs them: SavedModels, Keras files, graphs, models alive here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import InvalidModel, Unsupported
from isthmus.types import Blocker, Signature, TensorSpec
from isthmus.verify.runners import codec
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients, Origin, of_tensorflow
from isthmus.verify.runners.protocol import DEFAULT, Differentiable, LiveRunner, Loaded, require, signature_from

if TYPE_CHECKING:
    from isthmus.opening.function import Opened, Variable
    from isthmus.opening.graphs import OpenedGraph

_TENSORFLOW = "tensorflow"
_NEED = "a TensorFlow model is judged by running it there"

NEXT = "_next"
"""Behind the name of a variable that the model changes: the output that is its new value."""


def load(source: str, options: Mapping[str, Any]) -> Loaded:
    """Load the SavedModel folder, Keras file, frozen graph or meta graph at ``source``.

    ``options``: ``signature_key`` names the signature or function to call; without it ``serving_default``, or the
    only one there is. ``inputs`` is a plain signature whose inputs tell what the source itself may not.
    ``custom_objects`` and ``trust_pickle`` are as in ``Options``. Raises what opening it raises.
    """
    require(_TENSORFLOW, _NEED)
    if Path(source).is_file() and Path(source).stat().st_size == 0:
        raise InvalidModel(f"{source} is empty")
    from isthmus.opening.source import open_source

    told = signature_from(options["inputs"]).inputs if "inputs" in options else ()
    return of_opened(
        open_source(
            source,
            {spec.name: spec for spec in told} or None,
            signature=options.get("signature_key"),
            custom=options.get("custom_objects", ()),
            trust=bool(options.get("trust_pickle")),
        )
    )


def live_model(opened: Opened | OpenedGraph, *, name: str) -> LiveRunner:
    """A model that is alive in this process as a runner. Its variables are left as they were."""
    loaded = of_opened(opened)
    gradient = loaded.gradients if isinstance(loaded, _Function) else None
    failures = (require(_TENSORFLOW, _NEED).errors.OpError,)
    return LiveRunner(name, loaded.signature, {DEFAULT: loaded.run}, gradient, failures)


def of_opened(opened: Opened | OpenedGraph) -> Loaded | Differentiable:
    """What was opened, ready to be run on named arrays."""
    from isthmus.opening.graphs import OpenedGraph

    return _Graph(opened) if isinstance(opened, OpenedGraph) else _Function(opened)


class _Function:
    """A function called eagerly: the model itself, not what was traced of it."""

    variants = (DEFAULT,)

    def __init__(self, opened: Opened) -> None:
        self._tf = require(_TENSORFLOW, _NEED)
        self._opened = opened
        outputs = [] if opened.returned is None else opened.outputs(opened.returned)
        self.signature = Signature(
            tuple(_spec(given.name, given.spec) for given in opened.inputs),
            tuple(_spec(name, leaf) for name, leaf in outputs),
        )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        with self._holding(feeds) as changed:
            outputs = {name: _value(output) for name, output in self._called(feeds).items()}
            return outputs | {f"{name}{NEXT}": _value(variable) for name, variable in changed.items()}

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        trained = {held.name: held for held in self._weights().values() if held.trainable}
        origins = {name: Origin(name, held.perm or None, held.shape) for name, held in trained.items()}
        stored = {name: held.made_of for name, held in trained.items() if held.made_of is not None}
        with self._holding(feeds):
            variables = {name: held.value for name, held in trained.items()}
            return of_tensorflow(self._tf, variables, lambda: self._called(feeds), cotangents, origins, stored)

    def _called(self, feeds: Mapping[str, Value]) -> Mapping[str, Any]:
        tensors = [_tensor(self._tf, spec, feeds[spec.name]) for spec in self.signature.inputs]
        return dict(self._opened.outputs(self._opened.call(*tensors)))

    def _weights(self) -> Mapping[int, Variable]:
        return self._opened.weights(self._opened.concrete)

    @contextlib.contextmanager
    def _holding(self, feeds: Mapping[str, Value]) -> Iterator[dict[str, Any]]:
        """The variables that are fed as inputs hold what is fed; everything is put back at the end."""
        own = {spec.name for spec in self.signature.inputs}
        fed = {name: value for name, value in feeds.items() if name not in own}
        known = {held.name: held.value for held in self._weights().values()} if fed else {}
        changed = {name: known[name] for name in fed if name in known}
        before = {name: variable.numpy() for name, variable in changed.items()}
        try:
            for name, variable in changed.items():
                variable.assign(fed[name])
            yield changed
        finally:
            for name, variable in changed.items():
                variable.assign(before[name])


class _Graph:
    """A graph of TensorFlow 1 in a session."""

    variants = (DEFAULT,)

    def __init__(self, opened: OpenedGraph) -> None:
        require(_TENSORFLOW, _NEED)
        self._opened = opened
        self._stack = contextlib.ExitStack()
        self._session = self._stack.enter_context(opened.session())
        self.signature = Signature(
            tuple(_spec(given.name, given.spec) for given in opened.inputs),
            tuple(_spec(name, tensor) for name, tensor in opened.outputs),
        )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        for spec in self.signature.inputs:
            _require_array(spec, feeds[spec.name])
        pairs = zip(self._opened.inputs, self._opened.input_tensors, strict=True)
        given = {tensor.name: feeds[port.name] for port, tensor in pairs}
        made = self._session.run([tensor.name for _, tensor in self._opened.outputs], given)
        return {name: _plain(array) for (name, _), array in zip(self._opened.outputs, made, strict=True)}


def _require_array(spec: TensorSpec, value: Value) -> None:
    if not isinstance(value, np.ndarray):
        raise Unsupported(
            f"input {spec.name!r} cannot be fed",
            [Blocker(op="SavedModel", reason="TensorFlow signatures take tensors, no sequence, map or optional")],
        )


def _tensor(tf: Any, spec: TensorSpec, value: Value) -> Any:
    _require_array(spec, value)
    # A type that differs is the model's fault and must be seen, so nothing is cast here.
    return tf.constant(value)


def _spec(name: str, spec: Any) -> TensorSpec:
    dtype = "string" if spec.dtype.name == "string" else codec.dtype_name(np.dtype(spec.dtype.as_numpy_dtype))
    return TensorSpec(name, dtype, None if spec.shape.rank is None else tuple(spec.shape.as_list()))


def _value(output: Any) -> Value:
    if hasattr(output, "to_tensor") and hasattr(output, "nested_row_splits"):  # a RaggedTensor is a sequence
        return [_value(row) for row in output]
    return _plain(output.numpy() if hasattr(output, "numpy") else output)


def _plain(output: Any) -> Array:
    array = np.asarray(output)
    return codec.as_text(array) if array.dtype.kind in "OSU" else array
