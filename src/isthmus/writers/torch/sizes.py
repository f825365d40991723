"""Sizes that differ between blocks of one class: what they are called, and what follows from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from isthmus.writers.torch.construct import LAYERS, Recipe, Slot, recipe
from isthmus.writers.torch.names import unique
from isthmus.writers.torch.spell import quoted

_INPUTS = frozenset({"in_features", "in_channels", "input_size", "embed_dim"})
_OUTPUTS = frozenset({"out_features", "out_channels", "hidden_size"})
_WIDTHS = ("num_features", "normalized_shape", "num_channels", "embedding_dim")
_ALL_WIDTHS = _INPUTS | _OUTPUTS | {*_WIDTHS, "groups"}
_CALLED = {
    **dict.fromkeys(_WIDTHS, "width"),
    "kernel_size": "kernel",
    "num_embeddings": "rows",
    "num_heads": "heads",
    "num_layers": "layers",
    "num_groups": "groups",
}

_RUN = 3
"""So many equal modules one after the other are written once."""


@dataclass(frozen=True)
class Unified:
    """``parameters``: the arguments of a class → the first slot of each. ``texts``: what stands in each slot."""

    parameters: Mapping[str, int]
    texts: tuple[str, ...]


_Column = tuple[str, tuple[int, ...]]
"""What a slot is for, as far as one argument may stand for several, and its values in all blocks."""


def unified(blocks: Sequence[Sequence[Slot]]) -> Unified:
    """The slots of blocks that are alike but for their sizes."""
    slots = blocks[0]
    columns = [
        ("width" if slot.role in _ALL_WIDTHS else slot.role, tuple(block[i].value for block in blocks))
        for i, slot in enumerate(slots)
    ]
    names = _names(columns, slots)
    parameters: dict[str, int] = {}
    texts: list[str] = []
    for i, column in enumerate(columns):
        name, half = names.get(column), _half_of(column, names)
        if name is None:
            texts.append(str(slots[i].value))
        elif half is not None:
            texts.append(f"{half} // 2")
        else:
            parameters.setdefault(name, i)
            texts.append(name)
    return Unified(dict(sorted(parameters.items(), key=lambda item: _rank(item[0]))), tuple(texts))


def _half_of(column: _Column, names: Mapping[_Column, str]) -> str | None:
    """The kernel whose half a padding is in every block."""
    kernels = (n for (role, sizes), n in names.items() if role == "kernel_size" and _are_halves(column[1], sizes))
    return next(kernels, None) if column[0] == "padding" else None


def _are_halves(paddings: Sequence[int], kernels: Sequence[int]) -> bool:
    return all(padding == kernel // 2 for padding, kernel in zip(paddings, kernels, strict=True))


def _names(columns: Sequence[_Column], slots: Sequence[Slot]) -> dict[_Column, str]:
    """Names for the columns whose values differ: what comes in, what goes out, what is between, and the rest."""
    differing = [(c, slot.role) for c, slot in zip(columns, slots, strict=True) if len(set(c[1])) > 1]
    first = next((column for column, role in differing if role in _INPUTS), None)
    last = next((column for column, role in reversed(differing) if role in _OUTPUTS), None)
    names: dict[_Column, str] = {}
    if first is not None and first == last:
        names[first] = "channels" if any(role.endswith("channels") for _, role in differing) else "features"
    else:
        names |= {column: name for column, name in ((first, "inputs"), (last, "outputs")) if column is not None}
    for column, role in differing:
        if column not in names:
            wish = "hidden" if role in _INPUTS | _OUTPUTS else _CALLED.get(role, role)
            names[column] = unique(wish, names.values())
    return names


def _rank(parameter: str) -> int:
    """What comes in stands first, what is no width last."""
    return _RANKS.get(parameter.rstrip("_0123456789"), _OTHER)


_OTHER = 3
_RANKS = {"inputs": 0, "channels": 0, "features": 0, "hidden": 1, "width": 1, "outputs": 2}


def call_of(name: str, found: Unified, slots: Sequence[Slot]) -> Recipe:
    """The call of a class; what is no width is given by its name where there is much of it."""
    own = tuple(slots[i] for i in found.parameters.values())
    named = len(own) > 3
    given = (f"{parameter}={{}}" if named and _rank(parameter) == _OTHER else "{}" for parameter in found.parameters)
    return Recipe(f"{name}({', '.join(given)})", own)


def maker_of(child: nn.Module, made: Mapping[nn.Module, Recipe]) -> Recipe:
    """How a child is made: a layer, or what has been written already."""
    return recipe(child) if type(child) in LAYERS else made[child]


def sequence_recipe(module: nn.Module, made: Mapping[nn.Module, Recipe]) -> Recipe:
    """How a sequence, a list or a dictionary of modules is made."""
    makers = [maker_of(child, made) for child in module.children()]
    slots = tuple(slot for maker in makers for slot in maker.slots)
    if isinstance(module, nn.ModuleDict):
        named = zip(module._modules, makers, strict=True)
        inner = ", ".join(f"{quoted(name)}: {maker.template}" for name, maker in named)
        return Recipe(f"nn.ModuleDict({{{{{inner}}}}})", slots)
    runs = [list(run) for _, run in groupby(makers)]
    parts = [part for run in runs for part in _run(run)]
    slots = tuple(slot for run in runs for maker in (run[:1] if len(run) >= _RUN else run) for slot in maker.slots)
    if isinstance(module, nn.ModuleList):
        alone = len(runs) == 1 and len(makers) >= _RUN
        inner = parts[0].removeprefix("*(").removesuffix(")") if alone else f"[{', '.join(parts)}]"
        return Recipe(f"nn.ModuleList({inner})", slots)
    return Recipe(f"nn.Sequential({', '.join(parts)})", slots)


def _run(makers: Sequence[Recipe]) -> list[str]:
    """Equal modules, one after the other."""
    if len(makers) < _RUN:
        return [maker.template for maker in makers]
    return [f"*({makers[0].template} for _ in range({len(makers)}))"]
