"""Weights that are one tensor under several names: how the source says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import fx, nn

from isthmus.writers.torch.construct import LAYERS


def ties(root: nn.Module, has_class: Callable[[nn.Module], bool]) -> dict[nn.Module, list[str]]:
    """Lines for the ``__init__`` of the innermost module with a class of its own that holds all names of a tensor."""
    names: dict[torch.Tensor, list[str]] = defaultdict(list)
    for path, tensor in root.named_parameters(remove_duplicate=False):
        names[tensor].append(path)
    lines: dict[nn.Module, list[str]] = defaultdict(list)
    for first, *others in names.values():
        for other in others:
            place = _common(first.split(".")[:-1], other.split(".")[:-1])
            while place and not has_class(root.get_submodule(".".join(place))):
                place.pop()
            holder = root.get_submodule(".".join(place))
            own, source = (path.split(".")[len(place) :] for path in (other, first))
            lines[holder].append(_assigned(holder, own, source))
    return lines


def _common(first: list[str], other: list[str]) -> list[str]:
    shared: list[str] = []
    for one, two in zip(first, other, strict=False):
        if one != two:
            break
        shared.append(one)
    return shared


def _assigned(holder: nn.Module, own: list[str], source: list[str]) -> str:
    """``self.head.weight = self.embed.weight``; what is no plain attribute all the way is asked for."""
    given = f"self.{'.'.join(source)}"
    if not _is_plain(holder, source):
        given = f'self.get_parameter("{".".join(source)}")'
    if _is_plain(holder, own):
        return f"self.{'.'.join(own)} = {given}"
    owner = ".".join(own[:-1])
    place = f'self.get_submodule("{owner}")' if owner else "self"
    return f'{place}.register_parameter("{own[-1]}", {given})'


def _is_plain(holder: nn.Module, path: list[str]) -> bool:
    """Whether a path goes by attributes of classes that declare them, for people and type checkers to see."""
    owners = [holder.get_submodule(".".join(path[:depth])) for depth in range(1, len(path))]
    named = all(part.isidentifier() for part in path)
    return named and all(type(owner) in LAYERS or isinstance(owner, fx.GraphModule) for owner in owners)
