"""Live models of Keras 3 and of tf_keras: inputs, outputs, weights and layers by the names that users know."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from isthmus.errors import UsageError
from isthmus.opening.function import Opened, Scopes, Variable
from isthmus.opening.functions import weights_of
from isthmus.opening.keras_paths import is_legacy, layers_of, own_path, own_variables, paths_of, variable_name
from isthmus.opening.keras_tracing import recorded_callers
from isthmus.opening.names import distinct, leaves, module_path, output_names
from isthmus.opening.shapes import inputs_of, specs_of_inputs, tells_types


def is_keras(thing: Any) -> bool:
    """Whether ``thing`` is a model of Keras 3 or of tf_keras, either imported by whoever made it."""
    return any(
        cls.__module__.partition(".")[0] in ("keras", "tf_keras") and cls.__name__ == "Model"
        for cls in type(thing).__mro__
    )


def of_model(
    model: Any, inputs: Any = None, dynamic_shapes: Any = None, *, name: str = "", kind: str = "keras.Model"
) -> Opened:
    """A Keras model at inference. Its shapes are its own, or those of ``inputs`` with the first axis free.

    Raises errors.UsageError where a model that was never built comes without inputs, or computes elsewhere than in
    TensorFlow.
    """
    label = name or type(model).__name__
    _require_tensorflow(model, label)
    structure = _input_specs(model, label, inputs, dynamic_shapes)
    parts = structure if isinstance(structure, _Keywords) else {"": structure}
    flat = [leaf for part in parts.values() for _, leaf in leaves(part)]
    names = distinct(_input_names(model, structure))

    def call(*tensors: tf.Tensor) -> Any:
        given = iter(tensors)
        first, *others = [(key, tf.nest.map_structure(lambda _: next(given), part)) for key, part in parts.items()]
        return model(first[1], **dict(others), training=False)

    return Opened(
        name=label,
        kind=kind,
        road="tf.function",
        inputs=inputs_of(list(zip(names, flat, strict=True)), dynamic_shapes),
        call=call,
        outputs=lambda result: _named_outputs(model, result),
        weights=lambda concrete: {**({} if concrete is None else weights_of(concrete)), **_weights(model)},
        tracing=lambda: _recorded_scopes(model),
        returned=_output_specs(model),
        layers=lambda: [type(layer).__name__ for layer in layers_of(model) if _is_leaf(layer)],
        classes=lambda: _classes(model),
        keeps=(model,),
    )


class _Keywords(dict[str, Any]):
    """Inputs that a model's ``call`` takes as arguments of their own, by name and in its order."""


def _require_tensorflow(model: Any, label: str) -> None:
    if is_legacy(model):
        return
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        raise UsageError(
            f"{label} computes in {backend}, and is read in TensorFlow",
            hint="save it, and convert the file with KERAS_BACKEND=tensorflow",
        )


def _input_specs(model: Any, label: str, inputs: Any, dynamic_shapes: Any) -> Any:
    """The structure that the model is called with, of TensorSpecs."""
    own = getattr(model, "_inputs_struct", None)  # Functional, of Keras 3
    if own is None:
        own = getattr(model, "_nested_inputs", None)  # of tf_keras
    if own is None and getattr(model, "inputs", None):  # Sequential
        specs = [_of_any_batch(model, _spec(tensor)) for tensor in model.inputs]
        return specs[0] if len(specs) == 1 else specs
    if own is not None:
        return tf.nest.map_structure(_spec, own)
    parameters = _parameters(model)
    if inputs is None and not tells_types(dynamic_shapes) and (called := _called_specs(model, parameters)):
        return _merged(called, parameters)
    built = getattr(model, "_build_shapes_dict", None) or {}
    if inputs is not None or not built or tells_types(dynamic_shapes):
        told = specs_of_inputs(inputs, dynamic_shapes, parameters, batched=True)
        if told is None:
            raise UsageError(
                f"{label} was never called, and its shapes are not known",
                hint="tell them: --input-shapes x:[batch,3] (dynamic_shapes=), or --inputs; or build it",
            )
        return _merged(told, parameters)
    dtype = getattr(model, "input_dtype", None) or "float32"
    made = {_argument(key, parameters): _built_spec(shape, dtype) for key, shape in built.items()}
    if missing := [name for name in _parameters(model, required=True) if name not in made]:
        raise UsageError(
            f"{label} takes {', '.join(parameters)}, and the shape of {', '.join(missing)} is not known",
            hint="pass inputs (--inputs FILE.npz)",
        )
    return _merged(made, parameters)


