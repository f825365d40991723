"""A SavedModel in TensorFlow, by one of its signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import InvalidModel, Unsupported, UsageError
from isthmus.types import Blocker, Dim, Signature, TensorSpec
from isthmus.verify.runners import codec
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients, Origin, of_tensorflow
from isthmus.verify.runners.protocol import DEFAULT, Loaded, require

_TENSORFLOW = "tensorflow"
_SERVING = "serving_default"
_RECORD = "assets.extra/isthmus.json"


def load(source: str, options: Mapping[str, Any]) -> Loaded:
    """Load the SavedModel folder at ``source``.

    ``options``: ``signature_key`` names the one to call; without it ``serving_default``, or the only one there is.
    Raises ``InvalidModel`` for a folder that is none, ``UsageError`` for a signature that it lacks.
    """
    folder = Path(source)
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise InvalidModel(f"{source} is not a SavedModel: it holds no saved_model.pb")
    return _SavedModel(source, options.get("signature_key"))


class _SavedModel:
    """One signature of a SavedModel. Names are those of its SignatureDef, whatever characters they hold."""

    variants = (DEFAULT,)

    def __init__(self, source: str, signature: str | None) -> None:
        tf = require(_TENSORFLOW, "a SavedModel is judged by running it there")
        try:
            self._model = tf.saved_model.load(source)  # kept: the functions hold their variables only weakly
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise InvalidModel(f"TensorFlow cannot load {Path(source).name}: {error}") from error
        self._tf = tf
        self._call = self._model.signatures[_chosen(tuple(self._model.signatures), signature, source)]
        inputs = self._call.structured_input_signature[1]
        record = _record(Path(source))
        self._keywords = {n: str(w) for n, w in record.get("keywords", {}).items() if w in inputs}
        self._origins = {name: _origin(name, held) for name, held in record.get("weights", {}).items()}
        names = {word: word for word in inputs} | {word: name for name, word in self._keywords.items()}
        self.signature = Signature(
            tuple(_spec(names[word], inputs[word]) for word in sorted(inputs)),
            tuple(_spec(name, spec) for name, spec in sorted(self._call.structured_outputs.items())),
        )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        return {name: _value(output) for name, output in self._called(feeds).items()}

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        held = getattr(self._model, "parameters", {}) if self._origins else {}
        known = {id(variable): name for name, variable in dict(held).items()}
        trained = {
            known.get(id(variable), variable.name.removesuffix(":0")): variable
            for variable in self._call.trainable_variables
        }
        return of_tensorflow(self._tf, trained, lambda: self._called(feeds), cotangents, self._origins)

    def _called(self, feeds: Mapping[str, Value]) -> Mapping[str, Any]:
        given = {
            self._keywords.get(spec.name, spec.name): self._tensor(spec, feeds[spec.name])
            for spec in self.signature.inputs
        }
        outputs: Mapping[str, Any] = self._call(**given)
        return outputs

    def _tensor(self, spec: TensorSpec, value: Value) -> Any:
        if not isinstance(value, np.ndarray):
            raise Unsupported(
                f"input {spec.name!r} cannot be fed",
                [Blocker(op="SavedModel", reason="TensorFlow signatures take tensors, no sequence, map or optional")],
            )
        # A type that differs is the model's fault and must be seen, so nothing is cast here.
        return self._tf.constant(value)


def _record(folder: Path) -> Mapping[str, Any]:
    """What Isthmus left in a SavedModel of its own: ``keywords``, the inputs that a loaded signature takes under
    another name, for TensorFlow cannot tell theirs from others'; ``weights``, how those of the source are stored."""
    try:
        record: Mapping[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InvalidModel(f"{folder.name}/{_RECORD} is no JSON") from error
    return record


def _origin(name: str, stored: Mapping[str, Any]) -> Origin:
    perm, shape = stored.get("perm"), stored.get("source_shape")
    return Origin(name, tuple(perm) if perm else None, tuple(shape) if shape else None)


def _chosen(names: tuple[str, ...], wanted: str | None, source: str) -> str:
    if wanted is None and _SERVING not in names and len(names) == 1:
        return names[0]
    chosen = wanted or _SERVING
    if chosen not in names:
        offered = ", ".join(names) or "none at all"
        raise UsageError(
            f"{Path(source).name} has no signature {chosen!r}; it has {offered}", hint="choose with --signature"
        )
    return chosen


def _spec(name: str, spec: Any) -> TensorSpec:
    dtype = "string" if spec.dtype.name == "string" else codec.dtype_name(np.dtype(spec.dtype.as_numpy_dtype))
    dims: tuple[Dim, ...] | None = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorSpec(name, dtype, dims)


def _value(output: Any) -> Value:
    if hasattr(output, "to_tensor") and hasattr(output, "nested_row_splits"):  # a RaggedTensor is a sequence
        return [_value(row) for row in output]
    array = np.asarray(output.numpy())
    return codec.as_text(array) if array.dtype.kind in "OSU" else array
