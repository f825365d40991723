"""Dilated convolutions that TensorFlow computes over blocks of the batch: read as what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

_BLOCKS = "isthmus.blocks"
"""Where a value in memory tells of which image its batch holds the blocks."""

_BETWEEN = ("Unsqueeze", "Transpose", "Conv", "Squeeze")


@dataclass(frozen=True)
class Blocks:
    """An image, the block size of each spatial axis, and what it was padded by: (before, after) for each of them."""

    image: ir.Value
    sizes: tuple[int, ...]
    paddings: tuple[tuple[int, int], ...]


def remember(value: ir.Value, image: ir.Value, sizes: Sequence[int], paddings: np.ndarray) -> None:
    """Note what ``value`` holds the blocks of."""
    pairs = tuple((int(before), int(after)) for before, after in paddings)
    value.meta[_BLOCKS] = Blocks(image, tuple(sizes), pairs)


def dilated(op: Any, value: ir.Value, sizes: Sequence[int], crops: np.ndarray) -> ir.Value | None:
    """The dilated convolution that ``value`` is, where its blocks are put together and cut by ``crops``; or None.

    Blocks that one plain convolution of stride 1 has passed are what a convolution of the whole, dilated by their
    sizes, gives: https://www.tensorflow.org/api_docs/python/tf/space_to_batch
    """
    chain: list[ir.Node] = []
    while _BLOCKS not in value.meta:
        node = value.producer()
        if node is None or node.domain or node.op_type not in _BETWEEN or node.inputs[0] is None:
            return None
        chain.append(node)
        value = node.inputs[0]
    blocks: Blocks = value.meta[_BLOCKS]
    pads = [
        (before - first, after - last) for (before, after), (first, last) in zip(blocks.paddings, crops, strict=True)
    ]
    if blocks.sizes != tuple(sizes) or any(side < 0 for pair in pads for side in pair):
        return None
    if [node.op_type for node in chain].count("Conv") != 1:
        return None
    axes = list(range(1, len(sizes) + 1))
    made = blocks.image
    for node in reversed(chain):
        settings = {name: held.value for name, held in node.attributes.items()}
        if node.op_type == "Conv":
            dilations = _spread(node, axes, sizes, 1)
            begins, ends = (_spread(node, axes, [int(pair[side]) for pair in pads], 0) for side in (0, 1))
            if not _is_plain(node) or dilations is None or begins is None or ends is None:
                return None
            settings |= {"dilations": dilations, "pads": [*begins, *ends]}
        moved = _moved(node, axes)
        if moved is None:
            return None
        axes = moved
        made = getattr(op, node.op_type)(made, *node.inputs[1:], **settings)
    return made if axes == list(range(1, len(sizes) + 1)) else None


def _is_plain(conv: ir.Node) -> bool:
    """Whether it neither strides nor pads nor dilates."""
    held = {
        name: list(a.as_ints()) for name, a in conv.attributes.items() if name in ("strides", "dilations", "pads")
    }
    ones = [*held.get("strides", ()), *held.get("dilations", ())]
    return set(ones) <= {1} and not any(held.get("pads", ())) and "auto_pad" not in conv.attributes


def _spread(conv: ir.Node, axes: Sequence[int], values: Sequence[int], default: int) -> list[int] | None:
    """One entry a spatial axis of the convolution: those of ``axes`` have ``values``."""
    rank = 2 + len(conv.attributes["kernel_shape"].as_ints())
    if any(axis < 2 or axis >= rank for axis in axes):
        return None
    found = [default] * (rank - 2)
    for axis, value in zip(axes, values, strict=True):
        found[axis - 2] = value
    return found


def _moved(node: ir.Node, axes: Sequence[int]) -> list[int] | None:
    """Where the axes are after ``node``."""
    if node.op_type == "Conv":
        return list(axes)
    if node.op_type == "Transpose":
        perm = list(node.attributes["perm"].as_ints())
        return [perm.index(axis) for axis in axes]
    given = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if given is None or given.size != 1:
        return None
    if node.op_type == "Unsqueeze":
        added = int(given.numpy().reshape(())) % len(node.outputs[0].shape or (None,))
        return [axis + (axis >= added) for axis in axes]
    gone = int(given.numpy().reshape(())) % len(node.inputs[0].shape or (None,)) if node.inputs[0] is not None else -1
    return None if gone in axes else [axis - (axis > gone) for axis in axes]
