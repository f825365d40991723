"""The classes that a tree of modules is written as; blocks that differ by sizes alone are one class."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from isthmus.writers.torch.construct import LAYERS, literal_text, recipe, tensor_text
from isthmus.writers.torch.construct import Recipe as Maker
from isthmus.writers.torch.forward import KIND, WIDTH, Line, kinds, statements, wrapped
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.recorder import VALUE
from isthmus.writers.torch.spell import is_helper, quoted
from isthmus.writers.torch.ties import ties
from isthmus.writers.torch.tree import CLASS

_ROLES = {
    "in_features": "inputs",
    "out_features": "outputs",
    "in_channels": "inputs",
    "out_channels": "outputs",
    "num_features": "features",
    "normalized_shape": "features",
    "num_embeddings": "rows",
    "embedding_dim": "features",
    "num_channels": "channels",
    "kernel_size": "kernel",
}


@dataclass
class Block:
    """One module that needs a class of its own."""

    path: str
    module: nn.Module
    wish: str
    init: list[str] = field(default_factory=list)
    """Lines of ``__init__``, with ``{}`` for each size."""
    values: list[int] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    """Annotations of the class: what is registered by name is typed here."""
    sequence: Maker | None = None
    """What the module is made of, where it calls one child after the other."""
    signature: str = ""
    forward: list[Line] = field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        return (*self.init, None, *self.fields, None, self.signature, *(line.code for line in self.forward))


@dataclass(frozen=True)
class Written:
    """The classes in the order in which Python needs them, and what the rest of the file must know."""

    classes: tuple[str, ...]
    root: str
    helpers: tuple[Any, ...]
    stored: tuple[str, ...]
    """Buffers outside of the state dict whose content comes with the weights."""


def written(root: fx.GraphModule, inputs: Sequence[str]) -> Written:
    """``root`` as classes; its ``forward`` takes ``inputs``, which are identifiers."""
    _mark(root)
    tied = ties(root, lambda m: type(m) not in LAYERS and (m is root or not (_is_sequence(m) or _is_list(m))))
    made: dict[nn.Module, Maker] = {}
    names: set[str] = {"Tensor", "Path"}
    texts: list[str] = []
    stored: list[str] = []
    for level in _levels(root):
        for _, module in level:
            if module is not root and (_is_sequence(module) or _is_list(module)):
                made[module] = _sequence(module, made)
        level = [(path, module) for path, module in level if module not in made]
        groups: dict[tuple[object, ...], list[Block]] = defaultdict(list)
        for path, module in level:
            block = _block(path, module, made, stored, inputs if module is root else None)
            block.init += tied.get(module, [])
            groups[block.key].append(block)
        for blocks in groups.values():
            name = unique("Model" if blocks[0].module is root else blocks[0].wish, names)
            names.add(name)
            parameters, slots = _unified(blocks)
            for block in blocks:
                own = tuple(block.values[columns[0]] for columns in parameters.values())
                call = f"{name}({', '.join('{}' for _ in own)})"
                made[block.module] = Maker(call, own, tuple(parameters))
            texts.append(_class_text(name, blocks, parameters, slots))
    helpers = {node.target for m in root.modules() if isinstance(m, fx.GraphModule) for node in m.graph.nodes}
    ours = sorted((f for f in helpers if is_helper(f)), key=lambda f: str(f.__name__))
    return Written(tuple(texts), made[root].template.partition("(")[0], tuple(ours), tuple(stored))


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
        block.sequence = _sequence(module, made)
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


def _sequence(module: nn.Module, made: Mapping[nn.Module, Maker]) -> Maker:
    makers = [_maker(child, made) for child in module.children()]
    values = tuple(value for maker in makers for value in maker.values)
    roles = tuple(role for maker in makers for role in maker.roles)
    inner = ", ".join(maker.template for maker in makers)
    call = f"nn.ModuleList([{inner}])" if isinstance(module, nn.ModuleList) else f"nn.Sequential({inner})"
    if isinstance(module, nn.ModuleDict):
        named = zip(module._modules, makers, strict=True)
        inner = ", ".join(f"{quoted(name)}: {maker.template}" for name, maker in named)
        call = f"nn.ModuleDict({{{{{inner}}}}})"
    return Maker(call, values, roles)


def _maker(child: nn.Module, made: Mapping[nn.Module, Maker]) -> Maker:
    return recipe(child) if type(child) in LAYERS else made[child]


def _child(block: Block, name: str, child: nn.Module, made: Mapping[nn.Module, Maker]) -> None:
    maker = _maker(child, made)
    text, values, roles = maker.template, maker.values, maker.roles
    digits = not name.isidentifier()
    block.init.append(f'self.add_module("{name}", {text})' if digits else f"self.{name} = {text}")
    block.values += values
    block.roles += [_ROLES.get(role, role) for role in roles]


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
    named = getattr(module, CLASS, "")
    if named and named.isidentifier() and named.isascii() and named not in _RESERVED:
        return identifier(str(named))
    words = [part for part in path.split(".") if not part.isdigit()] or ["Part"]
    tail = path.rpartition(".")[2] if path.rpartition(".")[2].isdigit() else ""
    camel = "".join(word[:1].upper() + word[1:] for word in words[-1].split("_") if word) or "Part"
    return identifier(camel if not tail else f"{camel}Block")


_RESERVED = frozenset({"Module", "Tensor", "Path", "Sequential", "Model"})


def _arguments(module: fx.GraphModule, inputs: Sequence[str] | None) -> dict[fx.Node, str]:
    holders = [node for node in module.graph.nodes if node.op == "placeholder"]
    if inputs is not None:
        return dict(zip(holders, inputs, strict=True))
    taken: set[str] = set()
    for node in holders:
        taken.add(unique("n" if node.meta.get(KIND) == "int" else "x", taken))
    names: list[str] = []
    for node in holders:
        names.append(unique("n" if node.meta.get(KIND) == "int" else "x", names))
    return dict(zip(holders, names, strict=True))


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
            text += f"[{quoted(part)}]" if keyed else f".{part}" if part.isidentifier() else f"[{part}]"
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


def _unified(blocks: Sequence[Block]) -> tuple[dict[str, list[int]], list[str]]:
    """Sizes that differ among the blocks as parameters (name → its slots), and what stands in each slot."""
    columns = list(zip(*(block.values for block in blocks), strict=True))
    parameters: dict[str, list[int]] = {}
    by_column: dict[tuple[int, ...], str] = {}
    slots = []
    for i, column in enumerate(columns):
        if len(set(column)) == 1:
            slots.append(str(column[0]))
            continue
        if column not in by_column:
            by_column[column] = unique(blocks[0].roles[i], list(by_column.values()))
        parameters.setdefault(by_column[column], []).append(i)
        slots.append(by_column[column])
    return parameters, slots


def _class_text(name: str, blocks: Sequence[Block], parameters: dict[str, list[int]], slots: list[str]) -> str:
    block = blocks[0]
    if block.sequence is not None:
        return _sequence_text(name, block.sequence)
    lines = [f"class {name}(nn.Module):"]
    lines += [f"    {annotation}" for annotation in block.fields] + ([""] if block.fields else [])
    typed = ", ".join(["self", *(f"{parameter}: int" for parameter in parameters)])
    lines += [f"    def __init__({typed}) -> None:", "        super().__init__()"] if block.init else []
    given = iter(slots)
    for template in block.init:
        holes = template.replace("{{", "").count("{}")
        lines += wrapped(template.format(*(next(given) for _ in range(holes))), " " * 8)
    if block.signature:
        lines += [*([""] if block.init else []), *wrapped_signature(block.signature)]
        for at, line in enumerate(block.forward):
            shapes = {other.forward[at].comment for other in blocks}
            lines += wrapped(line.code, " " * 8, shapes.pop() if len(shapes) == 1 else "")
    if not block.init and not block.signature:
        lines.append("    pass")
    return "\n".join(lines)


def _sequence_text(name: str, sequence: Maker) -> str:
    """The whole model, where it is a sequence of layers."""
    layers = sequence.template.removeprefix("nn.Sequential").format(*sequence.values)
    lines = [f"class {name}(nn.Sequential):", "    def __init__(self) -> None:"]
    return "\n".join([*lines, *wrapped(f"super().__init__{layers}", " " * 8)])


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
