"""Readable source of a recorded module, with its weights beside it: needs torch and safetensors, nothing else."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import fx

from isthmus.hub.model import Hub
from isthmus.hub.state import state_of
from isthmus.types import Options
from isthmus.writers.torch.classes import Written, input_comments, written
from isthmus.writers.torch.forward import described, mentioned
from isthmus.writers.torch.lines import WIDTH
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.origins import ORIGINS, origins
from isthmus.writers.torch.record import Recorded, record
from isthmus.writers.torch.spell import is_helper, quoted
from isthmus.writers.torch.steady import sort_metadata

WEIGHTS = ".safetensors"

_LOAD = '''
def load_model(weights: str | Path | None = None) -> {root}:
    """The model in eval mode, with the weights at ``weights``, else those beside this file."""
    path = Path(weights or Path(__file__).with_suffix(".safetensors"))
    if not path.is_file():
        raise FileNotFoundError(f"{{path}}: the model's weights belong there, beside its source")
    model = {root}()
{load}    return model.eval()
'''
_PLAIN_LOAD = """    model.load_state_dict(load_file(path))
"""
_LOAD_CONSTANTS = """    tensors = load_file(path)
    for name in CONSTANTS:  # no state dict has them: they are always those beside this file
        tensors.pop(name, None)
    model.load_state_dict(tensors)
    with safe_open(Path(__file__).with_suffix(".safetensors"), "pt") as beside:
        for name in CONSTANTS:
            model.get_buffer(name).copy_(beside.get_tensor(name))
"""


def write_python(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Write ``hub`` as source to ``path`` and its weights beside it; return the live module.

    ``None`` for ``path`` writes nothing. Raises errors.Unsupported with every blocker at once.
    """
    options = options or Options()
    recorded = record(hub, trainable=options.trainable, options=options)
    if path is not None:
        text, constants = source(recorded)
        path.write_text(text, encoding="utf-8")
        save_weights(recorded, path.with_suffix(WEIGHTS), constants)
    return recorded


def save_weights(recorded: Recorded, path: Path, constants: Sequence[str]) -> None:
    """The state dict and the constants that stand in no source line, as safetensors.

    Its metadata tells where each weight of the source is (see ``origins``).
    """
    from safetensors.torch import save_file

    module = recorded.module
    tensors = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    tensors |= {name: module.get_buffer(name).contiguous() for name in constants}
    held: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.untyped_storage().data_ptr() in held:  # the format refuses two names for one piece of memory
            tensors[name] = tensor.clone()
        held.add(tensor.untyped_storage().data_ptr())
    told = origins(recorded)
    save_file(tensors, path, metadata={"format": "pt", ORIGINS: told})
    sort_metadata(path)


def source(recorded: Recorded) -> tuple[str, tuple[str, ...]]:
    """The source, and the constants that it expects beside the state dict."""
    module = recorded.module
    words = mentioned(module.graph) if isinstance(module, fx.GraphModule) else frozenset()
    names: list[str] = []
    for name in recorded.inputs:
        names.append(unique(identifier(name, otherwise="input"), [*words, *names]))
    found = written(recorded.module, names, state_of(recorded.hub.extras).modules.get("", ""))
    helpers = _helpers(found.helpers)
    body = "\n\n\n".join([*helpers, *found.classes])
    parts = [_head(recorded, found, body), body, _tail(found)]
    return "\n\n".join(part.strip("\n") + "\n" for part in parts), found.stored


def _head(recorded: Recorded, found: Written, body: str) -> str:
    lines = [f'"""{found.root} as PyTorch source, written by Isthmus{_origin(recorded.hub)}.', ""]
    lines += ["``load_model()`` gives the model with its weights, which lie beside this file.", '"""', ""]
    lines += ["# mypy: disable-error-code=no-any-return", ""]  # PyTorch says that calls of modules give Any
    lines += ["from __future__ import annotations", ""]
    if "math." in body:
        lines.append("import math")
    if "operator." in body:
        lines.append("import operator")
    if "Sequence[" in body:
        lines.append("from collections.abc import Sequence")
    lines.append("from pathlib import Path")
    if "Any" in body:
        lines.append("from typing import Any")
    lines.append("")
    if "torch." in body:
        lines.append("import torch")
    if "F." in body:
        lines.append("import torch.nn.functional as F")
    lines += ["from safetensors import safe_open"] if found.stored else []
    lines.append("from safetensors.torch import load_file")
    lines += [f"from torch import {'Tensor, ' if 'Tensor' in body else ''}nn", ""]
    lines += _names("INPUTS", recorded.inputs, input_comments(recorded.module))
    lines += _names("OUTPUTS", recorded.outputs, ["".join(described(v)) for v in recorded.hub.graph.outputs])
    if found.stored:
        lines += _names("CONSTANTS", found.stored, [""] * len(found.stored))
    return "\n".join(lines) + "\n"


_KINDS = {"onnx": "an ONNX model", "saved_model": "a TensorFlow SavedModel", "keras": "a Keras model"}


def _origin(hub: Hub) -> str:
    """Where the model came from: the name of the file, without what a docstring could not bear, and its kind."""
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", Path(hub.source).name)[:60].strip("_.")
    kind = _KINDS.get(hub.source_kind, "a PyTorch model" if "torch" in hub.source_kind else "another model")
    return f" from {kind}, {name}" if name else f" from {kind}"


def _names(title: str, names: Iterable[str], comments: Sequence[str]) -> list[str]:
    names = list(names)
    short = f"{title} = ({', '.join(quoted(name) for name in names)}{',' if len(names) == 1 else ''})"
    if not any(comments) and len(short) <= WIDTH:
        return [short]
    lines = [f"{title} = ("]
    for name, comment in zip(names, comments, strict=True):
        lines.append(f"    {quoted(name)},{f'  # {comment}' if comment else ''}")
    return [*lines, ")"]


def _tail(found: Written) -> str:
    return _LOAD.format(root=found.root, load=_LOAD_CONSTANTS if found.stored else _PLAIN_LOAD)


def _helpers(functions: Iterable[Any]) -> list[str]:
    """The source of the functions that the model calls, and of what these call."""
    texts: dict[str, str] = {}

    def add(function: Any) -> None:
        plain = inspect.unwrap(function)
        name = str(plain.__name__)
        if name in texts:
            return
        texts[name] = ""
        tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
        for used in _globals(plain):
            value = plain.__globals__.get(used)
            if isinstance(value, FunctionType) and is_helper(value):
                add(value)
            elif isinstance(value, int | float | str | tuple | torch.dtype) and used not in texts:
                texts[used] = f"{used} = {value!r}"
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        texts[name] = ast.unparse(definition)
        texts[name] = texts.pop(name)

    for function in functions:
        add(function)
    return [text for text in texts.values() if text]


def _globals(function: FunctionType) -> list[str]:
    """The global names that a function's code mentions, its inner functions included."""
    found: list[str] = []
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        found += [n for n in code.co_names if not isinstance(function.__globals__.get(n), ModuleType)]
        codes += [const for const in code.co_consts if inspect.iscode(const)]
    return list(dict.fromkeys(found))
