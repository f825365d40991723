"""Geometry of images: sampling by a grid, rearranging blocks, cropping, decoding."""

from __future__ import annotations

import operator
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, dims, dtype_of, host_list, positive
from isthmus.writers.torch.ops._dims import larger, moved, product
from isthmus.writers.torch.ops._numeric import in_float32, in_int64
from isthmus.writers.torch.ops._sample import Tap, blended, cubic_weights, linear_weights, taps_at
from isthmus.writers.torch.ops._windows import padded, short, steps

table = Lowerings()
lower, alias = table.lower, table.alias

SAMPLED = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
"""What F.grid_sample calls the modes."""


@lower("GridSample")
def grid_sample(c, x, grid, *, align_corners, mode, padding_mode):
    floats = FLOATS | HALVES
    spatial = c.rank() - 2
    aligned = bool(align_corners)
    if c.dtype(0) in floats and c.dtype(1) in floats and spatial in ((2,) if mode == "cubic" else (2, 3)):
        double = ir.DataType.DOUBLE in (c.dtype(0), c.dtype(1))
        wide = ir.DataType.DOUBLE if double else ir.DataType.FLOAT
        image = x if c.dtype(0) == wide else x.to(dtype_of(wide))
        grid = grid if c.dtype(1) == wide else grid.to(dtype_of(wide))
        y = F.grid_sample(image, grid, mode=SAMPLED[mode], padding_mode=padding_mode, align_corners=aligned)
        return y if c.dtype(0) == wide else y.to(dtype_of(c.dtype(0)))
    return _gathered(c, x, grid, aligned, mode, padding_mode)


def _gathered(c: Context, x: Any, grid: Any, aligned: bool, mode: str, padding_mode: str) -> Any:
    """What F.grid_sample does, for images and types that it does not take."""
    sizes, points = dims(c, x), dims(c, grid, 1)
    batch, channels, spatial = sizes[0], sizes[1], sizes[2:]
    dtype = c.dtype(0)
    grid = grid.double() if ir.DataType.DOUBLE in (dtype, c.dtype(1)) or dtype.is_integer() else grid.float()
    grid = grid.reshape([batch, product(points[1:-1]), len(spatial)])
    edges = [(0.0, size - 1.0) if aligned else (-0.5, size - 0.5) for size in spatial]

    def place(at: Any, axis: int) -> tuple[Any, Any]:
        if padding_mode == "zeros":
            return at, (at >= 0) & (at <= spatial[axis] - 1)
        return (_reflected(at, *edges[axis]) if padding_mode == "reflection" else at), None

    taps = []
    for axis, size in enumerate(spatial):
        at = grid[..., len(spatial) - 1 - axis]  # the grid counts its axes from the last one
        at = (at + 1) / 2 * (size - 1) if aligned else ((at + 1) * size - 1) / 2
        at = torch.round(at) if mode == "nearest" else at
        # cubic taps beyond the border are each clamped by themselves, as ONNX Runtime and PyTorch do it
        if padding_mode == "reflection":
            at = _reflected(at, *edges[axis])
        elif padding_mode == "border" and mode != "cubic":
            at = at.clamp(0, size - 1)
        taps.append(_grid_taps(at, axis, size, mode, place))
    if mode == "nearest":
        return _picked(c, x, spatial, [batch, channels, *points[1:-1]], taps)
    flat = x.reshape([batch, channels, -1])
    y = blended(flat if _is_complex(dtype) else flat.to(grid), spatial, taps, 1)
    y = y.reshape([batch, channels, *points[1:-1]])
    return (torch.round(y) if dtype.is_integer() else y).to(dtype_of(dtype))


def _is_complex(dtype: ir.DataType) -> bool:
    return dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)


def _picked(c: Context, x: Any, sizes: list[Any], shape: list[Any], taps: list[list[Tap]]) -> Any:
    """Single elements, bit by bit; zeros where the tap does not count."""
    index, weight = taps[0][0].index, taps[0][0].weight
    for (tap,), size in zip(taps[1:], sizes[1:], strict=True):
        index, weight = index * size + tap.index, weight * tap.weight
    index, outside = index.unsqueeze(1).expand([-1, shape[1], -1]), (weight == 0).unsqueeze(1)

    def pick(x: Any) -> Any:
        return x.reshape([shape[0], shape[1], -1]).gather(-1, index).masked_fill(outside, 0).reshape(shape)

    return moved(c, pick, x)


def _grid_taps(at: Any, axis: int, size: Any, mode: str, place: Any) -> list[Tap]:
    if mode == "nearest":
        return taps_at(at, axis, size, [0], lambda t: [torch.ones_like(t)], place)
    if mode == "cubic":
        return taps_at(at, axis, size, [-1, 0, 1, 2], cubic_weights, place)
    return taps_at(at, axis, size, [0, 1], linear_weights, place)


def _reflected(at: Any, low: Any, high: Any) -> Any:
    """Mirrored at both ends until it is inside; an axis without extent has one place only."""
    span = high - low
    beyond = torch.where(at < low, low - at, at - high)
    times = torch.floor(beyond / span)
    rest = beyond - times * span
    mirrored = torch.where((at < low) == (times % 2 == 0), low + rest, high - rest)
    inner = torch.where(torch.isfinite(mirrored), mirrored, torch.zeros_like(at) + low)
    return torch.where((at < low) | (at > high), inner, at)


