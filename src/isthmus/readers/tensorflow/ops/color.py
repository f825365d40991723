"""Colors of images."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._sampling import FLOAT, real

table = Reads()
read = table.read


@read("RGBToHSV")
def rgb_to_hsv(op, images):
    return op.Concat(*_hsv(op, *op.Split(images, axis=-1, num_outputs=3, outputs=3)), axis=-1)


@read("HSVToRGB")
def hsv_to_rgb(op, images):
    return op.Concat(*_rgb(op, *op.Split(images, axis=-1, num_outputs=3, outputs=3)), axis=-1)


@read("AdjustHue")
def adjust_hue(op, images, delta):
    hue, saturation, value = _hsv(op, *op.Split(real(op, images), axis=-1, num_outputs=3, outputs=3))
    hue = op.Add(hue, delta)
    return _like(op, images, op.Concat(*_rgb(op, op.Sub(hue, op.Floor(hue)), saturation, value), axis=-1))


@read("AdjustSaturation")
def adjust_saturation(op, images, scale):
    hue, saturation, value = _hsv(op, *op.Split(real(op, images), axis=-1, num_outputs=3, outputs=3))
    saturation = op.Clip(op.Mul(saturation, scale), 0, 1)
    return _like(op, images, op.Concat(*_rgb(op, hue, saturation, value), axis=-1))


@read("AdjustContrastv2")
def adjust_contrast(op, images, factor):
    given = real(op, images)
    mean = op.ReduceMean(given, [-3, -2], keepdims=1)
    return _like(op, images, op.Add(op.Mul(op.Sub(given, mean), factor), mean))


def _like(op, images, made):
    return made if images.dtype == FLOAT else op.Cast(made, to=images.dtype)


def _hsv(op, red, green, blue):
    zero, one = (op.constant(number, red.dtype) for number in (0, 1))
    value = op.Max(red, green, blue)
    spread = op.Sub(value, op.Min(red, green, blue))
    some = op.Greater(spread, zero)
    saturation = op.Where(
        op.Greater(value, zero), op.Div(spread, op.Where(op.Greater(value, zero), value, one)), zero
    )
    norm = op.Div(one, op.Mul(op.Where(some, spread, one), 6.0))
    by_green = op.Add(op.Mul(norm, op.Sub(blue, red)), 2 / 6)
    by_blue = op.Add(op.Mul(norm, op.Sub(red, green)), 4 / 6)
    hue = op.Where(op.Equal(green, value), by_green, by_blue)
    hue = op.Where(op.Equal(red, value), op.Mul(norm, op.Sub(green, blue)), hue)
    hue = op.Where(some, hue, zero)
    return op.Where(op.Less(hue, zero), op.Add(hue, one), hue), saturation, value


def _rgb(op, hue, saturation, value):
    sixth = op.Mul(hue, 6.0)
    one, two = (op.constant(np.asarray(number), hue.dtype) for number in (1, 2))
    red = op.Sub(op.Abs(op.Sub(sixth, 3.0)), one)
    green, blue = (op.Sub(two, op.Abs(op.Sub(sixth, center))) for center in (2.0, 4.0))
    rest = op.Sub(one, saturation)
    return [op.Mul(op.Add(rest, op.Mul(saturation, op.Clip(part, 0.0, 1.0))), value) for part in (red, green, blue)]
