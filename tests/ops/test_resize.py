"""Resize by TensorFlow, attribute by attribute, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from matrix import Form, Node, agrees, on_onnxruntime

from isthmus.errors import Unsupported

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(3)
FORMS: tuple[Form, ...] = ("frozen", "plain", "open")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
UP, DOWN, MIXED = (1.0, 1.0, 2.0, 3.0), (1.0, 1.0, 0.5, 0.25), (1.0, 1.0, 1.5, 0.75)


def _image(*shape: int, dtype: str = "float32") -> np.ndarray:
    image = RNG.standard_normal(shape or (2, 3, 8, 8))
    return (image * 40).astype(dtype) if np.dtype(dtype).kind == "i" else image.astype(dtype)


def _scaled(scales: tuple[float, ...], *shape: int, **attributes) -> Node:
    return Node("Resize", [_image(*shape), None, np.array(scales, np.float32)], attributes)


def _sized(sizes: tuple[int, ...], *shape: int, **attributes) -> Node:
    return Node("Resize", [_image(*shape), None, None, np.array(sizes, np.int64)], attributes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scales", (UP, DOWN, MIXED))
@pytest.mark.parametrize("mode", ("linear", "cubic"))
def test_interpolation(mode: str, scales: tuple[float, ...], coordinates: str, form: Form) -> None:
    form = "open" if coordinates == "align_corners" and form == "plain" else form
    node = _scaled(scales, mode=mode, coordinate_transformation_mode=coordinates)
    agrees(node, form, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nearest", ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scales", (UP, (1.0, 1.0, 2.0, 4.0), DOWN, MIXED))
def test_nearest(scales: tuple[float, ...], coordinates: str, nearest: str, form: Form) -> None:
    node = _scaled(scales, mode="nearest", coordinate_transformation_mode=coordinates, nearest_mode=nearest)
    agrees(node, "open" if coordinates == "align_corners" and form == "plain" else form)


FRACTIONAL = _scaled((1.0, 1.0, 0.6, 1.3), mode="linear", coordinate_transformation_mode="align_corners")


def test_corners_of_a_fractional_length() -> None:
    """ONNX's own cases and its runtimes differ: refused where it is seen, as the runtimes do it at a free length."""
    agrees(FRACTIONAL, "open", rtol=1e-4, atol=1e-4)
    for form in ("frozen", "plain"):
        with pytest.raises(Unsupported, match="align corners differently"):
            agrees(FRACTIONAL, form)


OTHER = {
    "sizes_linear": _sized((2, 3, 13, 5), mode="linear"),
    "sizes_linear_align_corners": _sized(
        (2, 3, 13, 5), mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "sizes_cubic": _sized((2, 3, 13, 5), mode="cubic"),
    "sizes_nearest": _sized((2, 3, 13, 5), mode="nearest", coordinate_transformation_mode="asymmetric"),
    "sizes_to_one": _sized((2, 3, 1, 1), mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    "axes": _sized((13, 5), mode="linear", axes=[2, 3]),
    "axes_reversed": _sized((13, 5), mode="linear", axes=[3, 2]),
    "not_larger": _sized((11, 20), mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    "not_smaller": _sized((11, 20), mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_smaller"),
    "linear_1d": _scaled((1.0, 1.0, 2.5), 2, 3, 8, mode="linear"),
    "nearest_1d": _scaled((1.0, 1.0, 2.0), 2, 3, 8, mode="nearest", nearest_mode="floor"),
    "linear_3d": _scaled((1.0, 1.0, 2.0, 1.5, 0.5), 1, 2, 4, 4, 4, mode="linear"),
    "linear_rank_2": _scaled((2.0, 0.5), 6, 8, mode="linear"),
    "cubic_coefficient": _scaled(MIXED, mode="cubic", cubic_coeff_a=-0.5),
    "cubic_inside": _scaled(MIXED, mode="cubic", exclude_outside=1),
    "antialias_linear": _scaled((1.0, 1.0, 0.4, 0.6), mode="linear", antialias=1),
    "antialias_linear_up": _scaled(MIXED, mode="linear", antialias=1),
    "antialias_cubic": _scaled((1.0, 1.0, 0.4, 0.6), mode="cubic", antialias=1),
    "antialias_cubic_inside": _scaled((1.0, 1.0, 0.4, 0.6), mode="cubic", antialias=1, exclude_outside=1),
    "antialias_sizes": _sized((2, 3, 3, 5), mode="linear", antialias=1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", OTHER)
def test_resize(case: str, form: Form) -> None:
    agrees(OTHER[case], form, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ("linear", "nearest", "cubic"))
def test_crop_and_resize(mode: str, form: Form) -> None:
    roi = np.array([0, 0, 0.2, -0.3, 1, 1, 0.7, 1.2], np.float32)
    sizes = np.array([2, 3, 5, 7], np.int64)
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 10.0,
    }
    agrees(Node("Resize", [_image(), roi, None, sizes], attributes), form, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ("uint8", "int8", "int32"))
@pytest.mark.parametrize("mode", ("nearest", "linear"))
def test_integer_images(mode: str, dtype: str) -> None:
    image = RNG.integers(0, 100, (2, 3, 8, 8)).astype(dtype)
    scales = np.array((1.0, 1.0, 2.0, 4.0), np.float32)  # every weight is exact, so that cutting is
    agrees(Node("Resize", [image, None, scales], {"mode": mode}), "frozen")


@pytest.mark.parametrize("dtype", ("float64", "float16", "bool", "int64"))
def test_nearest_in_other_types(dtype: str) -> None:
    image = RNG.integers(0, 2, (2, 3, 4, 4))
    golden = image.repeat(2, 2).repeat(3, 3).astype(dtype)
    node = Node("Resize", [image.astype(dtype), None, np.array(UP, np.float32)], {"mode": "nearest"})
    agrees(node, "free", expected=[golden])


RUN_TIME_SIZES = """
    <ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, h, w] x) => (float[n, 3, a, b] y) {
        s = Shape <start = 0, end = 2> (x)
        t = Shape <start = 2> (x)
        k = Constant <value_ints = [3, 2]> ()
        u = Mul(t, k)
        sizes = Concat <axis = 0> (s, u)
        y = Resize <MODE> (x, , , sizes)
    }"""


@pytest.mark.parametrize(
    "mode",
    (
        'mode = "linear"',
        'mode = "linear", coordinate_transformation_mode = "align_corners"',
        'mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"',
        'mode = "cubic"',
        'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"',
    ),
)
def test_sizes_computed_at_run_time(mode: str) -> None:
    """As PyTorch's exporter writes an interpolation of an image of free size."""
    from conformance import run_tensorflow

    model = onnx.parser.parse_model(RUN_TIME_SIZES.replace("MODE", mode))
    for shape in ((2, 3, 4, 5), (1, 3, 1, 1)):
        feeds = {"x": _image(*shape)}
        (golden,), (made,) = on_onnxruntime(model, feeds), run_tensorflow(model, feeds)
        np.testing.assert_allclose(made, golden, rtol=1e-4, atol=1e-4)
