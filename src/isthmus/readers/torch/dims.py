"""Free dimensions: what was asked, what torch.export allows, and which asked axes fell, with the reason."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from isthmus.errors import UsageError
from isthmus.readers.torch.feeds import Feeds, resized
from isthmus.readers.torch.structure import leaf_names
from isthmus.types import Note


@dataclass(frozen=True)
class Free:
    """A dimension of any size from ``minimum`` to ``maximum``."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Derived:
    """``factor * root + offset`` of another dimension."""

    root: str
    factor: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Fixed:
    """A dimension that fell to one size."""

    size: int


Choice = Free | Derived | Fixed


@dataclass(frozen=True)
class Axes:
    """The asked free axes: ``{leaf: {axis: dimension}}`` and what each dimension is allowed to be.

    Dimensions carry identifiers that torch.export accepts; ``asked`` maps these back to the user's own names.
    """

    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    loose: bool = False
    """Let torch.export find the ranges by itself, where it could not write down what it found about named ones."""

    def shown(self, text: str) -> str:
        """``text`` with the user's names in the place of the identifiers."""
        for name, asked in self.asked.items():
            text = re.sub(rf"\b{re.escape(name)}\b", asked.replace("\\", r"\\"), text)
        return text

    def tree(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """The ``dynamic_shapes`` of torch.export for the arguments ``bound``."""
        dims = self._torch_dims()
        names = leaf_names(bound)
        leaves, spec = pytree.tree_flatten(dict(bound))
        specs = []
        for name, leaf in zip(names, leaves, strict=True):
            own = self.axes.get(name, {}) if isinstance(leaf, torch.Tensor) else {}
            specs.append({axis: dims[dim] for axis, dim in own.items()} or None)
        return pytree.tree_unflatten(specs, spec)

    def _torch_dims(self) -> dict[str, Any]:
        dims: dict[str, Any] = {}
        for name, choice in self.choices.items():
            if self.loose and not isinstance(choice, Fixed):
                low, high = (choice.minimum, choice.maximum) if isinstance(choice, Free) else (None, None)
                dims[name] = torch.export.Dim.DYNAMIC(min=low, max=high)
            elif isinstance(choice, Free):
                dims[name] = torch.export.Dim(name, min=choice.minimum, max=choice.maximum)
            elif isinstance(choice, Fixed):
                dims[name] = None
        for name, choice in self.choices.items():
            if isinstance(choice, Derived) and not self.loose:
                root = dims[choice.root]
                scaled = root if choice.factor == 1 else choice.factor * root
                dims[name] = scaled + choice.offset if choice.offset else scaled
        return dims

    def grown(self, feeds: Feeds, bound: Mapping[str, Any]) -> Feeds:
        """``feeds`` with at least 2 along every free axis: torch.export specialises on 0 and 1."""
        sizes: dict[str, int] = {}
        for _, axis, dim, tensor in self._tensors(bound):
            choice = self.choices[dim]
            least = max(2, (choice.minimum or 2) if isinstance(choice, Free) else 2)
            sizes[dim] = max(sizes.get(dim, 0), tensor.shape[axis], least)
        new: dict[int, torch.Tensor] = {}
        for _, axis, dim, tensor in self._tensors(bound):
            current = new.get(id(tensor), tensor)
            if current.shape[axis] < 2 or current.shape[axis] != sizes[dim]:
                new[id(tensor)] = resized(current, axis, sizes[dim])
        return feeds.map_tensors(lambda t: new.get(id(t), t))

    def _tensors(self, bound: Mapping[str, Any]) -> Iterator[tuple[str, int, str, torch.Tensor]]:
        for name, leaf in zip(leaf_names(bound), pytree.tree_leaves(dict(bound)), strict=True):
            for axis, dim in self.axes.get(name, {}).items():
                if isinstance(leaf, torch.Tensor):
                    yield name, axis, dim, leaf


def asked_axes(dynamic_shapes: Any, bound: Mapping[str, Any]) -> Axes:
    """What the user asked for, in any form of torch.export, or ``{name: shape}`` with strings for free dimensions.

    Raises:
        UsageError: an input or an axis that does not exist, or a static size that the example contradicts.
    """
    if dynamic_shapes is None:
        return Axes()
    leaves = dict(zip(leaf_names(bound), pytree.tree_leaves(dict(bound)), strict=True))
    if isinstance(dynamic_shapes, (tuple, list)):
        dynamic_shapes = _by_name(dynamic_shapes, bound, leaves)
    if not isinstance(dynamic_shapes, Mapping):
        raise UsageError(f"dynamic_shapes must be a dict or a tuple, not {type(dynamic_shapes).__name__}")
    asked = _Asked()
    for name, spec in dynamic_shapes.items():
        if name not in bound and name not in leaves:
            raise UsageError(f"dynamic_shapes names {name!r}; the inputs are {', '.join(leaves)}")
        if name in leaves:
            asked.leaf(name, leaves[name], spec)
        else:
            asked.nested(name, bound[name], spec)
    return asked.result()


def _by_name(entries: Sequence[Any], bound: Mapping[str, Any], leaves: Mapping[str, Any]) -> dict[str, Any]:
    """``entries`` by the arguments of forward, or by the single inputs where each has its own entry.

    The latter is how one writes it for ``forward(self, *inputs)``, whose inputs are one argument to torch.export.
    """
    of_leaves = len(entries) > len(bound) or any(
        isinstance(value, (tuple, list)) and isinstance(entry, Mapping)
        for value, entry in zip(bound.values(), entries, strict=False)
    )
    names = list(leaves if of_leaves and len(entries) == len(leaves) else bound)
    if len(entries) > len(names):
        raise UsageError(
            f"dynamic_shapes has {len(entries)} entries, the inputs are {', '.join(leaves)}",
            hint="give one entry for each of them, or a dict by their names",
        )
    return dict(zip(names, entries, strict=False))


class _Asked:
    """Collects axes leaf by leaf, giving each dimension an identifier."""

    def __init__(self) -> None:
        self.axes: dict[str, dict[int, str]] = {}
        self.choices: dict[str, Choice] = {}
        self.names: dict[str, str] = {}

    def result(self) -> Axes:
        return Axes(self.axes, self.choices, {own: asked for asked, own in self.names.items()})

    def nested(self, name: str, value: Any, spec: Any) -> None:
        if spec is None:
            return
        if isinstance(value, torch.Tensor):
            self.leaf(name, value, spec)
        elif isinstance(value, Mapping) and isinstance(spec, Mapping):
            for key, part in spec.items():
                if key not in value:
                    raise UsageError(f"dynamic_shapes names {name}.{key}, which is not among the inputs")
                self.nested(f"{name}.{key}", value[key], part)
        elif isinstance(value, (list, tuple)) and isinstance(spec, (list, tuple)):
            if len(value) != len(spec):
                raise UsageError(f"dynamic_shapes has {len(spec)} entries for {name}, the inputs {len(value)}")
            for i, (item, part) in enumerate(zip(value, spec, strict=True)):
                self.nested(f"{name}.{i}", item, part)
        else:
            raise UsageError(
                f"dynamic_shapes of {name} does not follow the structure of that input",
                hint="a list or a dict of inputs takes a list or a dict of the same form",
            )

    def leaf(self, name: str, value: Any, spec: Any) -> None:
        if spec is None or not isinstance(value, torch.Tensor):
            return
        items: list[tuple[Any, Any]]
        if isinstance(spec, Mapping):
            items = list(spec.items())
        elif isinstance(spec, Sequence) and not isinstance(spec, str):
            if len(spec) != value.ndim:
                raise UsageError(f"{name} has {value.ndim} axes, dynamic_shapes gives {len(spec)}")
            items = list(enumerate(spec))
        else:
            raise UsageError(f"dynamic_shapes of {name} must be a dict of axes or one entry per axis")
        for axis, dim in items:
            if not isinstance(axis, int) or not -value.ndim <= axis < value.ndim:
                raise UsageError(f"{name} has axes 0 to {value.ndim - 1}, dynamic_shapes names {axis!r}")
            self._axis(name, value, axis % value.ndim, dim)

    def _axis(self, name: str, value: torch.Tensor, axis: int, dim: Any) -> None:
        if dim is None or _is_hint(dim, "STATIC"):
            return
        if isinstance(dim, int):
            if dim != value.shape[axis]:
                given = value.shape[axis]
                raise UsageError(f"axis {axis} of {name} is asked to be {dim}, the example has {given}")
            return
        if isinstance(dim, str):
            own = self._free(dim, Free())
        elif _is_hint(dim, "AUTO") or _is_hint(dim, "DYNAMIC"):
            own = self._free(f"{name}_{axis}", Free(_bound(dim, "min"), _bound(dim, "max")))
        elif hasattr(dim, "root"):
            own = self._derived(dim)
        elif hasattr(dim, "__name__"):
            own = self._free(dim.__name__, Free(_bound(dim, "min"), _bound(dim, "max")))
        else:
            raise UsageError(f"axis {axis} of {name}: {dim!r} is no dimension; give a name, a Dim or a size")
        self.axes.setdefault(name, {})[axis] = own

    def _free(self, asked: str, choice: Free) -> str:
        own = self._identifier(asked)
        self.choices.setdefault(own, choice)
        return own

    def _derived(self, dim: Any) -> str:
        offset = int(dim.fn(0))
        factor = int(dim.fn(1)) - offset
        root = self._free(dim.root.__name__, Free(_bound(dim.root, "min"), _bound(dim.root, "max")))
        own = self._identifier(dim.__name__)
        self.choices[own] = Derived(root, factor, offset)
        return own

    def _identifier(self, asked: str) -> str:
        if asked not in self.names:
            own = asked if asked.isidentifier() else re.sub(r"\W+", "_", f"d_{asked}")
            while own in self.choices:
                own += "_"
            self.names[asked] = own
        return self.names[asked]


def _is_hint(dim: Any, kind: str) -> bool:
    return type(dim).__name__ == "_DimHint" and getattr(dim.type, "name", "") == kind


def _bound(dim: Any, which: str) -> int | None:
    value = getattr(dim, which, None)
    # torch's own "no bound" is 0 below and a very large number or infinity above.
    return int(value) if isinstance(value, int) and 0 < value < 2**31 else None


def refined(axes: Axes, message: str) -> tuple[Axes, tuple[Note, ...]] | None:
    """``axes`` with the fixes that torch.export suggests in ``message``; ``None`` where it suggests none."""
    _, found, fixes = message.partition("Suggested fixes:")
    if not found:
        return _loosened(axes, message)
    choices, notes = dict(axes.choices), []
    for line in fixes.strip().splitlines():
        name, equals, value = (part.strip() for part in line.partition(" = "))
        if not equals or not name.isidentifier():
            break
        choice = _choice(value)
        if choice is None or choices.get(name) == choice:
            continue
        if isinstance(choice, Derived) and name in axes.choices and not _is_equation(message, name):
            # torch proposes multiples for inequalities too; the sizes it would shut out are fine.
            return _loosened(axes, message)
        choices[name] = choice
        if name in axes.choices:
            reason = _reason(message, name)
            notes.append(Note("dimension", axes.shown(_told(name, choice, reason))))
    if choices == dict(axes.choices):
        return _loosened(axes, message)
    return dataclasses.replace(axes, choices=_resolved(choices)), tuple(notes)


def _loosened(axes: Axes, message: str) -> tuple[Axes, tuple[Note, ...]] | None:
    if axes.loose or "Constraints violated" not in message:
        return None
    return dataclasses.replace(axes, loose=True), ()


def _choice(value: str) -> Choice | None:
    if value.isdigit():
        return Fixed(int(value))
    if made := re.match(r"Dim\('\w+'(?:, min=(\d+))?(?:, max=(\d+|oo|int_oo))?\)", value):
        low, high = made.groups()
        return Free(int(low) if low else None, int(high) if high and high.isdigit() else None)
    if made := re.fullmatch(r"(?:(\d+)\s*\*\s*)?([A-Za-z_]\w*)(?:\s*([+-])\s*(\d+))?", value):
        factor, root, sign, offset = made.groups()
        return Derived(root, int(factor or 1), int(f"{sign or ''}{offset or 0}"))
    return None


def _resolved(choices: dict[str, Choice]) -> dict[str, Choice]:
    """Roots that fell or were themselves derived, followed to the end."""
    result = dict(choices)
    for name, choice in choices.items():
        seen = {name}
        current: Choice = choice
        while isinstance(current, Derived):
            root = result.get(current.root, Free())
            result.setdefault(current.root, root)
            if isinstance(root, Free) or current.root in seen:
                break
            seen.add(current.root)
            if isinstance(root, Fixed):
                current = Fixed(current.factor * root.size + current.offset)
            else:
                offset = current.factor * root.offset + current.offset
                current = Derived(root.root, current.factor * root.factor, offset)
        result[name] = current
    return result


def _is_equation(message: str, name: str) -> bool:
    lines = [line for line in message.splitlines() if re.search(rf"\b{re.escape(name)}\b", line)]
    return any("==" in line or "always be equal" in line for line in lines)


def _reason(message: str, name: str) -> str:
    lines = [line.strip(" -") for line in message.partition("Suggested fixes:")[0].splitlines()]
    found = [line for line in lines if re.search(rf"\b{re.escape(name)}\b", line) and not line.startswith("Constr")]
    text = "; ".join(re.sub(r"\s+", " ", line) for line in found[:2])
    text = re.sub(r" If you're using mark_dynamic.*?(?=;|$)", "", text)
    return re.sub(r"L\['([^']+)'\]\.size\(\)\[(\d+)\]", r"\1.shape[\2]", text)


def _told(name: str, choice: Choice, reason: str) -> str:
    if isinstance(choice, Fixed):
        text = f"{name} fell to {choice.size}"
    elif isinstance(choice, Derived):
        text = f"{name} must be {_linear(choice)}"
    else:
        low, high = choice.minimum, choice.maximum
        limits = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else ""]
        text = f"{name} must be {' and '.join(limit for limit in limits if limit) or 'a size'}"
    return f"{text}: {reason}" if reason else text


