"""PyTorch models on disk, and factories that make them: what is loaded, and what a file tells of its source."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from isthmus.errors import InvalidModel, UnsafeInput, UsageError
from isthmus.types import Signature, StoredWeight, TensorSpec
from isthmus.verify.runners.protocol import require, signature_from

ORIGINS = "isthmus.json"
"""Where a ``.pt2`` and the ``.safetensors`` beside a ``.py`` tell, as JSON, what they were converted from."""

_WRITTEN = frozenset({"load_model", "INPUTS", "OUTPUTS"})
"""What a source that Isthmus wrote defines."""

_BROKEN = (
    *(RuntimeError, ValueError, TypeError, AttributeError, AssertionError),
    *(LookupError, OSError, EOFError, UnpicklingError),
)
"""What torch raises over a file that is not what its name says."""


@dataclass(frozen=True)
class Told:
    """What a file says of the model that it was converted from: its inputs and outputs, and by key the weights that
    are not stored as they were there."""

    signature: Signature | None = None
    stored: Mapping[str, StoredWeight] = field(default_factory=dict)


def from_file(torch: Any, path: Path) -> tuple[Any, Told]:
    """The module, TorchScript module or exported program at ``path``, and what the file tells.

    Source of Isthmus' own is run. Raises ``InvalidModel`` where the file, or the weights beside it, are none.
    """
    if not path.is_file():
        raise InvalidModel(f"{path} is not a file, nor a package.module:factory")
    if path.suffix == ".py":
        return _from_source(path)
    kind = _archive_kind(path)
    told = {ORIGINS: ""}
    try:
        if kind == "torchscript":
            return torch.jit.load(str(path), map_location="cpu").eval(), Told()
        program = torch.export.load(path, extra_files=told)
    except _BROKEN as error:
        raise InvalidModel(f"torch cannot load {path.name}: {error}") from error
    return program, _told(told[ORIGINS], path)


def _told(text: str, path: Path) -> Told:
    """What a writer left in its file; nothing where another program wrote that."""
    if not text:
        return Told()
    try:
        found = json.loads(text)
        stored = [StoredWeight(**entry) for entry in found["weights"]]
        return Told(signature_from(found["signature"]), {weight.key: weight for weight in stored})
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidModel(f"{path.name}: what it tells of its source is damaged ({error})") from error


def _archive_kind(path: Path) -> str:
    """``torchscript`` or ``exported``, by what the zip holds. Weights and whole pickled modules are neither."""
    if not zipfile.is_zipfile(path):
        raise InvalidModel(
            f"{path.name} is neither an exported program nor TorchScript: it is no zip archive",
            hint="save the model with torch.export.save, or name a package.module:factory with --weights",
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    # Every writer puts all entries into one folder named after the file.
    inner = {name.partition("/")[2] or name for name in names}
    if "archive_format" in inner or "serialized_exported_program.json" in {*inner, *names}:
        return "exported"
    if "constants.pkl" in inner:
        return "torchscript"
    raise InvalidModel(
        f"{path.name} holds weights or a pickled module, not a model that runs by itself",
        hint="name a package.module:factory as the model and pass this file as --weights",
    )


def _from_source(path: Path) -> tuple[Any, Told]:
    """The model of a file that Isthmus wrote: what anybody who imports it gets."""
    _require_written(path)
    weights = path.with_suffix(".safetensors")
    safetensors = require("safetensors", "the weights are in that format")
    if not weights.is_file():
        raise InvalidModel(f"{path.name} has no {weights.name} beside it", hint="keep both files together")
    spec = importlib.util.spec_from_file_location("isthmus_written", path)
    assert spec is not None and spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    try:
        module = source.load_model()
    except safetensors.SafetensorError as error:
        raise InvalidModel(f"{weights.name} cannot be read as safetensors: {error}") from error
    except (RuntimeError, KeyError) as error:
        raise InvalidModel(f"{weights.name} does not fit {path.name}: {error}") from error
    inputs, outputs = tuple(source.INPUTS), tuple(source.OUTPUTS)
    told = _beside(weights)
    if told.signature is None or _names(told.signature) != (inputs, outputs):  # weights that were saved anew
        signature = Signature(*(tuple(TensorSpec(name, "", None) for name in names) for names in (inputs, outputs)))
        return module, replace(told, signature=signature)
    return module, told


def _names(signature: Signature) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(spec.name for spec in side) for side in (signature.inputs, signature.outputs))


def _require_written(path: Path) -> None:
    """Refuse what Isthmus did not write, before anything of it is run."""
    try:
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError) as error:
        raise InvalidModel(f"{path.name} is no Python source: {error}") from error
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    targets = (target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets)
    names |= {target.id for target in targets if isinstance(target, ast.Name)}
    if missing := sorted(_WRITTEN - names):
        raise InvalidModel(
            f"{path.name} is no model that Isthmus wrote: it defines no {', '.join(missing)}",
            hint="name a function that returns the model as package.module:factory",
        )


def _beside(weights: Path) -> Told:
    """What the weights beside a written source tell."""
    safetensors = require("safetensors", "the weights are in that format")
    with safetensors.safe_open(weights, framework="pt") as file:
        return _told((file.metadata() or {}).get(ORIGINS, ""), weights)


def from_factory(torch: Any, source: str, weights: str | None, trust_pickle: bool) -> Any:
    """The module or exported program that ``package.module:name`` is or returns, in eval mode, with ``weights``.

    A factory's random numbers are seeded as its reader has them. Raises ``UsageError`` where there is no such
    factory, or where weights do not fit; ``UnsafeInput`` where they would run code.
    """
    module_name, _, attribute = source.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise UsageError(f"there is no module {module_name!r}", hint="is its folder on PYTHONPATH?") from error
    except AttributeError as error:
        raise UsageError(f"{module_name} has no {attribute!r}") from error
    kinds = (torch.nn.Module, torch.export.ExportedProgram)
    if not isinstance(found, kinds) and callable(found):
        torch.manual_seed(0)
        found = found()
    if not isinstance(found, kinds):
        raise UsageError(f"{source} returned a {type(found).__name__}, not an nn.Module")
    if isinstance(found, torch.export.ExportedProgram):
        return found
    if weights is not None:
        _load_weights(torch, found, weights, trust_pickle)
    return found.eval()


def _load_weights(torch: Any, module: Any, weights: str, trust_pickle: bool) -> None:
    if weights.endswith(".safetensors"):
        state = require("safetensors.torch", "the weights are in that format").load_file(weights)
    else:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=not trust_pickle)
        except UnpicklingError as error:
            raise UnsafeInput(
                f"{Path(weights).name} would run code on loading", hint="allow it with --trust-pickle"
            ) from error
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"{Path(weights).name} does not fit the model: {error}") from error
