"""The classes that a tree of modules is written as; blocks that differ by sizes alone are one class."""

from __future__ import annotations

import builtins
import itertools
import string
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from isthmus.writers.torch.amends import amends
from isthmus.writers.torch.construct import LAYERS, Slot, filled, places
from isthmus.writers.torch.construct import Recipe as Maker
from isthmus.writers.torch.forward import KIND, LETTERS, kinds, mentioned, size_name, statements
from isthmus.writers.torch.lines import WIDTH, wrapped
from isthmus.writers.torch.literals import literal_text, tensor_text
from isthmus.writers.torch.loops import Line, marked, marks
from isthmus.writers.torch.moving import CLASS
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.recorder import VALUE
from isthmus.writers.torch.sizes import Unified, call_of, maker_of, sequence_recipe, unified
from isthmus.writers.torch.spell import is_helper, quoted
from isthmus.writers.torch.ties import ties


@dataclass
class Block:
    """One module that needs a class of its own."""

    path: str
    module: nn.Module
    wish: str
    init: list[str] = field(default_factory=list)
    """Lines of ``__init__``, with ``{}`` for each size."""
    slots: list[Slot] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    """Annotations of the class: what is registered by name is typed here."""
    is_sequence: bool = False
    """Whether it calls one child after the other, and ``init`` has them."""
    signature: str = ""
    forward: list[Line] = field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        body = (line.code for line in self.forward)
        return (self.is_sequence, *self.init, None, *self.fields, None, self.signature, *body)


@dataclass(frozen=True)
class Written:
    """The classes in the order in which Python needs them, and what the rest of the file must know."""

    classes: tuple[str, ...]
    root: str
    helpers: tuple[Any, ...]
    stored: tuple[str, ...]
    """Buffers outside of the state dict whose content comes with the weights."""


def written(root: fx.GraphModule, inputs: Sequence[str], title: str = "") -> Written:
    """``root`` as classes; its ``forward`` takes ``inputs``, which are identifiers.

    ``title``: what the source calls the class of the whole.
    """
    _mark(root)
    setattr(root, CLASS, title)

    def has_class(module: nn.Module) -> bool:
        return type(module) not in LAYERS and not _is_inline(module, root)

    further = (ties(root, has_class), amends(root, has_class))
    made: dict[nn.Module, Maker] = {}
    helpers = {node.target for m in root.modules() if isinstance(m, fx.GraphModule) for node in m.graph.nodes}
    ours = sorted((f for f in helpers if is_helper(f)), key=lambda f: str(f.__name__))
    names = {*_RESERVED, *(str(f.__name__) for f in ours)}
    texts: list[str] = []
    stored: list[str] = []
    for level in _levels(root):
        for _, module in level:
            if _is_inline(module, root):
                made[module] = sequence_recipe(module, made)
        level = [(path, module) for path, module in level if module not in made]
        groups: dict[tuple[object, ...], list[Block]] = defaultdict(list)
        for path, module in level:
            block = _block(path, module, made, stored, inputs if module is root else None)
            block.init += [line for lines in further for line in lines.get(module, [])]
            groups[block.key].append(block)
        for blocks in groups.values():
            name = _class_name(_shared_wish([block.wish for block in blocks]), names)
            names.add(name)
            found = unified([block.slots for block in blocks])
            for block in blocks:
                made[block.module] = call_of(name, found, block.slots)
            texts.append(_class_text(name, blocks, found))
    return Written(tuple(texts), made[root].template.partition("(")[0], tuple(ours), tuple(stored))


def _class_name(wish: str, taken: Collection[str]) -> str:
    """``Block``, or ``Block2``, ``Block3``… where it is taken."""
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}{count}"
    return name


def _shared_wish(wishes: Sequence[str]) -> str:
    """What many blocks are called as one class: their one name but for a number behind it, else the first one's."""
    stems = {wish.rstrip(string.digits).rstrip("_") for wish in wishes}
    stem = min(stems)
    return stem if len(wishes) > 1 and len(stems) == 1 and stem else wishes[0]


def _is_inline(module: nn.Module, root: nn.Module) -> bool:
    """Whether a module is written where it is used: a list or a sequence that the source gave no class of its own."""
    if module is root:
        return False
    return _is_list(module) or (_is_sequence(module) and not _has_class(module))


def _has_class(module: nn.Module) -> bool:
    named = str(getattr(module, CLASS, ""))
    return named.isidentifier() and named not in _RESERVED


