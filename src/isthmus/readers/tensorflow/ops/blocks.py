"""Blocks of an image to channels or to the batch, and back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Reads, Static
from isthmus.readers.tensorflow.ops._dilated import dilated, remember
from isthmus.readers.tensorflow.ops._images import Format

table = Reads()
read = table.read


@read("DepthToSpace")
def depth_to_space(op, c, x, *, block_size, data_format):
    form = Format.of(c, data_format, 4)
    return form.from_first(op, op.DepthToSpace(form.to_first(op, x), blocksize=block_size, mode="DCR"))


@read("SpaceToDepth")
def space_to_depth(op, c, x, *, block_size, data_format):
    form = Format.of(c, data_format, 4)
    return form.from_first(op, op.SpaceToDepth(form.to_first(op, x), blocksize=block_size))


@read("SpaceToBatchND")
def space_to_batch_nd(op, c, x, block_shape: Static, paddings):
    return _space_to_batch(op, c, x, [int(b) for b in block_shape], c.known(2), paddings)


@read("SpaceToBatch")
def space_to_batch(op, c, x, paddings, *, block_size):
    return _space_to_batch(op, c, x, [block_size, block_size], c.known(1), paddings)


@read("BatchToSpaceND")
def batch_to_space_nd(op, c, x, block_shape: Static, crops):
    return _batch_to_space(op, c, x, [int(b) for b in block_shape], c.known(2), crops)


@read("BatchToSpace")
def batch_to_space(op, c, x, crops, *, block_size):
    return _batch_to_space(op, c, x, [block_size, block_size], c.known(1), crops)


def _space_to_batch(op, c, x, blocks, known, paddings):
    """Elements of one place in all blocks become an image of the batch: the batch runs fastest within a place."""
    axes = list(range(1, len(blocks) + 1))
    image = x
    if known is None:
        x = op.Pad(x, op.Reshape(op.Transpose(_int64(op, paddings), perm=[1, 0]), [-1]), _zero(op, x), axes)
    elif known.any():
        x = op.Pad(x, known.T.astype(np.int64).reshape(-1), _zero(op, x), axes)
    count, rank = len(blocks), c.rank()
    sizes = op.Shape(x)
    apart = [op.Slice(sizes, [0], [1])]
    for axis, block in zip(axes, blocks, strict=True):
        apart += [op.Div(op.Slice(sizes, [axis], [axis + 1]), block), op.constant([block])]
    apart.append(op.Slice(sizes, [count + 1], [rank]))
    split = op.Reshape(x, op.Concat(*apart, axis=0), allowzero=1)
    places, grid = [2 * i + 2 for i in range(count)], [2 * i + 1 for i in range(count)]
    rest = list(range(2 * count + 1, count + rank))
    turned = op.Transpose(split, perm=[*places, 0, *grid, *rest])
    batch = op.Mul(apart[0], int(np.prod(blocks)))
    made = op.Reshape(turned, op.Concat(batch, *apart[1:-1:2], apart[-1], axis=0), allowzero=1)
    if known is not None:
        remember(made, image, blocks, known)
    return made


def _batch_to_space(op, c, x, blocks, known, crops):
    whole = dilated(op, x, blocks, known) if known is not None else None
    if whole is not None:
        return whole
    count, rank = len(blocks), c.rank()
    sizes = op.Shape(x)
    batch = op.Div(op.Slice(sizes, [0], [1]), int(np.prod(blocks)))
    rest = op.Slice(sizes, [1], [rank])
    split = op.Reshape(x, op.Concat(op.constant(blocks), batch, rest, axis=0), allowzero=1)
    order = [count]
    for axis in range(count):
        order += [count + 1 + axis, axis]
    turned = op.Transpose(split, perm=[*order, *range(2 * count + 1, count + rank)])
    merged = [op.Mul(op.Slice(sizes, [axis], [axis + 1]), block) for axis, block in enumerate(blocks, 1)]
    whole = op.Concat(batch, *merged, op.Slice(sizes, [count + 1], [rank]), axis=0)
    image = op.Reshape(turned, whole, allowzero=1)
    axes = list(range(1, count + 1))
    if known is not None and not known.any():
        return image
    listed = op.constant(known.astype(np.int64)) if known is not None else _int64(op, crops)
    begins, ends = (op.Reshape(op.Slice(listed, [side], [side + 1], [1]), [-1]) for side in (0, 1))
    return op.Slice(image, begins, op.Sub(op.Slice(op.Shape(image), [1], [count + 1]), ends), axes)


def _int64(op, value):
    return op.Cast(value, to=ir.DataType.INT64)


def _zero(op, x):
    return op.constant(np.zeros((), x.dtype.numpy()))
