"""How an fx node is written in Python: calls, operators, subscripts and literals."""

from __future__ import annotations

import builtins
import inspect
import json
import math
import operator
from collections.abc import Callable, Mapping
from types import FunctionType, MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx.node import _get_qualified_name

from isthmus.writers.torch.numerals import shortest, spelled

_INFIX: Mapping[Any, str] = MappingProxyType(
    {
        operator.add: "+",
        operator.sub: "-",
        operator.mul: "*",
        operator.truediv: "/",
        operator.floordiv: "//",
        operator.mod: "%",
        operator.pow: "**",
        operator.matmul: "@",
        operator.and_: "&",
        operator.or_: "|",
        operator.xor: "^",
        operator.lshift: "<<",
        operator.rshift: ">>",
        operator.eq: "==",
        operator.ne: "!=",
        operator.lt: "<",
        operator.le: "<=",
        operator.gt: ">",
        operator.ge: ">=",
    }
)
_PREFIX: Mapping[Any, str] = MappingProxyType({operator.neg: "-", operator.invert: "~", operator.pos: "+"})
_DUNDER: Mapping[str, Any] = MappingProxyType(
    {
        **{
            f"__{name}__": getattr(operator, name)
            for name in ("add", "sub", "mul", "truediv", "matmul", "mod", "pow")
        },
        **{f"__{name}__": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "invert")},
        "__and__": operator.and_,
        "__or__": operator.or_,
        "__xor__": operator.xor,
        "__getitem__": operator.getitem,
    }
)
_MIRRORED = {f"__r{name}__": f"__{name}__" for name in ("add", "sub", "mul", "truediv", "mod", "pow", "matmul")}

_USUAL: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("inplace", "ceil_mode", "return_indices"), False),
        "approximate": "none",
        "_stacklevel": 3,
        "dilation": 1,
        "padding": 0,
    }
)
"""Defaults of functions that choose one of two others, which do not show their signature."""

_SPREAD = frozenset(("reshape", "expand", "permute", "view", "repeat", "flip", "tile"))
"""Methods of tensors that take their list as arguments too."""

_NAMED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("cat", "stack", "softmax", "log_softmax"), ("dim",)),
        **dict.fromkeys(
            ("mean", "sum", "prod", "amax", "amin", "argmax", "argmin", "any", "all"), ("dim", "keepdim")
        ),
    }
)
"""Functions of PyTorch's whose second argument and those behind it one calls by their names."""

_EXTREMES: Mapping[float, str] = MappingProxyType(
    {
        number: f"torch.finfo({dtype}).{end}"
        for dtype in (torch.float32, torch.float16)
        for end in ("min", "max")
        for number in (getattr(torch.finfo(dtype), end), shortest(getattr(torch.finfo(dtype), end)))
    }
)
"""Numbers that have names."""

Name = Callable[[fx.Node], tuple[str, bool]]
"""How an operand is written, and whether it is an operator's expression, which wants parentheses in another one."""


def is_operator(node: fx.Node) -> bool:
    """Whether the node is written with an operator."""
    return _function(node) in _INFIX or _function(node) in _PREFIX


def _function(node: fx.Node) -> Any:
    if node.op == "call_method":
        return _DUNDER.get(str(node.target))
    return node.target if node.op == "call_function" else None


def spell(node: fx.Node, name: Name, module: Callable[[str], str]) -> str:
    """The node as an expression. ``module`` writes the path of a submodule."""
    args = list(node.args)
    if node.op == "call_module":
        return f"{module(str(node.target))}({_arguments(args, node.kwargs, name)})"
    if node.op == "call_method" and str(node.target) in _MIRRORED:
        return _operator(_DUNDER[_MIRRORED[str(node.target)]], args[::-1], name)
    function = _function(node)
    if function in _INFIX or function in _PREFIX:
        return _operator(function, args, name)
    if function is operator.getitem:
        return f"{_tight(args[0], name)}[{_subscript(args[1], name)}]"
    if node.op == "call_method":
        if str(node.target) in _SPREAD and len(args) == 2 and isinstance(args[1], list | tuple) and args[1]:
            args = [args[0], *args[1]]
        if (index := _selected(node)) is not None:
            return f"{_tight(args[0], name)}[{index}]"
        if node.target == "split" and len(args) > 1:
            args[1] = _one_size(args[1])
        return f"{_tight(args[0], name)}.{node.target}({_arguments(args[1:], node.kwargs, name)})"
    if function is builtins.getattr:
        return f"{_tight(args[0], name)}.{args[1]}"
    written, told = function_name(function), _told(function, node.kwargs)
    named = _NAMED.get(written.removeprefix("torch."), ()) if written.startswith("torch.") else ()
    if 1 < len(args) <= 1 + len(named):
        told = {**dict(zip(named, args[1:], strict=False)), **told}
        told = {k: v for k, v in told.items() if k != "keepdim" or v is not False}
        args = args[:1]
    return f"{written}({_arguments(args, told, name)})"