def _linear(choice: Derived) -> str:
    text = choice.root if choice.factor == 1 else f"{choice.factor}*{choice.root}"
    return f"{text} {choice.offset:+d}" if choice.offset else text


def fixed(axes: Axes, names: Sequence[str], bound: Mapping[str, Any], reason: str) -> tuple[Axes, Note]:
    """``axes`` with the dimensions ``names`` fallen to the example's sizes, and the note that says so."""
    sizes = {dim: tensor.shape[axis] for _, axis, dim, tensor in axes._tensors(bound) if dim in names}
    choices = {**axes.choices, **{name: Fixed(size) for name, size in sizes.items()}}
    told = ", ".join(f"{name} fell to {size}" for name, size in sizes.items())
    return dataclasses.replace(axes, choices=_resolved(choices)), Note("dimension", axes.shown(f"{told}: {reason}"))


def ranges(axes: Axes) -> dict[str, dict[str, int | None]]:
    """What sizes the free dimensions may take, by the user's names: ``min``, ``max``, ``multiple``, ``offset``."""
    result: dict[str, dict[str, int | None]] = {}
    for name, asked in axes.asked.items():
        choice = axes.choices[name]
        if isinstance(choice, Free):
            result[asked] = {"min": choice.minimum, "max": choice.maximum, "multiple": 1, "offset": 0}
        elif isinstance(choice, Derived):
            root = axes.choices.get(choice.root, Free())
            low = choice.factor * (root.minimum or 1) + choice.offset if isinstance(root, Free) else None
            high = root.maximum if isinstance(root, Free) else None
            high = None if high is None else choice.factor * high + choice.offset
            result[asked] = {"min": low, "max": high, "multiple": choice.factor, "offset": choice.offset}
    return result