def _called_specs(model: Any, parameters: Sequence[str]) -> dict[str, Any]:
    """What a subclassed model of tf_keras was first called with, by argument and with the batch free."""
    told = model.save_spec() if is_legacy(model) else None
    if told is None:
        return {}
    positional, named = told
    given = {**dict(zip(parameters, positional, strict=False)), **named}
    return {name: spec for name, spec in given.items() if name in parameters and _holds_specs(spec)}


def _holds_specs(structure: Any) -> bool:
    """Whether it is made of specs of dense tensors alone: None, flags and the like are what ``call`` takes itself."""
    flat = tf.nest.flatten(structure)
    return bool(flat) and all(isinstance(item, tf.TensorSpec) for item in flat)


def _of_any_batch(model: Any, spec: tf.TensorSpec) -> tf.TensorSpec:
    """The spec with a free batch: what a Sequential was first called with fixes none, unless it keeps states."""
    if any(getattr(layer, "stateful", False) for layer in layers_of(model)) or not spec.shape.rank:
        return spec
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name)


def _parameters(model: Any, *, required: bool = False) -> list[str]:
    """What ``call`` takes, or only what it cannot do without."""
    return [
        name
        for name, parameter in inspect.signature(model.call).parameters.items()
        if name not in ("self", "training", "mask")
        and (not required or (parameter.default is parameter.empty and "VAR" not in parameter.kind.name))
    ]


def _argument(key: str, parameters: Sequence[str]) -> str:
    """The argument whose shape ``build`` was told under ``key``: ``x_shape``, or ``input_shape`` for the first."""
    name = key.removesuffix("_shape")
    return name if name in parameters or not parameters else parameters[0]


def _merged(arguments: Mapping[str, Any], parameters: Sequence[str]) -> Any:
    """One argument as it is; several by name, in the order in which ``call`` takes them."""
    if len(arguments) == 1:
        return next(iter(arguments.values()))
    if parameters and parameters[0] in arguments:
        if unknown := [name for name in arguments if name not in parameters]:
            raise UsageError(f"the model takes {', '.join(parameters)}, and no {', '.join(unknown)}")
        return _Keywords({name: arguments[name] for name in parameters if name in arguments})
    return dict(arguments)  # one argument that is a dict


def _built_spec(shape: Any, dtype: str) -> Any:
    if isinstance(shape, Mapping):
        return {key: _built_spec(item, dtype) for key, item in shape.items()}
    if all(dim is None or isinstance(dim, int) for dim in shape):
        return tf.TensorSpec([None, *shape[1:]], dtype)
    return [_built_spec(item, dtype) for item in shape]


def _spec(tensor: Any) -> tf.TensorSpec:
    """A KerasTensor of either Keras as a spec."""
    dtype = tensor.dtype if isinstance(tensor.dtype, (str, tf.DType)) else str(tensor.dtype)
    maker = getattr(getattr(tensor, "_keras_history", None), "operation", None)  # of Keras 3
    shape = tensor.shape if isinstance(tensor.shape, tf.TensorShape) else tuple(tensor.shape)  # may have no rank
    return tf.TensorSpec(shape, dtype, name=str((maker or tensor).name))


def _input_names(model: Any, structure: Any) -> list[str]:
    """Arguments and keys of dicts; elsewhere the names of the tensors, which are those of the input layers."""
    if isinstance(structure, _Keywords):
        return [f"{key}.{path}" if path else key for key, part in structure.items() for path, _ in leaves(part)]
    if isinstance(structure, Mapping):
        return [path for path, _ in leaves(structure)]
    first = next(iter(_parameters(model)), "input")
    return [spec.name or (f"{first}.{path}" if path else first) for path, spec in leaves(structure)]


