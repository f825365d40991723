"""Packed sequences while a module is traced: unpacked, they have the length that they have in PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def as_long_as_in_pytorch() -> Iterator[None]:
    """While open, ``pad_packed_sequence`` gives the length of the longest sequence, or the one that it is given.

    torch's older exporter pads to the length of what was packed, whatever was asked for. What it traces does not tell
    the two kinds of calls apart; the frame of the caller does.
    """
    holder: Any = torch._VF
    original = holder._pad_packed_sequence

    def pad(data: Any, sizes: Any, batch_first: bool, value: float, total: Any) -> tuple[Any, Any]:
        if value != 0:
            raise RuntimeError(f"pad_packed_sequence(padding_value={value}) has no translation: it pads with zeros")
        padded, lengths = original(data, sizes, batch_first, value, total)
        frame = inspect.currentframe()
        caller = frame.f_back if frame is not None else None
        time = 1 if batch_first else 0
        if caller is None or caller.f_locals.get("total_length", False) is not None:
            shape = [*padded.shape[:time], total, *padded.shape[time + 1 :]]
            padded = torch.cat([padded, padded.new_zeros(shape)], time)
        else:
            # The exporter has lengths of 32 bits and no rank, whatever the trace says.
            total = lengths.max().reshape(()).int().long()
        return (padded[:, :total] if batch_first else padded[:total]), lengths

    holder._pad_packed_sequence = pad
    try:
        yield
    finally:
        del holder._pad_packed_sequence


def unpacks(module: Any) -> bool:
    """Whether a TorchScript module unpacks sequences."""
    graph = getattr(module, "inlined_graph", None)
    return graph is not None and bool(list(graph.findAllNodes("aten::_pad_packed_sequence", True)))
