"""SavedModels: by a signature, or by one of the functions that they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from isthmus.errors import InvalidModel
from isthmus.opening.checkpoints import Held, checkpoint_of
from isthmus.opening.function import Opened, Variable
from isthmus.opening.functions import of_function, weights_of
from isthmus.opening.names import no_signature, ranked, signature_key
from isthmus.opening.quiet import quiet
from isthmus.opening.record import Record, record_of
from isthmus.opening.shapes import inputs_of

_NUMBERED = re.compile(r"\A__inference_(.*)_\d+\Z")
"""Functions of which TensorFlow keeps but a part of the name when it loads them; of others it keeps the whole."""


def open_saved_model(
    folder: Path, inputs: Any, dynamic_shapes: Any, signature: str | None, *, lazily: bool = False
) -> Opened:
    """A SavedModel of TensorFlow 2. Without ``signature`` it is ``serving_default``, or the only one there is.

    ``lazily``: it is to be read and not to be run, so its variables may stay in the checkpoint until they are wanted.

    Raises:
        InvalidModel: TensorFlow cannot load it: cut off, variables that are missing.
        UsageError: no such signature; what there is stands in the hint.
    """
    try:
        with quiet():
            model, held = _loaded(folder, lazily=lazily)
    except (OSError, ValueError, LookupError, AttributeError, RuntimeError, DecodeError, tf.errors.OpError) as error:
        raise InvalidModel(f"TensorFlow cannot load {folder.name}: {_first(error)}") from error
    record = record_of(folder)
    key = signature_key(model.signatures, signature)
    if key in model.signatures:
        return _held(_of_signature(model, key, folder.name, record, dynamic_shapes), held)
    functions = dict(_functions(model))
    if key not in functions:
        signatures = sorted(model.signatures)
        raise no_signature(folder.name, key, signatures, [name for name in functions if name not in signatures])
    function = functions[key]
    opened = of_function(function, inputs, dynamic_shapes, name=folder.name, kind="saved_model", root=model)
    return _held(opened, held)


def _loaded(folder: Path, *, lazily: bool) -> tuple[Any, Mapping[int, Held]]:
    """What TensorFlow makes of a folder, and the variables by their handles that it left in the checkpoint."""
    checkpoint = checkpoint_of(folder) if lazily else None
    if checkpoint is not None:
        model = tf.saved_model.load(
            str(folder), options=tf.saved_model.LoadOptions(experimental_skip_checkpoint=True)
        )
        held = checkpoint.values(model)
        if held is not None:
            return model, held
    return tf.saved_model.load(str(folder)), {}


def _held(opened: Opened, held: Mapping[int, Held]) -> Opened:
    """``opened``, its variables read from the checkpoint."""

    def weights(concrete: Any) -> Mapping[int, Variable]:
        found = opened.weights(concrete)
        return {key: replace(v, value=held[key]) if key in held else v for key, v in found.items()}

    return replace(opened, weights=weights) if held else opened


def proto_of(folder: Path) -> Any:
    """The SavedModel proto in a folder. Raises errors.InvalidModel where it cannot be parsed or holds nothing."""
    proto = saved_model_pb2.SavedModel()
    try:
        if (folder / "saved_model.pb").is_file():
            proto.ParseFromString((folder / "saved_model.pb").read_bytes())
        else:
            text_format.Parse((folder / "saved_model.pbtxt").read_text(encoding="utf-8"), proto)
    except (DecodeError, text_format.ParseError, OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"{folder.name}/saved_model.pb cannot be parsed: {_first(error)}") from error
    if not proto.meta_graphs:
        raise InvalidModel(f"{folder.name}/saved_model.pb holds no graph")
    return proto


def functions_of_proto(meta: Any) -> list[str]:
    """The functions that a SavedModel's object holds and that were traced, by name."""
    nodes = meta.object_graph_def.nodes
    return sorted(
        child.local_name
        for child in nodes[0].children
        if nodes[child.node_id].function.concrete_functions and _is_public(child.local_name)
    )


def _of_signature(model: Any, key: str, name: str, record: Record, dynamic_shapes: Any) -> Opened:
    concrete = model.signatures[key]
    specs: Mapping[str, Any] = concrete.structured_input_signature[1]
    words = list(concrete._arg_keywords)
    mine = {word: own for own, word in record.keywords.items() if word in specs}
    named = [(mine.get(word, word), specs[word]) for word in words]
    names = [own for own, _ in named]
    order = [names.index(own) for own in ranked(names, record.inputs)]
    inputs = inputs_of([named[i] for i in order], dynamic_shapes)
    keywords = [words[i] for i in order]

    def call(*tensors: tf.Tensor) -> Any:
        return concrete(**dict(zip(keywords, tensors, strict=True)))

    def outputs(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
        return [(own, result[own]) for own in ranked(result, record.outputs)]

    return Opened(
        name=name,
        kind="saved_model",
        road="SavedModel",
        inputs=inputs,
        call=call,
        outputs=outputs,
        concrete=concrete,
        returned=concrete.structured_outputs,
        places=tuple(order),
        weights=lambda found: _recorded(weights_of(found, model), model, record),
        constants=_constants(record),
        scopes=record.scopes,
        classes=lambda: record.classes,
        state=record.state,
        keeps=(model,),
    )


def _recorded(weights: Mapping[int, Variable], model: Any, record: Record) -> Mapping[int, Variable]:
    """The weights, those of a model that Isthmus wrote under the names of its source."""
    parameters = getattr(model, "parameters", None)
    if not record.weights or not isinstance(parameters, Mapping):
        return weights
    renamed = dict(weights)
    for name, stored in record.weights.items():
        variable = parameters.get(name) if stored.variable else None
        if variable is not None and id(variable.handle) in renamed:
            renamed[id(variable.handle)] = Variable(
                name,
                stored.role == "parameter" if stored.role else stored.trainable,
                variable,
                perm=stored.perm,
                shape=stored.source_shape,
                made_of=stored.made_of,
                key=stored.key,
            )
    return renamed


def _constants(record: Record) -> Mapping[str, Variable]:
    """The weights that nodes of a model that Isthmus wrote hold, by ``function/node`` as TensorFlow loads it."""
    found: dict[str, list[Variable]] = {}
    for name, stored in record.weights.items():
        if stored.role not in ("parameter", "buffer"):
            continue
        weight = Variable(
            stored.copy_of or name,
            stored.role == "parameter",
            None,
            perm=stored.perm,
            shape=stored.source_shape,
            key=record.weights.get(stored.copy_of, stored).key,
        )
        for place in stored.nodes:
            function, _, node = place.partition("/")
            loaded = _NUMBERED.sub(r"\1", function)
            found.setdefault(f"{loaded}/{node}", []).append(weight)
    return {node: weights[0] for node, weights in found.items() if weights.count(weights[0]) == len(weights)}


def _functions(model: Any) -> Iterator[tuple[str, Any]]:
    """The functions that a loaded model holds, by name."""
    for name in sorted({"__call__", *filter(_is_public, vars(model))}):
        found: Any = getattr(model, name, None)
        if getattr(found, "concrete_functions", None):
            yield name, found


def _is_public(name: str) -> bool:
    return name == "__call__" or not name.startswith("_")


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