def _named_outputs(model: Any, result: Any) -> list[tuple[str, Any]]:
    """What a call returned by name: keys of dicts; elsewhere the layers that made it, as Keras names outputs."""
    functional = getattr(model, "_functional", None) or model
    own = getattr(functional, "output_names", None)
    named = output_names(result)
    if isinstance(result, Mapping) or not own or len(own) != len(named):
        return named
    return list(zip(distinct(str(name) for name in own), (leaf for _, leaf in named), strict=True))


def _output_specs(model: Any) -> Any:
    """What a call returns, of specs; None where only a call tells."""
    functional = getattr(model, "_functional", None) or model
    own = getattr(functional, "_outputs_struct", None)
    own = getattr(model, "_nested_outputs", None) if own is None else own
    return None if own is None else tf.nest.map_structure(_spec, own)


def _is_leaf(layer: Any) -> bool:
    return not list(layer._flatten_layers(include_self=False, recursive=True))


def _classes(model: Any) -> dict[str, str]:
    """The qualified classes of the layers within a model, by their paths as modules."""
    found = {id(layer): type(layer) for layer in layers_of(model) if layer is not model}
    return {
        module_path(path): f"{found[key].__module__}.{found[key].__qualname__}"
        for key, path in paths_of(model).items()
        if key in found
    }


def _states(layer: Any) -> list[Any]:
    """What a recurrent layer keeps from one call to the next, which Keras counts among no variables."""
    states = getattr(layer, "states", None) if getattr(layer, "stateful", False) else None
    return [state for state in tf.nest.flatten(states) if hasattr(state, "assign")]


def _weights(model: Any) -> Mapping[int, Variable]:
    """Every variable of the model by its handle, under its path: unique, and below that of its layer."""
    paths = paths_of(model)
    found: dict[int, Any] = {}
    names: dict[int, str] = {}
    for layer in layers_of(model):
        for variable in (*own_variables(layer), *_states(layer)):
            handle = id(_tensor(variable).handle)
            if handle not in found:
                own = variable_name(variable)
                parent = own_path(layer)
                inside = own.startswith(f"{parent}/") and layer is not model
                found[handle] = variable
                names[handle] = f"{paths[id(layer)]}{own[len(parent) :]}" if inside else own
    for variable in model.variables:
        handle = id(_tensor(variable).handle)
        found.setdefault(handle, variable)
        names.setdefault(handle, variable_name(variable))
    unique = dict(zip(names, distinct(names.values()), strict=True))
    momenta = _momenta(model)
    return {
        handle: Variable(unique[handle], bool(variable.trainable), _tensor(variable), momentum=momenta.get(handle))
        for handle, variable in found.items()
    }


def _momenta(model: Any) -> dict[int, float]:
    """What batch norms keep of their statistics at a step of training, by the handles of these."""
    norms = [layer for layer in layers_of(model) if hasattr(layer, "momentum") and hasattr(layer, "moving_mean")]
    return {
        id(_tensor(statistic).handle): float(layer.momentum)
        for layer in norms
        for statistic in (layer.moving_mean, layer.moving_variance)
    }


def _tensor(variable: Any) -> Any:
    """The ``tf.Variable`` in a variable of either Keras."""
    return variable if isinstance(variable, tf.Variable) else variable.value


@contextlib.contextmanager
def _recorded_scopes(model: Any) -> Iterator[Scopes]:
    """The scopes of the layers that are called while this is open.

    They are there when it is closed: a path is known for sure once everything is built.
    """
    scopes: dict[str, str] = {}
    with recorded_callers(layers_of(model)) as callers:
        yield scopes
        paths = paths_of(model)
        scopes.update({scope: "" if layer is model else paths[id(layer)] for scope, layer in callers.items()})
