"""Sequences, lists and dictionaries of modules, as the source had them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import fx, nn

from isthmus.writers.torch.dropouts import silent
from isthmus.writers.torch.moving import Tree, moved
from isthmus.writers.torch.recorder import NODE


def join_calls(module: fx.GraphModule, tree: Tree, name: str, path: str, depth: int) -> bool:
    """Call children with numbers, which are called one after the other, as one; False where they are not.

    ``name`` is theirs in ``module``, ``path`` in the whole model, whose last step is number ``depth``.
    """
    below = f"{name}."
    calls = [n for n in module.graph.nodes if n.op == "call_module" and str(n.target).startswith(below)]
    numbers = [str(n.target).removeprefix(below) for n in calls]
    steps = tuple(name.split("."))
    start = depth + 1 - len(steps)
    loose = [n for n in module.graph.nodes if n not in calls and tree.paths.get(n, ())[start : depth + 1] == steps]
    told = tree.modules.get(path)
    if told == "ModuleList" or loose or not is_chain(calls, numbers) or (len(calls) < 2 and told != "Sequential"):
        return False
    held = module.get_submodule(name)
    if type(held) is not nn.Module or set(held._modules) != set(numbers) or _owns(held):
        return False
    fill_gaps(module, tree, below, path, calls)
    calls = [n for n in module.graph.nodes if n.op == "call_module" and str(n.target).startswith(below)]
    return moved(module, name, calls, tree, tree.class_of(path, calls, depth)) is not None


def list_children(module: nn.Module, name: str, kind: str | None) -> bool:
    """Hold the children in a ModuleList or a ModuleDict where the source did; False where none could be nested."""
    parent, _, leaf = name.rpartition(".")
    modules = dict(module.named_modules())
    owner, held = modules.get(parent), modules.get(name)
    if owner is None or held is None or type(held) is not nn.Module or held._parameters or held._buffers:
        return False
    keys = list(held._modules)
    made: nn.Module | None = None
    if kind == "ModuleDict" and not any(hasattr(nn.ModuleDict, key) for key in keys):
        made = nn.ModuleDict()
    if kind == "ModuleList" and all(key.isdigit() for key in keys):
        keys.sort(key=int)
        made = nn.ModuleList() if keys == [str(i) for i in range(len(keys))] else None
    if made is None:
        return False
    made._modules.update({key: held._modules[key] for key in keys})
    owner._modules[leaf] = made
    return True


def _owns(held: nn.Module) -> bool:
    return bool(held._parameters or held._buffers) or not all(key.isdigit() for key in held._modules)


def is_chain(calls: Sequence[fx.Node], numbers: Sequence[str]) -> bool:
    """Whether each call takes nothing but the result of the one before, once, in the order of their numbers."""
    if (
        not calls
        or not all(n.isdigit() for n in numbers)
        or [int(n) for n in numbers] != sorted({int(n) for n in numbers})
    ):
        return False
    first, last = calls[0], calls[-1]
    if len(first.args) != 1 or not isinstance(first.args[0], fx.Node):
        return False
    return all(
        then.args == (before,) and list(before.users) == [then] for before, then in itertools.pairwise(calls)
    ) and bool(last.users)


def fill_gaps(module: fx.GraphModule, tree: Tree, below: str, path: str, calls: Sequence[fx.Node]) -> None:
    """Modules of a sequence that left no trace, as dropout does in evaluation, stand in their places again."""
    held = module.get_submodule(below.removesuffix("."))
    prefix = f"{path}." if path else ""
    told = {p.removeprefix(prefix): c for p, c in tree.modules.items() if p.startswith(prefix)}
    missing = sorted((int(k) for k in told if k.isdigit() and k not in held._modules), key=int)
    for number in missing:
        before = [n for n in calls if int(str(n.target).removeprefix(below)) < number]
        after = [n for n in calls if n not in before]
        held.add_module(str(number), silent(told[str(number)]))
        given = before[-1] if before else calls[0].args[0]
        assert isinstance(given, fx.Node)
        with module.graph.inserting_after(before[-1]) if before else module.graph.inserting_before(calls[0]):
            call = module.graph.call_module(f"{below}{number}", (given,))
        call.meta = {k: v for k, v in calls[0].meta.items() if k == NODE}
        tree.paths[call] = tree.paths.get(calls[0], ())[:-1]
        if after:
            after[0].args = (call,)
        else:
            given.replace_all_uses_with(call, delete_user_cb=lambda user, own=call: user is not own)
        calls = sorted([*calls, call], key=lambda n: int(str(n.target).removeprefix(below)))
    keys = sorted(held._modules, key=lambda key: int(key) if key.isdigit() else len(held._modules))
    ordered = {key: held._modules[key] for key in keys}
    held._modules.clear()
    held._modules.update(ordered)
