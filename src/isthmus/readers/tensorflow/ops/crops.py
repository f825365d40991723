"""Parts of images, and images seen from elsewhere."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from isthmus.readers.tensorflow.contract import Host, Reads
from isthmus.readers.tensorflow.ops._sampling import (
    FLOAT,
    asked,
    at,
    between,
    extents,
    real,
    rounded,
    steps,
)
from isthmus.readers.tensorflow.ops._sizes import counted, int64, size

table = Reads()
read = table.read

_ZERO = np.float32(0)
_ONE = np.float32(1)


@read("CropAndResize")
def crop_and_resize(op, image, boxes, box_ind, crop_size: Host, *, method, extrapolation_value):
    """Boxes (y1, x1, y2, x2) as fractions of the image; what lies outside of it is ``extrapolation_value``."""
    places, inside, lasts = [], [], []
    for axis, (n, m) in enumerate(zip(extents(op, image), asked(op, crop_size), strict=True)):
        begin, end = (op.Slice(boxes, [axis + side], [axis + side + 1], [1]) for side in (0, 2))
        last = real(op, op.Sub(n, 1))
        step = op.Div(op.Mul(op.Sub(end, begin), last), real(op, op.Max(op.Sub(m, 1), op.constant([1]))))
        spread = op.Add(op.Mul(begin, last), op.Mul(op.Unsqueeze(steps(op, m), [0]), step))
        middle = op.Mul(op.Mul(op.Add(begin, end), 0.5), last)
        place = op.Where(op.Greater(m, 1), spread, middle)
        inside.append(op.And(op.GreaterOrEqual(place, 0.0), op.LessOrEqual(place, last)))
        places.append(place)
        lasts.append(last)
    which = op.Unsqueeze(int64(op, box_ind), [1, 2])
    y, x = op.Unsqueeze(places[0], [2]), op.Unsqueeze(places[1], [1])
    good = op.And(op.Unsqueeze(inside[0], [2]), op.Unsqueeze(inside[1], [1]))
    image = real(op, image)
    if method == "nearest":
        found = at(op, image, which, *(_index(op, rounded(op, p), n) for p, n in zip((y, x), lasts, strict=True)))
    else:
        found = _blended(op, lambda *yx: at(op, image, which, *yx), (y, x), lasts, _ceil)
    return op.Where(op.Unsqueeze(good, [3]), found, op.constant(np.float32(extrapolation_value)))


def _ceil(op, place, _whole):
    return op.Ceil(place)


def _index(op, place, last):
    return op.Cast(between(op, place, op.constant(_ZERO), last), to=ir.DataType.INT64)


def _blended(op, pixels, places, lasts, following):
    """Between the four pixels around each place."""
    whole = [op.Floor(place) for place in places]
    after = [following(op, place, w) for place, w in zip(places, whole, strict=True)]
    part_y, part_x = (op.Unsqueeze(op.Sub(p, w), [3]) for p, w in zip(places, whole, strict=True))
    (top, left), (bottom, right) = (
        [_index(op, v, n) for v, n in zip(vs, lasts, strict=True)] for vs in (whole, after)
    )
    rows = []
    for row in (top, bottom):
        one, other = pixels(row, left), pixels(row, right)
        rows.append(op.Add(one, op.Mul(op.Sub(other, one), part_x)))
    return op.Add(rows[0], op.Mul(op.Sub(rows[1], rows[0]), part_y))


@read("ImageProjectiveTransformV2")
def transform_v2(op, c, images, transforms, output_shape: Host, *, interpolation, fill_mode):
    return _transformed(op, c, images, transforms, output_shape, op.constant(_ZERO), interpolation, fill_mode)


@read("ImageProjectiveTransformV3")
def transform_v3(op, c, images, transforms, output_shape: Host, fill_value, *, interpolation, fill_mode):
    return _transformed(op, c, images, transforms, output_shape, fill_value, interpolation, fill_mode)


def _transformed(op, c, images, transforms, output_shape, fill, interpolation, fill_mode):
    """Each pixel (x, y) comes from ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k), with k = c0 x + c1 y + 1."""
    if fill_mode not in _OUTSIDE or interpolation not in ("NEAREST", "BILINEAR"):
        c.refuse(f"it fills by {fill_mode!r} and interpolates by {interpolation!r}, which is not known")
    height, width = asked(op, output_shape)
    y, x = op.Unsqueeze(steps(op, height), [0, 2]), op.Unsqueeze(steps(op, width), [0, 1])
    a0, a1, a2, b0, b1, b2, c0, c1 = (op.Unsqueeze(op.Slice(transforms, [i], [i + 1], [1]), [2]) for i in range(8))
    k = op.Add(op.Add(op.Mul(c0, x), op.Mul(c1, y)), 1.0)
    nowhere = op.Equal(k, 0.0)
    k = op.Where(nowhere, op.constant(_ONE), k)
    sizes = [real(op, n) for n in extents(op, images)]
    lasts = [op.Sub(n, 1.0) for n in sizes]
    raw = [op.Div(op.Add(op.Add(op.Mul(u, x), op.Mul(v, y)), w), k) for u, v, w in ((b0, b1, b2), (a0, a1, a2))]
    places = [_OUTSIDE[fill_mode](op, place, n) for place, n in zip(raw, sizes, strict=True)]
    which = op.Unsqueeze(counted(op, size(op, images, 0)), [1, 2])
    given = real(op, images)

    def pixels(row, across):
        """As the image has them, and ``fill`` outside."""
        good = [
            op.And(op.GreaterOrEqual(p, 0.0), op.LessOrEqual(p, n)) for p, n in zip((row, across), lasts, strict=True)
        ]
        found = at(op, given, which, *(_index(op, p, n) for p, n in zip((row, across), lasts, strict=True)))
        return op.Where(op.Unsqueeze(op.And(*good), [3]), found, fill)

    if interpolation == "NEAREST":
        made = pixels(*(rounded(op, place) for place in places))
    else:
        made = _between(op, pixels, places)
    made = op.Where(op.Unsqueeze(nowhere, [3]), fill, made)
    return made if images.dtype == FLOAT else op.Cast(made, to=images.dtype)


def _between(op, pixels, places):
    """Between the four pixels around each place, as TensorFlow weighs them."""
    whole = [op.Floor(place) for place in places]
    after = [op.Add(w, 1.0) for w in whole]
    back_y, back_x = (op.Unsqueeze(op.Sub(p, w), [3]) for p, w in zip(places, whole, strict=True))
    fore_y, fore_x = (op.Unsqueeze(op.Sub(a, p), [3]) for p, a in zip(places, after, strict=True))
    rows = [
        op.Add(op.Mul(fore_x, pixels(row, whole[1])), op.Mul(back_x, pixels(row, after[1])))
        for row in (whole[0], after[0])
    ]
    return op.Add(op.Mul(fore_y, rows[0]), op.Mul(back_y, rows[1]))


def _constant(_op, place, _length):
    return place


def _nearest(op, place, length):
    return between(op, place, op.constant(_ZERO), op.Sub(length, 1.0))


def _truncated(op, x):
    return op.Floor(x)  # only of what is not negative


def _reflect(op, place, length):
    """Mirrored at the outer edges of the first and the last pixel."""
    twice = op.Mul(length, 2.0)
    below = op.Add(op.Mul(twice, _truncated(op, op.Div(op.Max(op.Neg(place), op.constant(_ZERO)), twice))), place)
    below = op.Where(op.Less(below, op.Neg(length)), op.Add(below, twice), op.Sub(op.Neg(below), 1.0))
    above = op.Sub(place, op.Mul(twice, _truncated(op, op.Div(op.Max(place, op.constant(_ZERO)), twice))))
    above = op.Where(op.GreaterOrEqual(above, length), op.Sub(op.Sub(twice, above), 1.0), above)
    return _folded(op, place, length, below, above)


def _wrap(op, place, length):
    """Begun anew at the other side."""
    span = op.Max(op.Sub(length, 1.0), op.constant(_ONE))
    steps_below = op.Add(_truncated(op, op.Div(op.Max(op.Neg(place), op.constant(_ZERO)), span)), 1.0)
    below = op.Add(place, op.Mul(length, steps_below))
    above = op.Sub(place, op.Mul(length, _truncated(op, op.Div(op.Max(place, op.constant(_ZERO)), span))))
    return _folded(op, place, length, below, above)


def _folded(op, place, length, below, above):
    last = op.Sub(length, 1.0)
    found = op.Where(op.Less(place, 0.0), below, op.Where(op.Greater(place, last), above, place))
    return between(op, found, op.constant(_ZERO), last)


_OUTSIDE = {"CONSTANT": _constant, "NEAREST": _nearest, "REFLECT": _reflect, "WRAP": _wrap}
"""Where a place outside of the image is taken from."""
