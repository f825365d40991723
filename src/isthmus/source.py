"""What a source is: told from its path or from its type, without importing a framework."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isthmus.errors import InvalidModel, UsageError
from isthmus.types import Kind

SourceKind = Literal["onnx", "torch", "tensorflow"]

_FACTORY = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
_BY_SUFFIX: dict[str, SourceKind] = {
    ".onnx": "onnx",
    ".pt2": "torch",
    ".pt": "torch",
    ".pth": "torch",
    ".ts": "torch",
    ".jit": "torch",
    ".keras": "tensorflow",
    ".h5": "tensorflow",
    ".hdf5": "tensorflow",
    ".pb": "tensorflow",
    ".meta": "tensorflow",
}
_LATEST = re.compile(r'^model_checkpoint_path: "([^"]*)"', re.MULTILINE)
# The class that tells the kind, by the module that defines it: looked up only where that is imported already.
_BY_CLASS: tuple[tuple[str, str, SourceKind], ...] = (
    ("onnx", "ModelProto", "onnx"),
    ("onnx_ir", "Model", "onnx"),
    ("torch.nn", "Module", "torch"),
    ("torch.export", "ExportedProgram", "torch"),
    ("keras", "Model", "tensorflow"),
    ("tf_keras", "Model", "tensorflow"),
    ("tensorflow", "Module", "tensorflow"),
    ("tensorflow", "types.experimental.PolymorphicFunction", "tensorflow"),
    ("tensorflow", "types.experimental.ConcreteFunction", "tensorflow"),
)


@dataclass(frozen=True)
class Factory:
    """``package.module:factory``, a callable that returns a model, and the state dict to load into it."""

    callable: str
    weights: Path | None = None


@dataclass(frozen=True)
class Source:
    """A recognised source. ``path`` is set where it lies on disk, ``factory`` where a callable makes it."""

    value: Any
    kind: SourceKind
    path: Path | None = None
    factory: Factory | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """What a report calls it: never an absolute path."""
        if self.path is not None:
            return self.path.name
        if self.name:
            return self.name
        return self.factory.callable if self.factory is not None else type(self.value).__name__


def recognise(source: Any) -> Source:
    """Tell what ``source`` is.

    Raises errors.UsageError where it is nothing that Isthmus knows, errors.InvalidModel where a path is empty or
    is not what its name says.
    """
    if isinstance(source, Factory):
        if not _FACTORY.match(source.callable):
            raise UsageError(f"weights go with a package.module:factory, and {source.callable!r} is none")
        return _from_factory(source)
    if isinstance(source, str) and _FACTORY.match(source) and not Path(source).exists():
        return _from_factory(Factory(source))
    if isinstance(source, (str, Path)):
        return _from_path(Path(source))
    kind = _kind_of(source)
    if kind is not None:
        return Source(source, kind)
    raise UsageError(
        f"{type(source).__module__}.{type(source).__qualname__} is not a model",
        hint="pass a path, package.module:factory, a torch.nn.Module, ExportedProgram, keras.Model, tf.Module, "
        "tf.function, onnx.ModelProto or onnx_ir.Model",
    )


def judged(source: Any) -> Source:
    """Tell what a side of a judgement is: all that ``recognise`` knows, and Python source that Isthmus wrote.

    The latter can be run, which is all that the judge does, and not be read.
    """
    if isinstance(source, (str, Path)) and (path := Path(source)).suffix == ".py" and path.is_file():
        return Source(path, "torch", path=path)
    return recognise(source)


def target_kind(target: Path | None, to: str | None) -> Kind:
    """What to write: as asked by ``to``, else as the target's name tells. Raises errors.UsageError."""
    kinds: tuple[Kind, ...] = ("onnx", "saved_model", "torch", "python")
    if to is not None and to not in kinds:
        raise UsageError(f"cannot write {to!r}", hint=f"--to takes one of: {', '.join(kinds)}")
    told = _told_by_name(target)
    if to is None and told is None:
        raise UsageError("what to convert to?", hint="name a target such as model.onnx or a folder, or pass to=")
    if to is not None and told is not None and target is not None and to != told and target.suffix:
        raise UsageError(f"{target.name} is the name of a {told} target, and to={to!r} was asked", hint="change one")
    return next(kind for kind in kinds if kind == (to or told))


