"""The body of a ``forward``: one statement after the other, short ones in one another, names used again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from isthmus.types import CARRIED_BY_TORCH
from isthmus.writers.torch.lines import WIDTH
from isthmus.writers.torch.loops import Line, marks, plain, rolled
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.recorder import VALUE
from isthmus.writers.torch.spell import is_helper, is_operator, literal, spell

_SHORT = 72
"""Longest expression that is written inside of another one."""

_NESTED = 3
"""How many calls may stand in one another."""

_WORDS = frozenset(
    ("self", "torch", "nn", "F", "math", "operator", "Tensor", "Path", "float", "complex", "slice", "zip", "getattr")
)
"""What any statement may mention."""

KIND = "isthmus.kind"
"""Metadata of an fx node: ``int`` or ``Sequence[Tensor]`` where it is no tensor."""

PARTS = "isthmus.parts"
"""Metadata of an fx node whose result is a tuple: how many parts it has."""

DIM = "isthmus.dim"
"""Metadata of an fx node that is a size: the name of the free dimension."""

_NAMELESS = re.compile(r"d\d+\Z")
"""Names that the hub gives to dimensions that have none."""

LETTERS = "xyzuvwpqrst"
"""What tensors are called that have no name of their own."""


@dataclass
class _Names:
    taken: set[str]
    fixed: frozenset[str]
    """What is no variable: no result may have these names."""
    asked: frozenset[str]
    """The names of arguments that say something: no result has them again."""
    of: dict[fx.Node, str] = field(default_factory=dict)
    inline: dict[fx.Node, tuple[str, bool, int]] = field(default_factory=dict)


def mentioned(graph: fx.Graph) -> frozenset[str]:
    """What the statements of ``graph`` call and refer to: no argument and no result may have such a name."""
    called = {node.target for node in graph.nodes if node.op == "call_function"}
    functions = {str(f.__name__) for f in called if is_helper(f) or getattr(f, "__module__", "") == "builtins"}
    return frozenset(functions) | _WORDS


def statements(
    graph: fx.Graph, arguments: Mapping[fx.Node, str], module: Callable[[str], str], tensor: Callable[[str], str]
) -> list[Line]:
    """``graph`` as statements. ``module`` and ``tensor`` write the paths of submodules and of weights."""
    fixed = mentioned(graph)
    names = _Names({*fixed, *arguments.values()}, fixed, frozenset(a for a in arguments.values() if a not in LETTERS))
    names.of.update(arguments)
    lines: list[Line] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            continue
        if node.op == "output":
            lines.append(Line(f"return {literal(node.args[0], _naming(names))}"))
            continue
        if node.op == "get_attr":
            names.inline[node] = (tensor(str(node.target)), False, 0)
            continue
        if node in names.of:
            continue  # it was unpacked
        text = spell(node, _naming(names), module)
        depth = 1 + max((names.inline[a][2] for a in node.all_input_nodes if a in names.inline), default=0)
        if _goes_inside(node, text, depth, module):
            names.inline[node] = (text, is_operator(node), depth)
            continue
        if (parts := _parts(node)) is not None:
            lines.append(Line(f"{_unpacked(node, parts, text, names)} = {text}"))
            continue
        name = _result_name(node, names)
        names.of[node] = name
        lines.append(Line(f"{name} = {text}", node.meta.get(VALUE, ("", ""))[1]))
    return rolled(lines, names.taken)


def _naming(names: _Names) -> Callable[[fx.Node], tuple[str, bool]]:
    def name(node: fx.Node) -> tuple[str, bool]:
        if node in names.inline:
            return names.inline[node][:2]
        return names.of[node], False

    return name


def _goes_inside(node: fx.Node, text: str, depth: int, module: Callable[[str], str]) -> bool:
    """Whether the node is written where it is used: once, at once, and shortly."""
    if len(node.users) != 1 or len(plain(text)) > _SHORT:
        return False
    user = next(iter(node.users))
    if sum(a is node for a in _flat(user)) != 1 or not _in_one_turn(node, text, user, module):
        return False
    if node.meta.get(KIND) == "int":
        return not _is_item(user)  # bounds of a slice are read better by their names
    if all(_is_item(u) for u in node.users) and not _is_item(node):
        return True
    if user.op == "output":
        return node.next is user and len(plain(text)) <= WIDTH - 20
    return depth < _NESTED and node.next is user and len(plain(text)) <= _SHORT - 16


def _in_one_turn(node: fx.Node, text: str, user: fx.Node, module: Callable[[str], str]) -> bool:
    """Whether a loop over a list of modules could still be written, were ``node`` inside of ``user``."""
    called = marks(text)
    if not called:
        return not _is_walked(user, module)
    if user.op == "call_module":
        return called == marks(module(str(user.target)))
    if node.op != "call_module":
        return user.op != "output"
    same = {str(m.target) for m in node.graph.nodes if m.op == "call_module" and _share_list(m, called, module)}
    calls = [m for m in node.graph.nodes if m.op == "call_module" and str(m.target) in same]
    return all(any(then.target == user.target for then in call.users) for call in calls)


def _is_walked(node: fx.Node, module: Callable[[str], str]) -> bool:
    """Whether the node calls a module of a list and hands its result on to the next one."""
    called = marks(module(str(node.target))) if node.op == "call_module" else set()
    return bool(called) and any(then.op == "call_module" and _share_list(then, called, module) for then in node.users)


def _share_list(node: fx.Node, called: set[tuple[str, int]], module: Callable[[str], str]) -> bool:
    return {holder for holder, _ in marks(module(str(node.target)))} == {holder for holder, _ in called}


def _flat(node: fx.Node) -> list[Any]:
    found: list[Any] = []
    torch.fx.node.map_arg((node.args, node.kwargs), lambda n: found.append(n))
    return found


def _is_item(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem"


def _parts(node: fx.Node) -> list[fx.Node | None] | None:
    """What is taken of each part of the node's result; None where it is no tuple, or one part alone is wanted."""
    count = node.meta.get(PARTS)
    if node.op == "call_method" and node.target in ("chunk", "split") and len(node.args) > 1:
        given = node.args[1]
        count = given if node.target == "chunk" else len(given) if isinstance(given, list | tuple) else None
    if not isinstance(count, int) or len(node.users) < 2 or count > 8:
        return None
    parts: list[fx.Node | None] = [None] * count
    for user in node.users:
        at = user.args[1] if _is_item(user) and user.args[0] is node else None
        if type(at) is not int or not 0 <= at < count or parts[at] is not None:
            return None
        parts[at] = user
    return parts


