"""Images in other sizes."""

from __future__ import annotations

import functools
import math

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._extents import entries, over
from isthmus.readers.tensorflow.ops._images import Format
from isthmus.readers.tensorflow.ops._sampling import (
    FLOAT,
    asked,
    between,
    column,
    extents,
    real,
    resampled,
    rounded,
    scale_of,
    steps,
)
from isthmus.readers.tensorflow.ops._sizes import int64

table = Reads()
read = table.read

_IMAGE = Format(4, last=True)
_RESIZED = {ir.DataType[name] for name in ("FLOAT", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT32")}
"""What ONNX Runtime's kernels of Resize take, or types that hold it."""
_TABLE = 1024
"""TensorFlow looks up the weights of cubic filters in a table of so many steps."""


@read("ResizeBilinear")
def bilinear(op, c, images, size: Host, *, align_corners, half_pixel_centers):
    coordinates = _coordinates(align_corners, half_pixel_centers)
    return _resized(op, c, real(op, images), size, mode="linear", coordinate_transformation_mode=coordinates)


def _coordinates(align_corners, half_pixel_centers):
    return "half_pixel" if half_pixel_centers else "align_corners" if align_corners else "asymmetric"


def _resized(op, c, images, size, **settings):
    """ONNX's Resize. A size that is a whole multiple of the image's is written as such.

    Sizes are of all axes: where only some are listed, ONNX Runtime (seen in 1.31) mixes them up with its Transposes.
    """
    image = _IMAGE.to_first(op, images)
    if factors := _factors(c):
        made = op.Resize(image, None, np.asarray([1, 1, *factors], np.float32), None, **settings)
    else:
        sizes = int64(op, size)
        if c.shape_or_none(1) != (2,):
            sizes = op.Reshape(sizes, [2])
        made = op.Resize(image, None, None, op.Concat(op.Shape(image, end=2), sizes, axis=0), **settings)
    return _IMAGE.from_first(op, made)


def _factors(c):
    """The whole factors of height and width, where sizes are free and provably multiples of them."""
    listed, images = entries(c.node.inputs[1]), c.node.inputs[0]
    if listed is None or len(listed) != 2:
        return None
    found = [over(entry, images, axis) for entry, axis in zip(listed, _IMAGE.spatial, strict=True)]
    return None if any(f is None or f[1] or f[0] < 1 for f in found) else [f[0] for f in found]


@read("ResizeNearestNeighbor")
def nearest(op, c, images, size: Host, *, align_corners, half_pixel_centers):
    """Resize where it picks the same pixels; otherwise the pixels that TensorFlow's float32 arithmetic picks."""
    settings = {
        "mode": "nearest",
        "coordinate_transformation_mode": _coordinates(align_corners, half_pixel_centers),
        "nearest_mode": "round_prefer_ceil" if align_corners or half_pixel_centers else "floor",
    }
    given = _IMAGE.sizes(c)
    picked = functools.partial(_picked, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
    resizes = images.dtype in _RESIZED
    if not isinstance(size, ir.Value) and all(isinstance(n, int) for n in given):
        wanted = [picked(n, int(m)) for n, m in zip(given, size, strict=True)]
        onnx = [
            _picked_by_onnx(n, int(m), align_corners, half_pixel_centers) for n, m in zip(given, size, strict=True)
        ]
        if resizes and all(np.array_equal(*pair) for pair in zip(wanted, onnx, strict=True)):
            return _resized(op, c, images, size, **settings)
        return functools.reduce(lambda x, ai: op.Gather(x, ai[1], axis=ai[0]), enumerate(wanted, 1), images)
    factors = _factors(c) if resizes and not align_corners else None
    if factors and all(np.array_equal(picked(512, 512 * f), np.arange(512 * f) // f) for f in factors):
        return _resized(op, c, images, size, **settings)
    for axis, (n, m) in enumerate(zip(extents(op, images), asked(op, size), strict=True), 1):
        places = op.Mul(_centers(op, m, half_pixel_centers), scale_of(op, n, m, align_corners=align_corners))
        whole = rounded(op, places) if align_corners else op.Floor(places)
        index = op.Min(op.Cast(whole, to=ir.DataType.INT64), op.Sub(n, 1))
        images = op.Gather(images, index, axis=axis)
    return images


def _centers(op, made, half_pixel_centers):
    return op.Add(steps(op, made), 0.5) if half_pixel_centers else steps(op, made)


def _picked(given, made, align_corners, half_pixel_centers):
    """Which pixel TensorFlow takes for each, in its float32 arithmetic."""
    one = np.float32(1)
    scale = one * (given - 1) / (made - 1) if align_corners and made > 1 else one * given / np.float32(made)
    places = (np.arange(made, dtype=np.float32) + np.float32(0.5 * half_pixel_centers)) * np.float32(scale)
    whole = np.floor(places)
    whole += (places - whole >= 0.5) * align_corners
    return np.minimum(whole, given - 1).astype(np.int64)


def _picked_by_onnx(given, made, align_corners, half_pixel_centers):
    """Which pixel ONNX Runtime takes for each, in its float32 arithmetic."""
    x = np.arange(made, dtype=np.float32)
    scale = np.float32(made) / np.float32(given)
    if align_corners:
        x = x * np.float32(given - 1) / np.float32(made - 1) if made > 1 else x * 0
    else:
        x = (x + np.float32(0.5)) / scale - np.float32(0.5) if half_pixel_centers else x / scale
    whole = np.floor(x)
    whole += (x - whole >= 0.5) * (align_corners or half_pixel_centers)
    return np.clip(whole, 0, given - 1).astype(np.int64)


@read("ResizeBicubic")
def bicubic(op, images, size: Host, *, align_corners, half_pixel_centers):
    matrices = [
        _cubic(op, n, m, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        for n, m in zip(extents(op, images), asked(op, size), strict=True)
    ]
    return resampled(op, real(op, images), *matrices)


def _cubic(op, given, made, *, align_corners, half_pixel_centers):
    """Weights of four pixels a sample, by the distance as TensorFlow's table knows it.

    With centers at halves, pixels outside of the image weigh nothing; otherwise the edge stands for them.
    """
    places = op.Mul(_centers(op, made, half_pixel_centers), scale_of(op, given, made, align_corners=align_corners))
    places = op.Sub(places, 0.5) if half_pixel_centers else places
    whole = op.Floor(places)
    offset = op.Div(op.Round(op.Mul(op.Sub(places, whole), float(_TABLE))), float(_TABLE))
    a = -0.5 if half_pixel_centers else -0.75
    one, two = (op.constant(np.float32(number)) for number in (1, 2))
    distances = (op.Add(offset, one), offset, op.Sub(one, offset), op.Sub(two, offset))
    pixels = op.Unsqueeze(steps(op, given), [0])
    last = real(op, op.Sub(given, 1))
    parts = []
    for tap, distance in enumerate(distances):
        index = op.Add(whole, float(tap - 1))
        index = index if half_pixel_centers else between(op, index, op.constant(np.float32(0)), last)
        hit = op.Cast(op.Equal(column(op, index), pixels), to=FLOAT)
        weight = _near(op, distance, a) if tap in (1, 2) else _far(op, distance, a)
        parts.append(op.Mul(column(op, weight), hit))
    weights = op.Sum(*parts)
    return _normalized(op, weights) if half_pixel_centers else weights


def _near(op, d, a):
    return op.Add(op.Mul(op.Mul(op.Sub(op.Mul(d, a + 2), a + 3), d), d), 1.0)


def _far(op, d, a):
    return op.Sub(op.Mul(op.Add(op.Mul(op.Sub(op.Mul(d, a), 5 * a), d), 8 * a), d), 4 * a)


def _normalized(op, weights):
    """Rows that sum to one, unless they sum to nothing."""
    total = op.ReduceSum(weights, [1], keepdims=1)
    least = 1000 * float(np.finfo(np.float32).tiny)
    safe = op.Where(op.Less(op.Abs(total), least), op.constant(np.float32(1)), total)
    return op.Div(weights, safe)


@read("ResizeArea")
def area(op, images, size: Host, *, align_corners):
    matrices = []
    for n, m in zip(extents(op, images), asked(op, size), strict=True):
        scale = scale_of(op, n, m, align_corners=align_corners)
        begin = column(op, op.Mul(steps(op, m), scale))
        end = column(op, op.Mul(op.Add(steps(op, m), 1.0), scale))
        low = op.Unsqueeze(steps(op, n), [0])
        # what reaches beyond the image counts for its last pixel
        beyond = op.Equal(low, real(op, op.Sub(n, 1)))
        high = op.Where(beyond, op.constant(np.float32(math.inf)), op.Add(low, 1.0))
        overlap = op.Max(op.Sub(op.Min(high, end), op.Max(low, begin)), op.constant(np.float32(0)))
        within = op.And(op.Less(low, begin), op.Greater(high, end))
        matrices.append(op.Div(op.Where(within, scale, overlap), scale))  # the difference of large places is inexact
    return resampled(op, real(op, images), *matrices)


@read("ScaleAndTranslate")
def scale_and_translate(op, c, images, size: Host, scale, translation, *, kernel_type, antialias):
    if kernel_type not in _KERNELS:
        c.refuse(f"its kernel {kernel_type!r} is not known")
    radius, kernel = _KERNELS[kernel_type]
    matrices = []
    for axis, (n, m) in enumerate(zip(extents(op, images), asked(op, size), strict=True)):
        inverse = op.Reciprocal(op.Slice(scale, [axis], [axis + 1]))
        shift = op.Neg(op.Mul(inverse, op.Slice(translation, [axis], [axis + 1])))
        wide = op.Max(inverse, op.constant(np.float32(1))) if antialias else op.constant(np.ones(1, np.float32))
        samples = column(op, op.Add(op.Mul(op.Add(steps(op, m), 0.5), inverse), shift))
        pixels = op.Unsqueeze(op.Add(steps(op, n), 0.5), [0])
        distance = op.Abs(op.Div(op.Sub(pixels, samples), wide))
        inside = op.And(op.GreaterOrEqual(samples, 0.0), op.LessOrEqual(samples, real(op, n)))
        reached = op.And(op.LessOrEqual(distance, radius), inside)
        matrices.append(_normalized(op, op.Where(reached, kernel(op, distance), op.constant(np.float32(0)))))
    return resampled(op, real(op, images), *matrices)


def _lanczos(radius):
    def kernel(op, d):
        tiny = op.LessOrEqual(d, 1e-3)
        angle = op.Mul(op.Where(tiny, op.constant(np.float32(1)), d), math.pi)
        both = op.Mul(op.Mul(op.Sin(angle), op.Sin(op.Div(angle, radius))), radius)
        return op.Where(tiny, op.constant(np.float32(1)), op.Div(both, op.Mul(angle, angle)))

    return radius, kernel


def _gaussian(op, d):
    weight = op.Exp(op.Mul(op.Mul(d, d), -2.0))
    return op.Where(op.Less(d, 1.5), weight, op.constant(np.float32(0)))


def _box(op, d):
    inner = op.Where(op.Less(d, 0.5), op.constant(np.float32(1)), op.constant(np.float32(0)))
    return op.Where(op.Equal(d, 0.5), op.constant(np.float32(0.5)), inner)


def _triangle(op, d):
    return op.Max(op.Sub(op.constant(np.float32(1)), d), op.constant(np.float32(0)))


def _polynomials(near, far):
    """Two polynomials of the distance: below one, and from there on; highest power first."""

    def kernel(op, d):
        return op.Where(op.Less(d, 1.0), _polynomial(op, d, near), _polynomial(op, d, far))

    return 2.0, kernel


def _polynomial(op, d, factors):
    found = op.Add(op.Mul(d, factors[0]), factors[1])
    for factor in factors[2:]:
        found = op.Add(op.Mul(found, d), factor)
    return found


_KERNELS = {
    **{f"lanczos{radius}": _lanczos(float(radius)) for radius in (1, 3, 5)},
    "gaussian": (1.5, _gaussian),
    "box": (1.0, _box),
    "triangle": (1.0, _triangle),
    "keyscubic": _polynomials((1.5, -2.5, 0.0, 1.0), (-0.5, 2.5, -4.0, 2.0)),
    "mitchellcubic": _polynomials((7 / 6, -2.0, 0.0, 8 / 9), (-7 / 18, 2.0, -10 / 3, 16 / 9)),
}
"""Name → how far the kernel reaches, and its weight by the distance."""
