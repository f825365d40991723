"""A live module as the judge calls it: named arrays in, named arrays out, everything else as the user gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from isthmus.readers.torch.feeds import Feeds, feeds_of
from isthmus.readers.torch.structure import leaf_names, output_names, plain_outputs


@dataclass(frozen=True)
class LiveCall:
    """One way to call ``module``: ``feeds`` with its tensors replaced, those named ``names`` in pytree order."""

    module: torch.nn.Module
    feeds: Feeds
    names: tuple[str, ...]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The user's own tensors by input name."""
        return dict(zip(self.names, _tensors((self.feeds.args, self.feeds.kwargs)), strict=True))

    def __call__(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run ``forward`` on these; return the tensors of its output under the names that the reader gives them."""
        replaced = iter([tensors[name] for name in self.names])
        feeds = self.feeds.map_tensors(lambda _: next(replaced))
        outputs = plain_outputs(self.module(*feeds.args, **feeds.kwargs))
        named = zip(output_names(outputs), pytree.tree_leaves(outputs), strict=True)
        return {name: leaf for name, leaf in named if isinstance(leaf, torch.Tensor)}


def live_call(module: torch.nn.Module, inputs: Any) -> LiveCall:
    """How to call ``module`` as ``inputs`` (a tuple, a dict by parameter name, an ``.npz``) does.

    Raises errors.UsageError where they do not fit ``forward``.
    """
    feeds = feeds_of(inputs, module)
    bound = feeds.bound(module)
    by_identity = {id(leaf): name for name, leaf in zip(leaf_names(bound), pytree.tree_leaves(bound), strict=True)}
    return LiveCall(module, feeds, tuple(by_identity[id(t)] for t in _tensors((feeds.args, feeds.kwargs))))


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
