"""Names of inputs and outputs, from the nested structures that ``forward`` takes and returns."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree as pytree


def leaf_names(tree: Any) -> list[str]:
    """A dotted name for every leaf: ``{"a": [x, y]}`` → ``a.0``, ``a.1``. A lone leaf has the empty name."""
    return [".".join(_key(key) for key in path) for path, _ in pytree.tree_flatten_with_path(tree)[0]]


def output_names(tree: Any) -> list[str]:
    """Names of the leaves of what ``forward`` returned: a lone leaf is ``output``, a tuple's ``output_0``…"""
    if isinstance(tree, Mapping) or _is_record(tree):
        return leaf_names(tree)
    return [f"output_{name}" if name else "output" for name in leaf_names(tree)]


def output_names_of_spec(spec: pytree.TreeSpec) -> list[str]:
    """The same, from the structure that an exported program has kept."""
    return output_names(pytree.tree_unflatten(list(range(spec.num_leaves)), spec))


def nesting_of_spec(spec: pytree.TreeSpec) -> Any:
    """Dicts, lists and tuples of the numbers of outputs; None where these are one tensor or a tuple of tensors."""
    made = _plain_nesting(pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    flat = isinstance(made, tuple) and len(made) > 1 and all(isinstance(part, int) for part in made)
    return None if isinstance(made, int) or flat else made


def _plain_nesting(tree: Any) -> Any:
    """``tree`` where it is made of plain containers alone, else None."""
    if isinstance(tree, int):
        return tree
    if isinstance(tree, Mapping):
        parts = {key: _plain_nesting(part) for key, part in tree.items() if isinstance(key, str)}
        return parts if len(parts) == len(tree) and parts and None not in parts.values() else None
    if type(tree) not in (list, tuple):
        return None
    items = [_plain_nesting(part) for part in tree]
    if not items or any(item is None for item in items):
        return None
    return items if isinstance(tree, list) else tuple(items)


def input_names_of_spec(spec: pytree.TreeSpec, parameters: list[str] | None) -> list[str]:
    """Names of an exported program's flat inputs. ``parameters`` are forward's, in the order of its arguments."""
    args, kwargs = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    names = list(parameters or [])
    names += [f"input_{i}" for i in range(len(names), len(args))]
    positional = dict(zip(names, args, strict=False))
    return leaf_names({**positional, **kwargs})


def _key(key: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key).strip(".[]'\"")


def _is_record(tree: Any) -> bool:
    """Named tuples and dataclasses: their fields are the outputs' names."""
    return hasattr(tree, "_fields") or (dataclasses.is_dataclass(tree) and not isinstance(tree, type))


def bound_arguments(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """``args`` and ``kwargs`` by the names of forward's parameters; those of ``**kwargs`` stand beside the others."""
    signature = inspect.signature(module.forward)
    bound = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and name in bound:
            bound.update(bound.pop(name))
    return bound


def plain_outputs(value: Any) -> Any:
    """``value`` with what the exporters cannot take made plain: unregistered dataclasses and objects become dicts.

    ``None`` fields of a record are left out, as a dictionary of optional outputs would.
    """
    if isinstance(value, torch.Tensor) or value is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: plain_outputs(field) for name, field in fields.items() if field is not None}
    if isinstance(value, Mapping):
        return {str(key): plain_outputs(item) for key, item in value.items() if item is not None}
    if hasattr(value, "_fields"):
        return {name: plain_outputs(getattr(value, name)) for name in value._fields}
    if isinstance(value, (list, tuple)):
        return tuple(plain_outputs(item) for item in value)
    return value


@contextmanager
def _forward(module: torch.nn.Module, function: Callable[..., Any], signature: inspect.Signature) -> Iterator[None]:
    """While open, ``module.forward`` is ``function``. The class is not touched, and the instance is restored."""
    original = module.forward
    had_own = "forward" in vars(module)
    function.__signature__ = signature  # type: ignore[attr-defined]
    object.__setattr__(module, "forward", function)
    try:
        yield
    finally:
        if had_own:
            object.__setattr__(module, "forward", original)
        else:
            object.__delattr__(module, "forward")


@contextmanager
def forward_with_named_outputs(module: torch.nn.Module) -> Iterator[None]:
    """While open, the module returns its tensors by name in one flat dict: for results that hold more than those."""
    original: Callable[..., Any] = module.forward

    def forward(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        result = plain_outputs(original(*args, **kwargs))
        leaves = zip(output_names(result), pytree.tree_leaves(result), strict=True)
        return {name: leaf for name, leaf in leaves if isinstance(leaf, torch.Tensor)}

    with _forward(module, forward, inspect.signature(original)):
        yield


@contextmanager
def forward_with_own_keywords(module: torch.nn.Module, names: Iterable[str]) -> Iterator[None]:
    """While open, what ``**kwargs`` takes are parameters of their own: torch.export loses free dimensions there."""
    original: Callable[..., Any] = module.forward
    signature = inspect.signature(original)
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    fresh = [name for name in names if name not in signature.parameters]
    if not fresh:
        yield
        return

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in fresh]
    with _forward(module, forward, signature.replace(parameters=[*kept, *own])):
        yield
