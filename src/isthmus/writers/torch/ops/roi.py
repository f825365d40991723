"""Pooling over regions of interest: RoiAlign, MaxRoiPool, and DeformConv, which reads between pixels as they do."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from isthmus.lower.contract import Lowerings, Weight
from isthmus.lower.walk import Context
from isthmus.lower.windows import Window
from isthmus.writers.torch.ops._common import dims, dtype_of
from isthmus.writers.torch.ops._dims import product
from isthmus.writers.torch.ops._sample import blended, linear_weights, taps_at
from isthmus.writers.torch.ops._windows import kernel_of, paddings_of, steps

table = Lowerings()
lower, alias = table.lower, table.alias


def _wide(c: Context, index: int, x: Any) -> Any:
    """Input ``index``, which is ``x``, in float32 or wider."""
    return x if c.dtype(index) in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else x.float()


def _narrowed(c: Context, y: Any) -> Any:
    return y if c.dtype() in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else y.to(dtype_of(c.dtype()))


@lower("RoiAlign")
def roi_align(
    c,
    x,
    rois,
    batch_indices,
    *,
    coordinate_transformation_mode,
    mode,
    output_height,
    output_width,
    sampling_ratio,
    spatial_scale,
):
    """Every point of every bin is read from its four pixels: (channels, rois, rows, points, columns, points)."""
    image = _wide(c, 0, x)
    channels, height, width = dims(c, x)[1:]
    half_pixel = coordinate_transformation_mode == "half_pixel"
    boxes = _wide(c, 1, rois) * spatial_scale
    boxes = boxes - 0.5 if half_pixel else boxes
    rows = _points(boxes[:, 1], boxes[:, 3] - boxes[:, 1], output_height, sampling_ratio, half_pixel)
    columns = _points(boxes[:, 0], boxes[:, 2] - boxes[:, 0], output_width, sampling_ratio, half_pixel)
    flat = image.transpose(0, 1).reshape([channels, -1])
    base = batch_indices.long().reshape([-1, 1, 1, 1, 1]) * (height * width)
    counts = _crossed(rows[1], columns[1], operator.and_)
    values = []
    for (row, by_row), (column, by_column) in itertools.product(
        _neighbours(rows[0], height), _neighbours(columns[0], width)
    ):
        place = base + _crossed(row * width, column, operator.add)
        values.append(flat[:, place] * _crossed(by_row, by_column, operator.mul))
    if mode == "avg":
        total = functools.reduce(operator.add, values) * counts
        points = (rows[2] * columns[2]).clamp(min=1).reshape([-1, 1, 1])
        pooled = total.sum([3, 5]) / points
    else:
        most = functools.reduce(torch.maximum, values).masked_fill(~counts, -torch.inf).amax([3, 5])
        pooled = torch.where(most == -torch.inf, torch.zeros_like(most), most)  # a grid without points gives 0
    return _narrowed(c, pooled.transpose(0, 1))


def _crossed(row: Any, column: Any, combine: Any) -> Any:
    """(rois, rows, points) and (rois, columns, points) to (rois, rows, points, columns, points)."""
    return combine(row.unsqueeze(-1).unsqueeze(-1), column.unsqueeze(1).unsqueeze(1))


def _points(start: Any, extent: Any, bins: int, sampling_ratio: int, half_pixel: bool) -> tuple[Any, Any, Any]:
    """Along one axis: the sampling points (rois, bins, points), which of them count, and how many (rois,)."""
    extent = extent if half_pixel else extent.clamp(min=1.0)
    size = extent / bins
    most: Any = sampling_ratio
    count = torch.full_like(size, sampling_ratio, dtype=torch.int64)
    if sampling_ratio <= 0:
        count = torch.ceil(size).long()
        most = torch.cat([count, count.new_ones([1])]).amax().item()
    step = size / count.clamp(min=1)
    number = steps(most, start)
    first = start.unsqueeze(1) + steps(bins, start) * size.unsqueeze(1)
    at = first.unsqueeze(2) + (number + 0.5) * step.reshape([-1, 1, 1])
    used = (number < count.reshape([-1, 1, 1])).expand([-1, bins, -1])
    return at, used, count


def _neighbours(at: Any, length: Any) -> list[tuple[Any, Any]]:
    """The pixels below and above each point with their weights, which are 0 for points beside the image."""
    on_image = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    low = torch.floor(at)
    upper = at - low
    high = (low + 1).clamp(max=length - 1)
    return [(low.long(), (1 - upper) * on_image), (high.long(), upper * on_image)]


@lower("MaxRoiPool")
def max_roi_pool(c, x, rois, *, pooled_shape, spatial_scale):
    image, boxes = _wide(c, 0, x), _wide(c, 1, rois)
    height, width = dims(c, x)[2:]
    corners = boxes[:, 1:] * spatial_scale
    corners = (torch.sign(corners) * torch.floor(corners.abs() + 0.5)).long()
    rows = _bins(corners[:, 1], corners[:, 3], height, pooled_shape[0])
    columns = _bins(corners[:, 0], corners[:, 2], width, pooled_shape[1])
    planes = image[boxes[:, 0].long()]
    bands = [planes.masked_fill(~columns[:, None, None, i], -torch.inf).amax(3) for i in range(pooled_shape[1])]
    banded = torch.stack(bands, 3)
    cells = [banded.masked_fill(~rows[:, None, i, :, None], -torch.inf).amax(2) for i in range(pooled_shape[0])]
    empty = ~(rows.any(2).unsqueeze(2) & columns.any(2).unsqueeze(1))
    return _narrowed(c, torch.stack(cells, 2).masked_fill(empty.unsqueeze(1), 0.0))


def _bins(start: Any, end: Any, length: Any, bins: int) -> Any:
    """Which pixels of an axis belong to which bin: bool (rois, bins, length)."""
    size = ((end - start + 1).clamp(min=1).to(torch.float32) / bins).unsqueeze(1)
    number = steps(bins, start)
    first = torch.floor(number * size).long() + start.unsqueeze(1)
    last = torch.ceil((number + 1) * size).long() + start.unsqueeze(1)
    at = steps(length, start)
    return (at >= first.unsqueeze(2)) & (at < last.unsqueeze(2))


@lower("DeformConv")
def deform_conv(
    c,
    x,
    w: Weight,
    offset,
    b: Weight = None,
    mask=None,
    *,
    dilations,
    group,
    kernel_shape,
    offset_group,
    pads,
    strides,
):
    """Every tap is read at its own displaced place (bilinear, 0 outside), then one matrix product a group."""
    kernel = kernel_of(c, kernel_shape, w)
    if not all(isinstance(size, int) for size in kernel):
        c.refuse("the size of its kernel is met at run time: PyTorch's code for it has one piece a tap")
    window = Window.of(kernel, strides, dilations)
    sizes, outputs = dims(c, x), dims(c, offset, 2)[2:]
    batch, channels, spatial = sizes[0], sizes[1], sizes[2:]
    taps, rank, places = window.taps, window.rank, product(outputs)
    displaced = _wide(c, 2, offset).reshape([batch, offset_group, taps, rank, places])
    begins = [begin for begin, _ in paddings_of("NOTSET", pads, window, spatial)]
    tap_grid = np.stack(np.meshgrid(*map(np.arange, window.kernel), indexing="ij"), -1).reshape(taps, rank)
    neighbours = []
    for axis in range(rank):
        tap = torch.tensor((tap_grid[:, axis] * window.dilations[axis] - begins[axis]).tolist())
        out = (steps(outputs[axis], x) * window.strides[axis]).reshape([-1, *[1] * (rank - 1 - axis)])
        fixed = tap.reshape([-1, 1]) + out.expand(outputs).reshape([-1])
        at = (displaced[:, :, :, axis] + fixed).reshape([batch, offset_group, taps * places])

        def inside(at: Any, _: int, last: Any = spatial[axis] - 1) -> tuple[Any, Any]:
            return at, (at >= 0) & (at <= last)

        neighbours.append(taps_at(at, axis, spatial[axis], [0, 1], linear_weights, inside))
    flat = _wide(c, 0, x).reshape([batch, offset_group, channels // offset_group, product(spatial)])
    read = blended(flat, spatial, neighbours, 2)
    if mask is not None:
        read = read * _wide(c, 4, mask).reshape([batch, offset_group, 1, taps * places])
    made = dims(c, w, 1)[0]
    columns = read.reshape([batch, group, channels // group * taps, places])
    filters = _wide(c, 1, w).reshape([group, made // group, channels // group * taps])
    y = (filters @ columns).reshape([batch, made, *outputs])
    y = y if b is None else y + _wide(c, 3, b).reshape([-1, *[1] * rank])
    return _narrowed(c, y)
