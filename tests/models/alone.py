"""A carried model in a process that has torch, safetensors and numpy, but no isthmus: run, compiled and trained.

python -I alone.py MODEL FEEDS.npz… prints a JSON line; the outputs of FEEDS.npz are written to FEEDS.out.npz.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class _Blocker:
    """Lets nobody import what the result must not need."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "isthmus":
            raise ModuleNotFoundError("the result must not need isthmus")


sys.meta_path.insert(0, _Blocker())

import numpy as np  # noqa: E402
import torch  # noqa: E402

_STEPS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Shares of the loss that a step of gradient descent should take away, if the loss were linear."""


def loaded(path: Path) -> tuple[torch.nn.Module, tuple[str, ...] | None]:
    """The model as anybody would load it, and the names of its inputs where the file tells them."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module(), None
    spec = importlib.util.spec_from_file_location("carried", path)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    return source.load_model(), source.INPUTS


def tensors(result: Any) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def largest_difference(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    pairs = [(a.double(), b.double()) for a, b in zip(first, second, strict=True) if a.numel()]
    return max((float((a - b).abs().nan_to_num(0, 0).max()) for a, b in pairs), default=0.0)


def trained(module: torch.nn.Module, forward: Callable[[], Any]) -> dict[str, Any]:
    """One step of SGD from each of a few rates: the loss before, and the least that a step led to."""
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    torch.manual_seed(0)
    with torch.no_grad():
        targets = [y + torch.randn_like(y) * (1 + y.abs()) for y in tensors(forward()) if y.is_floating_point()]

    def loss() -> torch.Tensor:
        floats = [y for y in tensors(forward()) if y.is_floating_point()]
        return sum(((y - t) ** 2).mean() for y, t in zip(floats, targets, strict=True))

    if not parameters or not targets:
        return {"parameters": len(parameters)}
    before = loss()
    gradients = torch.autograd.grad(before, list(parameters.values()), allow_unused=True)
    reached = [(p, g) for p, g in zip(parameters.values(), gradients, strict=True) if g is not None]
    square = sum(float((g.double() ** 2).sum()) for _, g in reached)
    after = []
    for share in _STEPS if square else ():
        rate = share * float(before) / square
        with torch.no_grad():
            kept = [p.clone() for p, _ in reached]
            for p, g in reached:
                p -= rate * g
            after.append(float(loss()))
            for (p, _), old in zip(reached, kept, strict=True):
                p.copy_(old)
    return {
        "parameters": len(parameters),
        "unreached": [n for n, g in zip(parameters, gradients, strict=True) if g is None],
        "before": float(before),
        "after": min(after, default=None),
    }


def main(arguments: Sequence[str]) -> int:
    model, *feeds = (Path(argument) for argument in arguments)
    module, names = loaded(model)
    compiled = torch.compile(module, backend="eager")
    differences, first = [], []
    for path in feeds:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        inputs = [torch.from_numpy(arrays[name]) for name in names or arrays]
        first = first or inputs
        with torch.no_grad():
            made = tensors(module(*inputs))
            differences.append(largest_difference(made, tensors(compiled(*inputs))))
        np.savez(path.with_suffix(".out.npz"), **{f"y{i}": y.numpy() for i, y in enumerate(made)})
    print(json.dumps({"compiled": max(differences), **trained(module, lambda: module(*first))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