@lower("AffineGrid")
def affine_grid(c, theta, size: Host, *, align_corners):
    rows = c.shape(0)[1]
    wanted = host_list(c, size, rows + 2 if isinstance(rows, int) else None)
    return in_float32(
        lambda theta: F.affine_grid(theta, wanted, align_corners=bool(align_corners)), theta, dtype=c.dtype()
    )


@lower("Col2Im")
def col2im(c, x, image_shape: Host, block_shape: Host, *, dilations, pads, strides):
    lengths = (c.shape(1)[0], c.shape(2)[0], len(strides or ()) or None, len(dilations or ()) or None)
    rank = next((n for n in lengths if isinstance(n, int)), 0)
    if rank == 0:
        c.refuse("PyTorch must know the number of spatial axes, and no operand's shape tells it")
    ones, zeros = (1,) * rank, (0,) * (2 * rank)
    strides, dilations, pads = strides or ones, dilations or ones, pads or zeros
    image, block = host_list(c, image_shape, rank), host_list(c, block_shape, rank)
    margins = list(zip(pads[:rank], pads[rank:], strict=True))
    if rank > 2 or c.dtype() not in FLOATS | HALVES:
        return in_int64(
            lambda x: in_float32(
                lambda x: _summed(c, x, image, block, margins, strides, dilations), x, dtype=c.dtype()
            ),
            x,
            dtype=c.dtype(),
        )
    whole = [size + begin + end for size, (begin, end) in zip(image, margins, strict=True)]
    if rank == 1:  # a line is an image of one row
        y = F.fold(x, [1, *whole], [1, *block], dilation=(1, *dilations), stride=(1, *strides)).squeeze(2)
    elif all(begin == end for begin, end in margins):
        options = {"dilation": (short(dilations), 1), "padding": (short(pads[:2]), 0), "stride": (short(strides), 1)}
        options = {name: given for name, (given, usual) in options.items() if given != usual}
        return F.fold(x, image, block, **options)
    else:
        y = F.fold(x, whole, block, dilation=dilations, stride=strides)
    return padded(y, [(-begin, -end) for begin, end in margins])


def _summed(c: Context, x: Any, image: Any, block: Any, margins: Any, strides: Any, dilations: Any) -> Any:
    """The columns added up where they stand in the image: for more axes than F.fold takes."""
    flat: Any = None
    counts: Any = None
    places: list[Any] = []
    for axis, (begin, end) in enumerate(margins):
        extent = (block[axis] - 1) * dilations[axis] + 1
        columns = (image[axis] + begin + end - extent) // strides[axis] + 1
        starts = steps(columns, x) * strides[axis] - begin
        at = (steps(block[axis], x) * dilations[axis]).unsqueeze(1) + starts
        inside = (at >= 0) & (at < image[axis])
        at = at.clamp(0, image[axis] - 1)
        flat = at if flat is None else _outer(flat * image[axis], at, operator.add)
        counts = inside if counts is None else _outer(counts, inside, operator.and_)
        places.append(columns)
    batch = dims(c, x)[0]
    columns = x.reshape([batch, -1, product(block) * product(places)]) * counts.flatten()
    y = x.new_zeros([batch, columns.size(1), product(image)]).index_add(2, flat.flatten(), columns)
    return y.reshape([batch, -1, *image])


def _outer(a: Any, b: Any, combine: Any) -> Any:
    """(k, l) and (m, n) to (k·m, l·n), every pair combined."""
    both = combine(a.unsqueeze(1).unsqueeze(3), b.unsqueeze(1))
    return both.flatten(2).flatten(0, 1)


@lower("DepthToSpace")
def depth_to_space(c, x, *, blocksize, mode):
    if mode == "CRD" and c.dtype() in FLOATS:
        return F.pixel_shuffle(x, blocksize)
    batch, channels, height, width = dims(c, x)
    depth = channels // blocksize**2
    if mode == "CRD":
        blocks = x.reshape([batch, depth, blocksize, blocksize, height, width]).permute(0, 1, 4, 2, 5, 3)
    else:
        blocks = x.reshape([batch, blocksize, blocksize, depth, height, width]).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape([batch, depth, height * blocksize, width * blocksize])


@lower("SpaceToDepth")
def space_to_depth(c, x, *, blocksize):
    batch, channels, height, width = dims(c, x)
    height, width = height // blocksize, width // blocksize
    blocks = x.reshape([batch, channels, height, blocksize, width, blocksize]).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape([batch, channels * blocksize**2, height, width])


@lower("CenterCropPad")
def center_crop_pad(c, x, shape: Host, *, axes):
    sizes = dims(c, x)
    numbers = [positive(a, len(sizes)) for a in (range(len(sizes)) if axes is None else axes)]
    margins: list[tuple[Any, Any]] = [(0, 0)] * len(sizes)
    for axis, wanted in zip(numbers, host_list(c, shape, len(numbers)), strict=True):
        more, less = larger(wanted - sizes[axis], 0), larger(sizes[axis] - wanted, 0)
        begin = more // 2 - less // 2
        margins[axis] = (begin, wanted - sizes[axis] - begin)
    return moved(c, lambda x: padded(x, margins), x)


@lower("ImageDecoder", ignore=("pixel_format",))
def image_decoder(c, encoded):
    c.refuse(
        "PyTorch itself decodes no image files",
        hint="decode the image before the model",
    )
