"""What an inference graph does not show of training, dropout above all: as the source's module tree tells of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from isthmus.types import Note
from isthmus.writers.torch.names import component

_TOLD = re.compile(r"(?P<kind>\w+)\((?:p|dropout)=(?P<share>[01](?:\.\d{1,20})?|\d(?:\.\d{1,20})?e-\d{1,3})\)")

_KINDS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    }
)


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _read(told: str) -> tuple[str, float]:
    """The class and the share of what is dropped; 0 where none is told."""
    found = _TOLD.fullmatch(told)
    return (found["kind"], min(1.0, float(found["share"]))) if found else (told, 0.0)


def silent(told: str) -> nn.Module:
    """A module that left no trace in the graph: dropout where it was that, else one that does nothing."""
    kind, share = _read(told)
    return _KINDS[kind](share) if kind in _KINDS else nn.Identity()


def restore(root: nn.Module, modules: Mapping[str, str]) -> None:
    """Give layers what only training shows: the dropout of recurrent ones and of attention, and the momentum that
    batch norms lack which average over all batches."""
    held = dict(root.named_modules(remove_duplicate=False))
    for path, told in modules.items():
        if told.endswith("(momentum=None)") and isinstance(held.get(_place(path)), _BATCH_NORMS):
            held[_place(path)].momentum = None
        share = _read(told)[1]
        layer = held.get(_place(path)) if share else None
        if isinstance(layer, nn.MultiheadAttention) or (isinstance(layer, nn.RNNBase) and layer.num_layers > 1):
            layer.dropout = share


def lost(root: nn.Module, modules: Mapping[str, str]) -> tuple[Note, ...]:
    """A word on dropout modules of the source whose place in the computation its graph does not tell."""
    held = dict(root.named_modules(remove_duplicate=False))
    gone = [path for path, told in modules.items() if _read(told)[0] in _KINDS and _read(told)[1]]
    gone = [path for path in gone if type(held.get(_place(path))).__name__ not in _KINDS]
    if not gone:
        return ()
    some = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
    text = f"dropout left no trace in the source's graph, and does not come back when the module trains: {some}"
    return (Note("training", text, "convert the PyTorch model with trainable=True, which keeps it"),)


def _place(path: str) -> str:
    return ".".join(component(part) for part in path.split(".") if part)
