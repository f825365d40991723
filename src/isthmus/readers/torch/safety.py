"""What may be loaded: weights only. A pickle that would call anything else is refused by the names it calls."""

from __future__ import annotations

import json
import pickletools
import tempfile
import zipfile
import zlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from isthmus.errors import InvalidModel, UnsafeInput
from isthmus.readers.torch.quiet import quiet

_HARMLESS = {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"}


def load_checkpoint(path: Path, *, trust_pickle: bool) -> Any:
    """What ``torch.load`` gives for ``path``, on the CPU, memory-mapped where the file allows it.

    Raises:
        UnsafeInput: it holds more than tensors and plain containers, and is not trusted. Nothing was executed.
        InvalidModel: it is empty, truncated, or no checkpoint.
    """
    size = path.stat().st_size
    if size == 0:
        raise InvalidModel(f"{path} is empty")
    zipped = zipfile.is_zipfile(path)
    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle, mmap=zipped or None)
    except UnpicklingError as error:
        culprits = unsafe_globals(path) if zipped else pickled_globals(path)
        if culprits:
            raise _unsafe(path, culprits) from error
        raise InvalidModel(f"{path} is not a PyTorch checkpoint: {_first(error)}") from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        ImportError,
        TypeError,
    ) as error:
        raise InvalidModel(f"{path} cannot be read as a PyTorch checkpoint: {_first(error)}") from error


def unsafe_globals(path: Path) -> list[str]:
    """The names that unpickling ``path`` would import, beyond those of tensors; nothing is executed."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, UnpicklingError, EOFError, OSError, ValueError, KeyError, IndexError):
        return []


def pickled_globals(path: Path) -> list[str]:
    """The names that a bare pickle imports, read off its opcodes: nothing is executed."""
    names: set[str] = set()
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            while file.peek(1):  # older files hold several pickles, one after the other
                for opcode, argument, _ in pickletools.genops(file):
                    if opcode.name in ("GLOBAL", "INST"):
                        names.add(str(argument).replace(" ", "."))
                    elif opcode.name == "STACK_GLOBAL":
                        names.add(".".join(strings[-2:]))
                    elif isinstance(argument, str):
                        strings.append(argument)
    except (ValueError, OSError, UnicodeDecodeError, OverflowError):
        pass  # raw storage, or a pickle that breaks off: what came before is what would have been called
    return sorted(name for name in names if name not in _HARMLESS)


def _unsafe(path: Path, culprits: list[str]) -> UnsafeInput:
    hint = "save a state dict or a .safetensors file, or pass --trust-pickle if you know who made it"
    return UnsafeInput(f"loading {path} would run code: it calls {', '.join(culprits)}", hint=hint)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unsafe_parts_of_program(path: Path) -> None:
    """Refuse a ``.pt2`` whose pickled parts (sample inputs, weights, constants, objects) call more than tensors need.

    torch.export.load unpickles what the archive's own tables tell it to, without restriction; the same tables are
    read here. Parts that are raw bytes are loaded as such and cannot call anything.

    Raises:
        UnsafeInput: naming what would be called.
        InvalidModel: the archive is damaged.
    """
    culprits: set[str] = set()
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            pickled = _told_to_unpickle(archive)
            for member in archive.infolist():  # by entry, not by name: a name may stand twice
                name = member.filename.rpartition("/")[2]
                if name in pickled or name.startswith(_OBJECTS) or name.endswith((".pt", ".pkl")):
                    part = Path(folder) / "part"
                    part.write_bytes(archive.read(member))
                    culprits.update(unsafe_globals(part) if zipfile.is_zipfile(part) else pickled_globals(part))
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError) as error:
        raise InvalidModel(f"{path} is a damaged archive: {error}") from error
    if culprits:
        raise _unsafe(path, sorted(culprits))


_OBJECTS = ("custom_obj_", "opaque_obj_")


def _told_to_unpickle(archive: zipfile.ZipFile) -> set[str]:
    """Names of the parts that a table in the archive declares as pickled, or does not declare as raw."""
    found: set[str] = set()

    def walk(table: Any) -> None:
        if isinstance(table, dict):
            if isinstance(table.get("path_name"), str) and table.get("use_pickle") is not False:
                found.add(table["path_name"].rpartition("/")[2])
            for item in table.values():
                walk(item)

    for member in archive.infolist():
        if member.filename.endswith("config.json"):
            walk(json.loads(archive.read(member)))
    return found