def _mark(module: fx.GraphModule) -> None:
    """Mark the sizes, from the outside in."""
    kinds([], module.graph)
    for node in module.graph.nodes:
        if node.op != "call_module":
            continue
        child = module.get_submodule(str(node.target))
        if isinstance(child, fx.GraphModule):
            holders = [n for n in child.graph.nodes if n.op == "placeholder"]
            for given, holder in zip(node.args, holders, strict=True):
                if isinstance(given, fx.Node) and given.meta.get(KIND):
                    holder.meta[KIND] = given.meta[KIND]
            _mark(child)
            result = next(n for n in child.graph.nodes if n.op == "output").args[0]
            if isinstance(result, fx.Node) and result.meta.get(KIND):
                node.meta[KIND] = result.meta[KIND]
            for user in node.users:
                if isinstance(result, tuple) and user.op == "call_function" and isinstance(user.args[1], int):
                    inner = result[user.args[1]]
                    if isinstance(inner, fx.Node) and inner.meta.get(KIND):
                        user.meta[KIND] = inner.meta[KIND]
    kinds([], module.graph)
    for _, child in module.named_children():
        if isinstance(child, fx.GraphModule) and child.graph.find_nodes(op="output"):
            kinds([], child.graph)


def _levels(root: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """The modules that need classes, the innermost first."""
    heights: dict[int, list[tuple[str, nn.Module]]] = defaultdict(list)

    def height(path: str, module: nn.Module) -> int:
        if type(module) in LAYERS:
            return 1
        below = [height(f"{path}.{name}".lstrip("."), child) for name, child in module.named_children()]
        own = 1 + max(below, default=0)
        heights[own].append((path, module))
        return own

    height("", root)
    for own in sorted(heights):
        yield heights[own]


def _block(
    path: str, module: nn.Module, made: Mapping[nn.Module, Maker], stored: list[str], inputs: Sequence[str] | None
) -> Block:
    block = Block(path, module, _class_wish(module, path))
    if _is_sequence(module):
        found = sequence_recipe(module, made)
        block.is_sequence, block.slots = True, list(found.slots)
        block.init.append(f"super().__init__{found.template.removeprefix('nn.Sequential')}")
        return block
    for name, child in module.named_children():
        _child(block, name, child, made)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            trains = "" if parameter.requires_grad else ", requires_grad=False"
            text = f"nn.Parameter({tensor_text(parameter)}{trains})"
            registered = f'self.register_parameter("{name}", {text})'
            block.init.append(f"self.{name} = {text}" if name.isidentifier() else registered)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            _buffer(block, name, buffer, stored)
    if isinstance(module, fx.GraphModule):
        arguments = _arguments(module, inputs)
        block.signature = _signature(module, arguments)
        block.forward = statements(module.graph, arguments, _module_of(module), _tensor_of(module))
    return block


def _is_sequence(module: nn.Module) -> bool:
    """Whether a module does no more than call its children, 0 to n, one after the other."""
    names = [name for name, _ in module.named_children()]
    if not isinstance(module, fx.GraphModule) or module._parameters or module._buffers or not names:
        return False
    nodes = list(module.graph.nodes)
    if [node.op for node in nodes] != ["placeholder", *["call_module"] * len(names), "output"]:
        return False
    in_order = names == [str(i) for i in range(len(names))] == [str(node.target) for node in nodes[1:-1]]
    return (
        in_order
        and all(node.args == (before,) for before, node in itertools.pairwise(nodes[:-1]))
        and (nodes[-1].args == (nodes[-2],))
    )


def _is_list(module: nn.Module) -> bool:
    listed = isinstance(module, nn.ModuleList) and list(module._modules) == [str(i) for i in range(len(module))]
    return listed or isinstance(module, nn.ModuleDict)


def _child(block: Block, name: str, child: nn.Module, made: Mapping[nn.Module, Maker]) -> None:
    maker = maker_of(child, made)
    digits = not name.isidentifier()
    text = maker.template
    block.init.append(f'self.add_module("{name}", {text})' if digits else f"self.{name} = {text}")
    block.slots += maker.slots


def _buffer(block: Block, name: str, buffer: torch.Tensor, stored: list[str]) -> None:
    persistent = name not in block.module._non_persistent_buffers_set
    text = None if persistent else literal_text(buffer)
    if text is None:
        text = tensor_text(buffer)
        if not persistent:
            stored.append(f"{block.path}.{name}".lstrip("."))
    hidden = "" if persistent else ", persistent=False"
    block.init.append(f'self.register_buffer("{name}", {text}{hidden})')
    if name.isidentifier():
        block.fields.append(f"{name}: Tensor")


def _class_wish(module: nn.Module, path: str) -> str:
    if _has_class(module):
        named = identifier(str(getattr(module, CLASS)))
        return f"{named[:1].upper()}{named[1:]}"
    if not path:
        return "Model"
    words = [part for part in path.split(".") if not part.isdigit()] or ["Part"]
    tail = path.rpartition(".")[2] if path.rpartition(".")[2].isdigit() else ""
    camel = "".join(word[:1].upper() + word[1:] for word in words[-1].split("_") if word) or "Part"
    return identifier(camel if not tail else f"{camel}Block")


_RESERVED = frozenset(
    {
        *("Module", "Sequential", "ModuleList", "ModuleDict", "Functional"),  # say nothing
        *("Tensor", "Path", "F", "Any", "Sequence", "INPUTS", "OUTPUTS", "CONSTANTS"),  # the file has its own
        *dir(builtins),
    }
)
"""What no class is called because a source says so."""


def _arguments(module: fx.GraphModule, inputs: Sequence[str] | None) -> dict[fx.Node, str]:
    """What ``forward`` calls its arguments: tensors by letters, sizes by the names of their dimensions."""
    holders = [node for node in module.graph.nodes if node.op == "placeholder"]
    if inputs is not None:
        return dict(zip(holders, inputs, strict=True))
    taken = set(mentioned(module.graph))
    names: dict[fx.Node, str] = {}
    letters = iter(LETTERS)
    for node in holders:
        sized = node.meta.get(KIND) == "int"
        wish = size_name(node) or "n" if sized else next(letters, "x")
        names[node] = unique(wish, taken)
        taken.add(names[node])
    return names


def _signature(module: fx.GraphModule, arguments: dict[fx.Node, str]) -> str:
    typed = [f"{name}: {node.meta.get(KIND, 'Tensor')}" for node, name in arguments.items()]
    result = next(node for node in module.graph.nodes if node.op == "output").args[0]
    return f"def forward({', '.join(['self', *typed])}) -> {_result_type(result)}:"


def _result_type(result: Any) -> str:
    if isinstance(result, tuple):
        kinds_of = [_result_type(r) for r in result]
        if set(kinds_of) == {"Tensor"}:
            return "tuple[Tensor, ...]" if len(kinds_of) > 3 else f"tuple[{', '.join(kinds_of)}]"
        return f"tuple[{', '.join(kinds_of)}]"
    if isinstance(result, list | dict):
        inner = " | ".join(dict.fromkeys(_result_type(r) for r in _parts_of(result)))
        return f"list[{inner}]" if isinstance(result, list) else f"dict[str, {inner}]"
    return str(result.meta.get(KIND, "Tensor")) if isinstance(result, fx.Node) else "Tensor"


def _parts_of(result: Any) -> list[Any]:
    return list(result.values()) if isinstance(result, dict) else list(result)


def _module_of(module: nn.Module) -> Any:
    def spelled(path: str) -> str:
        text, held = "self", module
        for part in path.split("."):
            keyed = isinstance(held, nn.ModuleDict)
            if not part.isidentifier() and not isinstance(held, nn.ModuleList):
                return f'self.get_submodule("{path}")'
            if keyed:
                text += f"[{quoted(part)}]"
            elif part.isidentifier():
                text += f".{part}"
            else:
                assert isinstance(held, nn.ModuleList)
                text = f"{text}[{part}]" if marks(text) else marked(text, int(part), len(held))
            held = held.get_submodule(part)
        return text

    return spelled


def _tensor_of(module: fx.GraphModule) -> Any:
    def spelled(path: str) -> str:
        parent, _, leaf = path.rpartition(".")
        owner = module.get_submodule(parent)
        if isinstance(getattr(owner, leaf), nn.Module):
            return _module_of(module)(path)
        if all(part.isidentifier() for part in path.split(".")):
            return f"self.{path}"
        kind = "parameter" if leaf in owner._parameters else "buffer"
        return f'self.get_{kind}("{path}")'

    return spelled


def _class_text(name: str, blocks: Sequence[Block], found: Unified) -> str:
    block = blocks[0]
    base = "nn.Sequential" if block.is_sequence else "nn.Module"
    lines = [f"class {name}({base}):"]
    lines += [f"    {annotation}" for annotation in block.fields] + ([""] if block.fields else [])
    typed = ", ".join(["self", *(f"{parameter}: int" for parameter in found.parameters)])
    lines += wrapped_signature(f"def __init__({typed}) -> None:") if block.init else []
    lines += ["        super().__init__()"] if block.init and not block.is_sequence else []
    at = 0
    for template in block.init:
        holes = places(template)
        text = filled(template, block.slots[at : at + holes], found.texts[at : at + holes])
        lines += wrapped(text, " " * 8)
        at += holes
    if block.signature:
        lines += [*([""] if block.init else []), *wrapped_signature(block.signature)]
        for number, line in enumerate(block.forward):
            shapes = {other.forward[number].comment for other in blocks}
            comment = shapes.pop() if len(shapes) == 1 else ""
            lines += wrapped(line.code, " " * (8 + 4 * line.depth), comment)
    if not block.init and not block.signature:
        lines.append("    pass")
    return "\n".join(lines)


def wrapped_signature(signature: str) -> list[str]:
    """A ``def`` with its arguments one a line where it is too long."""
    line = f"    {signature}"
    if len(line) <= WIDTH:
        return [line]
    head, _, rest = signature.partition("(")
    given, _, tail = rest.rpartition(") ->")
    return [f"    {head}(", *(f"        {part}," for part in given.split(", ")), f"    ) ->{tail}"]


def input_comments(root: fx.GraphModule) -> list[str]:
    """What each input of ``root`` is: its element type and its shape."""
    comments = []
    for node in root.graph.nodes:
        if node.op == "placeholder":
            comments.append("".join(node.meta.get(VALUE, ("", ""))))
    return comments