def _unpacked(node: fx.Node, parts: Sequence[fx.Node | None], text: str, names: _Names) -> str:
    """Names for the parts of a result, in order."""
    names.inline[node] = (text, False, 0)
    for part in parts:
        if part is not None:
            names.of[part] = _result_name(part, names)
    return ", ".join("_" if part is None else names.of[part] for part in parts)


def _result_name(node: fx.Node, names: _Names) -> str:
    """The name of an operand that is not needed any more, so that its memory is freed; else a new one."""
    if KIND not in node.meta and not all(_is_item(u) for u in node.users):
        for given in _named_operands(node, names):
            if given.meta.get(KIND) is None and _is_over(given, node, names) and names.of[given] not in names.asked:
                return names.of[given]
    wish = str(node.target).rpartition(".")[2] if node.op == "call_module" else _function_wish(node)
    if KIND not in node.meta and not all(_is_item(u) for u in node.users):
        held = {name for given, name in names.of.items() if not _is_over(given, node, names)}
        held |= names.fixed | names.asked
        if (letter := next((letter for letter in LETTERS if letter not in held), None)) is not None:
            names.taken.add(letter)
            return letter
    name = unique(identifier(wish, otherwise="x"), names.taken)
    names.taken.add(name)
    return name


def _named_operands(node: fx.Node, names: _Names) -> list[fx.Node]:
    """The operands by name, those of expressions inside among them."""
    found: list[fx.Node] = []
    for given in node.all_input_nodes:
        found += [given] if given in names.of else _named_operands(given, names)
    return found


def _is_over(given: fx.Node, now: fx.Node, names: _Names) -> bool:
    """Whether nothing behind the statement of ``now`` uses the value of ``given``."""
    return all(_is_written(user, now, names) for user in given.users)


def _is_written(user: fx.Node, now: fx.Node, names: _Names) -> bool:
    """Whether ``user`` stands in a statement that is written, up to that of ``now``."""
    if user is now:
        return True
    if user in names.inline:
        return all(_is_written(later, now, names) for later in user.users)
    return user in names.of


def _function_wish(node: fx.Node) -> str:
    if (size := size_name(node)) is not None:
        return size
    wish = str(getattr(node.target, "__name__", node.target))
    return {"size": "size", "getitem": "item"}.get(wish, wish.strip("_")) or "x"


def size_name(node: fx.Node) -> str | None:
    """What a size is called: as its free dimension is, where that has a name."""
    dim = str(node.meta.get(DIM, ""))
    return identifier(dim) if dim and not _NAMELESS.match(dim) else None


def described(value: ir.Value) -> tuple[str, str]:
    """The element type and the shape of a value: ``float``, ``[n, 3, 224, 224]``; nothing where they are not known.

    Names of dimensions are made harmless.
    """
    dtype = str(value.dtype.name).lower() if value.dtype is not None else ""
    dtype = CARRIED_BY_TORCH.get(dtype, dtype)
    if value.shape is None:
        return dtype, ""
    dims = (d if isinstance(d, int) else d.value for d in value.shape)
    return dtype, f"[{', '.join(str(d) if isinstance(d, int) else _dim(d) for d in dims)}]"


def _dim(name: str | None) -> str:
    if not name or _NAMELESS.match(name):
        return "?"
    return name if re.fullmatch(r"[A-Za-z0-9_ +*/()-]{1,24}", name) else identifier(name, otherwise="dim")[:24]


def kinds(arguments: Sequence[fx.Node], graph: fx.Graph) -> None:
    """Mark the sizes among the nodes of ``graph``; its placeholders are marked already."""
    for node in graph.nodes:
        if node.op in ("placeholder", "output", "get_attr", "call_module"):
            continue
        name = str(getattr(node.target, "__name__", node.target))
        if name in ("size", "item", "sym_int", "sym_max", "sym_min", "numel"):
            node.meta[KIND] = "int"
        elif node.op == "call_function" and is_operator(node):
            operands = [a for a in node.args if isinstance(a, fx.Node)]
            if operands and all(a.meta.get(KIND) == "int" for a in operands):
                node.meta[KIND] = "int"
