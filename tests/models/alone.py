"""A carried model in a process that has torch, safetensors and numpy, but no isthmus: run, compiled and trained.

python -I alone.py MODEL FEEDS.npz… prints a JSON line; the outputs of FEEDS.npz are written to FEEDS.out.npz.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
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

_SHARES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
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


def trained(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """A step of gradient descent: the loss before, and behind it.

    Where no step shows, the weights are made random first, as anybody would who trains a net whose weights are all
    alike: behind these every gradient cancels, and the sums are so large that no step is seen in any type.
    """
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    seen = _descended(module, parameters, inputs) if parameters else {}
    if "before" in seen and not seen["after"] < seen["before"]:
        torch.manual_seed(0)
        for parameter in parameters.values():
            if parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter.data)
        seen = _descended(module, parameters, inputs)
    return {"parameters": len(parameters), **seen}


def _descended(
    module: torch.nn.Module, parameters: Mapping[str, torch.nn.Parameter], inputs: Sequence[torch.Tensor]
) -> dict[str, Any]:
    """Steps from long to short, until one lowers the loss.

    The loss is measured against targets as far from the outputs as these are from nothing: the probabilities of a
    thousand classes do not move a loss of size 1.
    """
    torch.manual_seed(0)

    def floats() -> list[torch.Tensor]:
        return [y.double() for y in tensors(module(*inputs)) if y.is_floating_point()]

    with torch.no_grad():
        targets = [y + torch.randn_like(y) * (y.square().mean().sqrt() or 1) for y in floats()]

    def loss() -> torch.Tensor:
        return sum((y - t).square().mean() for y, t in zip(floats(), targets, strict=True))

    if not targets:
        return {}
    before = loss()
    gradients = torch.autograd.grad(before, list(parameters.values()), allow_unused=True)
    pairs = zip(parameters.values(), gradients, strict=True)
    reached = [(p, p.detach().clone(), g) for p, g in pairs if g is not None]
    square = sum(float(g.double().square().sum()) for _, _, g in reached)
    after = before
    for share in _SHARES if square else ():
        rate = share * float(before) / square
        with torch.no_grad():
            for p, old, g in reached:
                p.copy_(old - rate * g)
            after = loss()
        if after < before:
            break
    with torch.no_grad():
        for p, old, _ in reached:
            p.copy_(old)
    unreached = [n for n, g in zip(parameters, gradients, strict=True) if g is None]
    return {"unreached": unreached, "before": float(before), "after": float(after)}


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
    print(json.dumps({"compiled": max(differences), **trained(module, first)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
