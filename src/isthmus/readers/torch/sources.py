"""What a PyTorch source is, and opening it: a live object, ``.pt2``, TorchScript, or a factory with weights."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from isthmus.errors import InvalidModel, UsageError
from isthmus.opening.named import named_object
from isthmus.readers.torch.quiet import quiet
from isthmus.readers.torch.safety import load_checkpoint, unsafe_parts_of_program
from isthmus.types import Note, Options

SourceKind = Literal["torch", "torch.pt2", "torchscript"]


@dataclass(frozen=True)
class Opened:
    """A source in memory: a module, an exported program or a TorchScript module, and how it is called in reports."""

    name: str
    kind: SourceKind
    thing: Any
    notes: tuple[Note, ...] = ()


def open_source(source: Any, options: Options, weights: Path | None) -> Opened:
    """Load whatever ``source`` is; ``weights`` are loaded into a module.

    Raises:
        UsageError: no such file, a bare state dict, weights that do not fit, or nothing that PyTorch knows.
        InvalidModel: a truncated, empty or foreign file.
        UnsafeInput: a pickle that is not trusted.
    """
    opened = _live(source) if not isinstance(source, (str, Path)) else _named(str(source), options)
    if weights is None:
        return opened
    if not isinstance(opened.thing, torch.nn.Module) or opened.kind != "torch":
        raise UsageError(f"{opened.name} already has its weights; --weights goes with a module or a factory")
    notes = load_weights(opened.thing, weights, trust_pickle=options.trust_pickle)
    return Opened(opened.name, opened.kind, opened.thing, opened.notes + notes)


def _live(source: Any) -> Opened:
    source = getattr(source, "_orig_mod", source)  # what torch.compile wraps
    if isinstance(source, torch.export.ExportedProgram):
        return Opened("ExportedProgram", "torch.pt2", source)
    if isinstance(source, torch.jit.ScriptModule):
        return Opened(source.original_name, "torchscript", source)
    if isinstance(source, torch.nn.Module):
        return Opened(type(source).__name__, "torch", source)
    raise UsageError(f"a {type(source).__name__} is not a PyTorch model")


def _named(text: str, options: Options) -> Opened:
    path = Path(text)
    if path.is_file():
        return _file(path, options)
    module, colon, factory = text.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), *factory.split("."))):
        made = _called(module, factory)
        return Opened(text, _live(made).kind, made)
    if path.is_dir():
        raise UsageError(f"{path} is a directory, not a PyTorch file")
    raise UsageError(f"no such file: {path}")


def _called(module: str, factory: str) -> Any:
    """The model of that name, or the result of the factory, seeded: the judge calls it again in another process."""
    found = named_object(f"{module}:{factory}")
    if isinstance(found, (torch.nn.Module, torch.export.ExportedProgram)) or not callable(found):
        return found
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return found()


def _file(path: Path, options: Options) -> Opened:
    if path.stat().st_size == 0:
        raise InvalidModel(f"{path} is empty")
    if not zipfile.is_zipfile(path):
        if path.suffix == ".safetensors":
            raise _bare_weights(path)
        return _checkpoint(path, options)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InvalidModel(f"{path} is a damaged archive: {error}") from error
    inner = {member.partition("/")[2] for member in members}
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return _torchscript(path)
    if _is_program(members):
        return _program(path, options)
    if "data.pkl" in inner:
        return _checkpoint(path, options)
    raise InvalidModel(f"{path} is an archive, but of no PyTorch format")


def _is_program(members: Sequence[str]) -> bool:
    inner = {member.partition("/")[2] for member in members}
    return "archive_format" in inner or any(name.endswith("serialized_exported_program.json") for name in members)


def require_safe_program(path: Path) -> None:
    """Refuse an exported program whose loading would run code; what is none is left to whoever loads it.

    Raises errors.UnsafeInput, errors.InvalidModel.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        if _is_program(members):
            unsafe_parts_of_program(path)


def _program(path: Path, options: Options) -> Opened:
    if not options.trust_pickle:
        unsafe_parts_of_program(path)
    try:
        with quiet():
            program = torch.export.load(path)
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
        AssertionError,
    ) as error:
        raise InvalidModel(f"{path} cannot be read as an exported program: {_first(error)}") from error
    return Opened(path.name, "torch.pt2", program)


def _torchscript(path: Path) -> Opened:
    try:
        with quiet():
            module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise InvalidModel(f"{path} cannot be read as TorchScript: {_first(error)}") from error
    return Opened(path.name, "torchscript", module)


def _checkpoint(path: Path, options: Options) -> Opened:
    content = load_checkpoint(path, trust_pickle=options.trust_pickle)
    if isinstance(content, torch.nn.Module):
        return Opened(path.name, "torch", content)
    if isinstance(content, Mapping):
        raise _bare_weights(path)
    raise InvalidModel(f"{path} holds a {type(content).__name__}, not a model")


def _bare_weights(path: Path) -> UsageError:
    hint = f"name a factory that builds the module: package.module:factory --weights {path}"
    return UsageError(f"{path} holds weights only, not the module that they belong to", hint=hint)


def load_weights(module: torch.nn.Module, path: Path, *, trust_pickle: bool) -> tuple[Note, ...]:
    """Load a state dict from ``path`` into ``module``.

    Raises:
        UsageError: no such file, or names and shapes that do not fit the module.
    """
    if not path.is_file():
        raise UsageError(f"no such file of weights: {path}")
    state, notes = _unwrapped(_state(path, trust_pickle), module)
    expected = module.state_dict()
    missing = [name for name in expected if name not in state and not _tied(module, name, state)]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} is {list(state[name].shape)}, the module has {list(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if missing or unexpected or shapes:
        lines = [f"missing {_some(missing)}"] * bool(missing) + [f"unexpected {_some(unexpected)}"] * bool(unexpected)
        raise UsageError(f"{path.name} does not fit {type(module).__name__}: {'; '.join(lines + shapes[:3])}")
    module.load_state_dict(dict(state), strict=False)
    return notes


def _state(path: Path, trust_pickle: bool) -> Any:
    if path.suffix != ".safetensors":
        return load_checkpoint(path, trust_pickle=trust_pickle)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidModel(f"{path} cannot be read as safetensors: {_first(error)}") from error


def _unwrapped(content: Any, module: torch.nn.Module) -> tuple[Mapping[str, torch.Tensor], tuple[Note, ...]]:
    """The state dict inside a training checkpoint, without the prefix of ``DataParallel``."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    notes: tuple[Note, ...] = ()
    for key in ("state_dict", "model_state_dict", "model", "module"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content, notes = content[key], (Note("weights", f"taken from the checkpoint's {key!r}"),)
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UsageError("the weights are not a state dict: names to tensors")
    state = {str(name): value for name, value in content.items()}
    for prefix in ("module.", "_orig_mod.", "model."):
        if state and all(n.startswith(prefix) for n in state) and not set(state) & set(module.state_dict()):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
            notes = (*notes, Note("weights", f"prefix {prefix!r} removed from every name"))
    return state, notes


def _tied(module: torch.nn.Module, name: str, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether the weight ``name`` shares its memory with one that ``state`` has."""
    own = {n: t.data_ptr() for n, t in module.state_dict().items()}
    return any(other in state and own[other] == own[name] for other in own if other != name)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
