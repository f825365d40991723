"""What the call that makes a layer does not say: a weight that it lacks, weights that are not trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from torch import nn

from isthmus.writers.torch.construct import LAYERS

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def amends(root: nn.Module, has_class: Callable[[nn.Module], bool]) -> dict[nn.Module, list[str]]:
    """Lines for the ``__init__`` of the innermost module with a class of its own around each such layer."""
    lines: dict[nn.Module, list[str]] = defaultdict(list)
    for path, layer in root.named_modules():
        if type(layer) not in LAYERS:
            continue
        place = path.split(".")[:-1]
        while place and not has_class(root.get_submodule(".".join(place))):
            place.pop()
        own = path.split(".")[len(place) :]
        said = f"self.{'.'.join(own)}" if all(part.isidentifier() for part in own) else _asked_for(own)
        lines[root.get_submodule(".".join(place))] += [f"{said}{amend}" for amend in _of_layer(layer)]
    return lines


def _asked_for(own: list[str]) -> str:
    return f'self.get_submodule("{".".join(own)}")'


def _of_layer(layer: nn.Module) -> Iterator[str]:
    if isinstance(layer, _BATCH_NORMS) and layer.affine:
        yield from (f".{leaf} = None" for leaf in ("weight", "bias") if getattr(layer, leaf) is None)
    trained = {name: parameter.requires_grad for name, parameter in layer.named_parameters()}
    if trained and not any(trained.values()):
        yield ".requires_grad_(False)"
    elif not all(trained.values()):
        yield from (f".{name}.requires_grad_(False)" for name, trains in trained.items() if not trains)
