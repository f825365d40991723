"""Example inputs: from what the user gave to the arguments of ``forward``, never with a size that misleads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from isthmus.errors import InvalidModel, UsageError
from isthmus.readers.torch.structure import bound_arguments, leaf_names


@dataclass(frozen=True)
class Feeds:
    """One call of ``forward``."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def bound(self, module: torch.nn.Module) -> dict[str, Any]:
        """The arguments by parameter name, in order."""
        return bound_arguments(module, self.args, self.kwargs)

    def map_tensors(self, change: Any) -> Feeds:
        """A copy with ``change(tensor)`` in the place of every tensor."""
        args, kwargs = pytree.tree_map_only(torch.Tensor, change, (self.args, self.kwargs))
        return Feeds(args, kwargs)


def feeds_of(inputs: Any, module: torch.nn.Module) -> Feeds:
    """Arguments of ``module.forward`` from a tuple, a dict by parameter name, one array, or an ``.npz`` path.

    Raises:
        UsageError: there are none, or they do not fit forward's parameters.
    """
    if inputs is None:
        inputs = getattr(module, "example_input_array", None)
    if inputs is None:
        names = ", ".join(inspect.signature(module.forward).parameters)
        hint = f"pass inputs=(…) for forward({names}), or --inputs data.npz keyed by these names"
        raise UsageError("a PyTorch module does not say what its inputs look like", hint=hint)
    if isinstance(inputs, (str, Path)):
        inputs = _from_npz(Path(inputs))
    if isinstance(inputs, (torch.Tensor, np.ndarray, np.generic)):
        inputs = (inputs,)
    if isinstance(inputs, Mapping):
        feeds = _by_name({str(k): v for k, v in inputs.items()}, module)
    else:
        feeds = Feeds(tuple(inputs), {})
    args, kwargs = pytree.tree_map(_as_tensor, (feeds.args, feeds.kwargs))
    try:
        bound_arguments(module, args, kwargs)
    except TypeError as error:
        names = ", ".join(inspect.signature(module.forward).parameters)
        raise UsageError(f"the inputs do not fit forward({names}): {error}") from error
    return Feeds(args, kwargs)


def _from_npz(path: Path) -> Mapping[str, Any] | tuple[Any, ...]:
    if not path.is_file():
        raise UsageError(f"no such file of inputs: {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise InvalidModel(f"{path} is not an .npz archive of arrays: {error}") from error
    if arrays and all(name.removeprefix("arr_").isdigit() for name in arrays):
        order = sorted(arrays, key=lambda name: int(name.removeprefix("arr_")))
        return tuple(arrays[name] for name in order)
    return arrays


def _by_name(inputs: dict[str, Any], module: torch.nn.Module) -> Feeds:
    """Keyword arguments; dotted names (``x.0``, ``x.key``) are put back into lists and dicts."""
    nested = _nested(inputs)
    parameters = inspect.signature(module.forward).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in nested if name not in parameters]
    if unknown and not open_ended:
        got, expected = ", ".join(unknown), ", ".join(parameters)
        raise UsageError(f"forward has no parameter named {got}; it takes ({expected})")
    args: list[Any] = []
    for name, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and name in nested:
            args.append(nested.pop(name))
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL and name in nested:
            # Everything before a variadic parameter must be positional as well.
            before = [p for p in list(parameters)[: list(parameters).index(name)] if p in nested]
            args += [nested.pop(p) for p in before]
            args += list(nested.pop(name))
    in_order = [name for name in parameters if name in nested]
    in_order += [name for name in nested if name not in parameters]
    return Feeds(tuple(args), {name: nested[name] for name in in_order})


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return {name: _listed(value) if "." in "".join(flat) else value for name, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {key: _listed(item) for key, item in value.items()}
    if items and all(isinstance(key, str) and key.isdigit() for key in items):
        return [items[key] for key in sorted(items, key=int)]
    return items


def _as_tensor(leaf: Any) -> Any:
    if isinstance(leaf, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(leaf))
    return leaf


def resized(tensor: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """``tensor`` with ``size`` entries along ``axis``, repeating its own: values stay in the range they had."""
    index = torch.arange(size) % max(tensor.shape[axis], 1)
    if tensor.shape[axis] == 0:
        shape = [*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]]
        return torch.zeros(shape, dtype=tensor.dtype)
    return tensor.index_select(axis, index.to(tensor.device))


def tensor_names(bound: Mapping[str, Any]) -> list[str]:
    """The dotted names of the tensors among the arguments ``bound``, in their order."""
    leaves = zip(leaf_names(bound), pytree.tree_leaves(dict(bound)), strict=True)
    return [name for name, leaf in leaves if isinstance(leaf, torch.Tensor)]
