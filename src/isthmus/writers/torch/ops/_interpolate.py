"""Interpolation along one axis: which elements each output element is made of, and with what weights.

Everything is computed in float32, as ONNX Runtime does it: with other roundings a tie falls on another pixel. What is
known at conversion is computed there, and becomes a constant.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from isthmus.lower.interpolation import Filter
from isthmus.writers.torch.ops._dims import larger
from isthmus.writers.torch.ops._windows import steps

Size = Any
"""An int, or a symbolic one."""
Factor = Any
"""A Python float, or a 0-d tensor of float32."""


@dataclass(frozen=True)
class Axis:
    """One axis to be resized. ``by_size``: the scale is the ratio of the sizes, and not the other way round."""

    axis: int
    length: Size
    resized: Size
    scale: Factor
    roi: tuple[Factor, Factor] = (0.0, 1.0)
    by_size: bool = False

    @property
    def known(self) -> bool:
        return all(isinstance(v, int | float) for v in (self.length, self.resized, self.scale, *self.roi))

    @property
    def unchanged(self) -> bool:
        """Whether every output element is the input element of its index."""
        whole = all(isinstance(v, float) for v in self.roi) and self.roi == (0.0, 1.0)
        return whole and isinstance(self.scale, float) and self.scale == 1.0


def single(value: Size | Factor, like: Any) -> Any:
    """A size as a 0-d tensor of float32, on the device of ``like`` where it is symbolic."""
    if isinstance(value, int | float):
        return torch.tensor(value, dtype=torch.float32)
    return torch.full([], value, dtype=torch.float32, device=like.device)


def _factor(value: Factor) -> Any:
    return torch.tensor(value, dtype=torch.float32) if isinstance(value, float) else value


def positions(axis: Axis, coordinates: str, like: Any) -> Any:
    """Where each output element lies on the input's axis: float32 of shape (resized,)."""
    at = steps(axis.resized, like).to(torch.float32)
    scale = _factor(axis.scale)
    if coordinates == "align_corners":
        return at * (axis.length - 1) / larger(axis.resized - 1, 1)
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "tf_crop_and_resize":
        start, end = map(_factor, axis.roi)
        apart = (end - start) * (axis.length - 1)
        spread = at * apart / larger(axis.resized - 1, 1)
        return start * (axis.length - 1) + _of_several(axis, spread, 0.5 * apart, like)
    half_pixel = (at + 0.5) / scale - 0.5
    if coordinates == "pytorch_half_pixel":
        return _of_several(axis, half_pixel, 0.0, like)
    if coordinates == "half_pixel_symmetric":
        length, resized = single(axis.length, like), single(axis.resized, like)
        return length / 2 * (1 - resized / (scale * length)) + half_pixel
    return half_pixel


def _of_several(axis: Axis, some: Any, one: Any, like: Any) -> Any:
    """``some``, or ``one`` where a single element is all that the resized axis has."""
    if isinstance(axis.resized, int):
        return some if axis.resized > 1 else torch.zeros([1]) + one
    return torch.where(single(axis.resized, like) > 1, some, one)


def nearest_index(at: Any, length: Size, rounding: str) -> Any:
    """The nearest element's index: int64, of the shape of ``at``."""
    if rounding.startswith("round"):
        rounded = torch.ceil(at - 0.5) if rounding == "round_prefer_floor" else torch.floor(at + 0.5)
    else:
        rounded = torch.floor(at) if rounding == "floor" else torch.ceil(at)
    return rounded.long().clamp(0, length - 1)


def taps(at: Any, length: Size, how: Filter) -> list[tuple[Any, Any]]:
    """The elements that make each output element, tap by tap, and their weights: both of shape (resized,)."""
    floor = torch.floor(at)
    offsets = (0, 1) if how.mode == "linear" else (-1, 0, 1, 2)
    indices = [floor.long() + offset for offset in offsets]
    weights = [_kernel(index - at, how) for index in indices]
    if how.exclude_outside:
        weights = [
            torch.where((i >= 0) & (i < length), weight, 0.0) for i, weight in zip(indices, weights, strict=True)
        ]
        total = functools.reduce(operator.add, weights)
        weights = [weight / total for weight in weights]
    return [(index.clamp(0, length - 1), weight) for index, weight in zip(indices, weights, strict=True)]


def matrix(at: Any, axis: Axis, how: Filter, like: Any) -> Any:
    """The antialiased interpolation as a matrix of shape (resized, length): the kernel is widened when shrinking."""
    reach = 1.0 if how.mode == "linear" else 2.0
    if isinstance(axis.scale, float):
        scale: Any = min(axis.scale, 1.0)
        reach = math.ceil(reach / scale)
    else:
        scale = axis.scale.clamp(max=1.0)
        reach = torch.ceil(reach / scale).long().item()
    # elements beyond the ends count with the weight of their place, and with the value of the end
    index = steps(axis.length + 2 * reach + 2, like) - (reach + 1)
    weights = _kernel((index - at.unsqueeze(1)) * scale, how)
    if how.exclude_outside:
        weights = torch.where((index >= 0) & (index < axis.length), weights, 0.0)
    weights = weights / weights.sum(1, keepdim=True)
    return weights.new_zeros([axis.resized, axis.length]).index_add(1, index.clamp(0, axis.length - 1), weights)


def _kernel(x: Any, how: Filter) -> Any:
    x = x.abs()
    if how.mode == "linear":
        return (1 - x).clamp(min=0)
    a = how.cubic_coeff_a
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def picked(x: Any, axis: Axis, how: Filter) -> Any:
    """``x`` resized along ``axis`` by its nearest elements; any type."""
    at = positions(axis, how.coordinates, x)
    return x.index_select(axis.axis, nearest_index(at, axis.length, how.nearest))


def mixed(x: Any, axis: Axis, how: Filter, rank: int) -> Any:
    """A floating ``x`` of so many axes resized along one by weighted sums."""
    at = positions(axis, how.coordinates, x)
    if how.antialias:
        weights = matrix(at, axis, how, x).to(x)
        return weights @ x if rank == 1 else (weights @ x.transpose(axis.axis, -2)).transpose(axis.axis, -2)
    along = [-1, *[1] * (rank - 1 - axis.axis)]
    parts = [x.index_select(axis.axis, index) * weight.reshape(along) for index, weight in taps(at, axis.length, how)]
    return functools.reduce(operator.add, parts)


def outside(axes: Sequence[Axis], rank: int, like: Any) -> Any:
    """Which elements of a cropped and resized tensor come from beyond the input: bool, broadcasting to it."""
    beyond: Any = None
    for axis in axes:
        at = positions(axis, "tf_crop_and_resize", like)
        one = ((at < 0) | (at > axis.length - 1)).reshape([-1, *[1] * (rank - 1 - axis.axis)])
        beyond = one if beyond is None else beyond | one
    return beyond
