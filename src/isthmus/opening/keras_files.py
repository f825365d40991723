"""``.keras`` and ``.h5`` files, without running code that they bring: Keras 3's own, and Keras 2's by tf_keras."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from isthmus.errors import InvalidModel, UnsafeInput, UsageError
from isthmus.opening.archives import check_archive, check_hdf5, opened_archive, text_of
from isthmus.opening.custom import NAME_THEM, custom_objects
from isthmus.opening.legacy import LOADING, load_legacy
from isthmus.opening.quiet import quiet

_ROOMS = (
    *("activations", "constraints", "initializers", "layers", "losses", "metrics", "models", "optimizers"),
    *("regularizers", "dtype_policies", "quantizers"),
)
"""Where Keras looks for what a file names without its module."""


def load_file(path: Path, custom: Sequence[str] = (), *, trust: bool = False) -> Any:
    """The model in a ``.keras``, ``.h5`` or ``.hdf5`` file, never compiled.

    ``custom`` names classes and functions as ``module:name``; ``trust`` allows Lambda layers and whatever modules
    the file names.

    Raises:
        InvalidModel: no such file of Keras, cut off, or its weights do not fit.
        UnsafeInput: Lambda layers, custom objects that were not named, references to other files, bombs.
        UsageError: weights without their model; custom objects that cannot be imported.
        FrameworkMissing: a file of Keras 2, and tf_keras is not installed.
    """
    config, version = _described(path)
    named = custom_objects(custom)
    is_legacy = version.partition(".")[0] in ("0", "1", "2")
    if not trust:
        _refuse_code(path, config, named, is_legacy=is_legacy)
    if is_legacy:
        return load_legacy(path, config, named, trust=trust)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    registered = {key: named[name] for key in _registered(config) if (name := _plain(key)) in named}
    try:
        with quiet():
            return keras.saving.load_model(path, {**named, **registered}, compile=False, safe_mode=not trust)
    except LOADING as error:
        if "register_keras_serializable" in str(error):  # it looks for what it has not
            raise UnsafeInput(f"{path.name} needs custom objects: {_first(error)}", hint=NAME_THEM) from error
        raise InvalidModel(f"Keras cannot load {path.name}: {_first(error)}") from error


def producer_of(path: Path) -> str:
    """The Keras that wrote a file, with its version. Raises InvalidModel as ``load_file`` does."""
    return f"keras {_described(path)[1]}"


def _described(path: Path) -> tuple[Mapping[str, Any], str]:
    """The configuration of the model in a file, and the version of Keras that wrote it."""
    if not h5py.is_hdf5(path):
        check_archive(path)
        with opened_archive(path) as archive:
            metadata = _parsed(path, text_of(archive, "metadata.json", path))
            return _parsed(path, text_of(archive, "config.json", path)), str(metadata.get("keras_version", "3"))
    check_hdf5(path)
    with h5py.File(path, "r") as file:
        config, version = file.attrs.get("model_config"), file.attrs.get("keras_version")
        if version is None and "model_weights" in file:
            version = file["model_weights"].attrs.get("keras_version")
    if config is None:
        raise UsageError(
            f"{path.name} holds weights only, not the model that they belong to",
            hint="load them into the model, and save that whole: model.save('model.keras')",
        )
    text = config.decode() if isinstance(config, bytes) else str(config)
    version = version.decode() if isinstance(version, bytes) else version
    return _parsed(path, text), str(version or "2")


def _parsed(path: Path, text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"the description of the model in {path.name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidModel(f"the description of the model in {path.name} is no object")
    return found


def _refuse_code(path: Path, config: Mapping[str, Any], named: Mapping[str, Any], *, is_legacy: bool) -> None:
    """Raise errors.UnsafeInput with every Lambda layer, custom object that nobody named, and file elsewhere."""
    lambdas, customs, files = [], [], []
    for entry in _objects(config):
        cls, inner = str(entry.get("class_name")), entry.get("config")
        if cls in ("Lambda", "__lambda__"):
            name = inner.get("name", "") if isinstance(inner, Mapping) else ""
            lambdas.append(str(name or cls))
        elif _is_custom(entry, is_legacy) and cls not in named and _plain(str(inner)) not in named:
            customs.append(_called(entry))
        elsewhere = (
            inner.get("filepath" if cls == "TFSMLayer" else "vocabulary") if isinstance(inner, Mapping) else None
        )
        if isinstance(elsewhere, str):
            files.append(elsewhere)
    told = []
    hints = []
    if lambdas:
        told.append(f"Lambda layers, which are Python code: {', '.join(dict.fromkeys(lambdas))}")
        hints.append("pass --trust-pickle if you know who made it, or replace Lambda by a layer of your own")
    if customs:
        told.append(f"custom objects: {', '.join(dict.fromkeys(customs))}")
        hints.append(NAME_THEM)
    if files:
        told.append(f"vocabularies or SavedModels of files elsewhere: {', '.join(dict.fromkeys(files))}")
        hints.append("pass --trust-pickle if you know who made it")
    if told:
        raise UnsafeInput(
            f"loading {path.name} would run code or read files; it holds {'; '.join(told)}",
            hint="; ".join(dict.fromkeys(hints)),
        )


def _is_custom(entry: Mapping[str, Any], is_legacy: bool) -> bool:
    """Whether Keras 3 would look for this object outside of itself; ``load_legacy`` asks for itself."""
    if "module" not in entry and "registered_name" not in entry:
        return not is_legacy and not _is_own(str(entry.get("class_name")))
    module = entry.get("module")
    if module == "builtins" and entry.get("class_name") == "function":
        return not _is_own(str(entry.get("config")))
    if entry.get("registered_name") and ">" in str(entry["registered_name"]):
        return True
    return module is None or str(module).partition(".")[0] not in ("keras", "builtins", "tf_keras", "tensorflow")


def _is_own(name: str) -> bool:
    """Whether Keras finds a class or function by its bare name among its own; ``__tuple__`` and its like are data."""
    import keras

    return (
        name == "Functional"
        or name.startswith("__")
        or any(callable(getattr(getattr(keras, room), name, None)) for room in _ROOMS)
    )


def _called(entry: Mapping[str, Any]) -> str:
    """What the user knows a custom object by."""
    if entry.get("class_name") == "function":
        return str(entry.get("config"))
    module = f"{entry['module']}." if entry.get("module") else ""
    return str(entry.get("registered_name") or f"{module}{entry.get('class_name')}")


def _plain(name: str) -> str:
    """``Twice`` of ``package>Twice``."""
    return name.rpartition(">")[2]


def _registered(config: Any) -> Iterator[str]:
    """The names under which Keras would look for custom objects."""
    for entry in _objects(config):
        for key in ("registered_name", "config"):
            if isinstance(name := entry.get(key), str):
                yield name


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that a configuration describes, however deep."""
    pending = [config]
    while pending:
        thing = pending.pop()
        if isinstance(thing, Mapping):
            if "class_name" in thing:
                yield thing
            pending.extend(reversed(list(thing.values())))
        elif isinstance(thing, list):
            pending.extend(reversed(thing))


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