def _told_by_name(target: Path | None) -> Kind | None:
    if target is None:
        return None
    by_suffix: dict[str, Kind] = {".onnx": "onnx", ".pt2": "torch", ".py": "python"}
    return by_suffix.get(target.suffix, "saved_model")


def _kind_of(thing: Any) -> SourceKind | None:
    """The world of a live model, by the classes of what is imported already; None where it is no model."""
    for module, name, kind in _BY_CLASS:
        known: Any = sys.modules.get(module)
        for part in name.split("."):
            known = getattr(known, part, None)
        if isinstance(known, type) and isinstance(thing, known):
            return kind
    return None


def _from_factory(factory: Factory) -> Source:
    """A factory of PyTorch's, which its reader calls; or the model that one of TensorFlow's made, called here.

    It is called to find out only where importing it brought TensorFlow along.
    """
    from isthmus.opening.named import named_object

    found = named_object(factory.callable)
    if "tensorflow" not in sys.modules and "tf_keras" not in sys.modules:
        return Source(factory.callable, "torch", factory=factory)
    if _kind_of(found) != "tensorflow":
        found = found() if callable(found) and _kind_of(found) is None else found
    if _kind_of(found) != "tensorflow":
        return Source(factory.callable, "torch", factory=factory)
    if factory.weights is not None:
        if not hasattr(found, "load_weights"):
            raise UsageError(f"a {type(found).__name__} loads no weights", hint="load them in the factory")
        try:
            found.load_weights(factory.weights)
        except (OSError, ValueError, KeyError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(f"{factory.weights.name} does not fit {factory.callable}: {first}") from error
    return Source(found, "tensorflow", name=factory.callable)


def _from_path(path: Path) -> Source:
    path = _checkpoint(path) or path
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", hint="give a path, or package.module:factory")
    if path.is_dir():
        if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
            return Source(path, "tensorflow", path=path)
        raise InvalidModel(f"{path}: a folder without a saved_model.pb or a checkpoint is no model")
    if path.stat().st_size == 0:
        raise InvalidModel(f"{path}: the file is empty")
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if path.suffix == ".py":
        raise UsageError(
            f"{path.name}: Python source is not read as a file", hint=f"name its function: {path.stem}:load_model"
        )
    if kind is None:
        raise UsageError(
            f"{path}: {path.suffix or 'no suffix'} tells no format", hint=f"known: {', '.join(sorted(_BY_SUFFIX))}"
        )
    return Source(path, kind, path=path)


def _checkpoint(path: Path) -> Path | None:
    """The meta graph of a checkpoint that is named by its prefix, by its index, or by the folder that it is in.

    None where ``path`` names none. Raises errors.InvalidModel for a checkpoint without its graph.
    """
    prefix = None
    if path.is_dir() and (path / "checkpoint").is_file():
        listed = _LATEST.search((path / "checkpoint").read_text(encoding="utf-8", errors="replace"))
        prefix = path / Path(listed[1]).name if listed else None
    elif path.suffix == ".index":
        prefix = path.with_suffix("")
    elif not path.exists() and path.with_name(f"{path.name}.index").is_file():
        prefix = path
    if prefix is None:
        return None
    meta = prefix.with_name(f"{prefix.name}.meta")
    if not meta.is_file():
        raise InvalidModel(
            f"{path}: a checkpoint holds weights only, and {meta.name} with its graph is not there",
            hint="load it into its model, and save that whole: tf.saved_model.save or model.save",
        )
    return meta