def _selected(node: fx.Node) -> str | None:
    """``x.select(1, 0)`` as the subscript ``x[:, 0]``."""
    if node.target != "select" or len(node.args) != 3 or node.kwargs:
        return None
    axis, at = node.args[1:]
    if type(axis) is not int or type(at) is not int or not 0 <= axis < 3:
        return None
    return ":, " * axis + str(at)


def _one_size(sizes: Any) -> Any:
    """The one size that all parts have, where they have one."""
    same = isinstance(sizes, list | tuple) and sizes and all(type(s) is int and s == sizes[0] > 0 for s in sizes)
    return sizes[0] if same else sizes


def function_name(function: Any) -> str:
    """How the source of a module names a function: ``F.relu``, ``torch.cat``, or a helper that is printed with it."""
    if is_helper(function):
        return str(function.__name__)
    found = str(_get_qualified_name(function))
    for prefix in ("torch.nn.functional.", "torch._C._nn."):
        if found.startswith(prefix) and hasattr(F, found.removeprefix(prefix)):
            return f"F.{found.removeprefix(prefix)}"
    last = found.rpartition(".")[2]
    if found.startswith(("_operator.", "builtins.", "math.", "operator.")):
        return last if found.startswith("builtins.") else f"{found.partition('.')[0].strip('_')}.{last}"
    if not found.startswith("torch.ops.") and getattr(torch, last, None) is function:
        return f"torch.{last}"
    return found


def is_helper(function: Any) -> bool:
    """Whether a function is one of ours, whose source must be printed."""
    return str(getattr(function, "__module__", "") or "").startswith("isthmus.")


def _told(function: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keywords without those that fx filled in with their defaults."""
    usual = dict(_USUAL)
    if isinstance(function, FunctionType):
        usual |= {name: each.default for name, each in inspect.signature(function).parameters.items()}
    return {k: v for k, v in kwargs.items() if not (k in usual and type(v) is type(usual[k]) and v == usual[k])}


def _operator(function: Any, args: list[Any], name: Name) -> str:
    if function in _PREFIX:
        return f"{_PREFIX[function]}{_tight(args[0], name)}"
    return f" {_INFIX[function]} ".join(_tight(a, name) for a in args)


def _tight(argument: Any, name: Name) -> str:
    """An operand, in parentheses where it is an expression with an operator itself."""
    if isinstance(argument, fx.Node):
        text, loose = name(argument)
        return f"({text})" if loose else text
    text = literal(argument, name)
    return f"({text})" if text.startswith("-") else text


def _arguments(args: Any, kwargs: Mapping[str, Any], name: Name) -> str:
    given = [literal(a, name) for a in args]
    return ", ".join([*given, *(f"{k}={literal(v, name)}" for k, v in kwargs.items())])


def _subscript(index: Any, name: Name) -> str:
    if isinstance(index, tuple) and index:
        inner = ", ".join(_subscript_part(i, name) for i in index)
        return f"{inner}," if len(index) == 1 else inner
    return _subscript_part(index, name)


def _subscript_part(index: Any, name: Name) -> str:
    if not isinstance(index, slice):
        return literal(index, name)
    ends = [("" if v is None else literal(v, name)) for v in (index.start, index.stop)]
    step = "" if index.step in (None, 1) else f":{literal(index.step, name)}"
    return f"{ends[0]}:{ends[1]}{step}"


def literal(value: Any, name: Name) -> str:
    """An argument of any kind as source."""
    if isinstance(value, fx.Node):
        return name(value)[0]
    if isinstance(value, slice):
        return f"slice({', '.join(literal(v, name) for v in (value.start, value.stop, value.step))})"
    if isinstance(value, tuple | torch.Size):
        inner = ", ".join(literal(v, name) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(literal(v, name) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(k, name)}: {literal(v, name)}' for k, v in value.items())}}}"
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else "math.inf" if value > 0 else "-math.inf"
    if value is Ellipsis:
        return "..."
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if isinstance(value, float) and value in _EXTREMES:
        return _EXTREMES[value]
    if isinstance(value, float):
        return spelled(value)
    if value is None or isinstance(value, bool | int | complex | torch.dtype):
        return repr(value)
    if isinstance(value, torch.memory_format | torch.layout):
        return str(value)
    return quoted(str(value))


def quoted(text: str) -> str:
    return json.dumps(text) if text.isascii() and text.isprintable() else ascii(text)
