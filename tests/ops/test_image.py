"""Image geometry and regions of interest by TensorFlow, against ONNX Runtime or the definition."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(4)
COUNTED: tuple[Form, ...] = ("frozen", "plain", "open")  # how many axes there are must be known


def _floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("align_corners", (0, 1))
@pytest.mark.parametrize("padding", ("zeros", "border", "reflection"))
@pytest.mark.parametrize("mode", ("linear", "nearest", "cubic"))
def test_grid_sample(mode: str, padding: str, align_corners: int, form: Form) -> None:
    grid = RNG.uniform(-1.8, 1.8, (2, 4, 6, 2)).astype(np.float32)
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": align_corners}
    agrees(Node("GridSample", [_floats(2, 3, 5, 7), grid], attributes), form, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", ("zeros", "border", "reflection"))
@pytest.mark.parametrize("mode", ("linear", "nearest"))
def test_volumetric_grid_sample(mode: str, padding: str, form: Form) -> None:
    grid = RNG.uniform(-1.8, 1.8, (2, 3, 4, 6, 3)).astype(np.float32)
    node = Node("GridSample", [_floats(2, 3, 4, 5, 6), grid], {"mode": mode, "padding_mode": padding})
    agrees(node, form, rtol=1e-4, atol=1e-4)


BOXES = np.array([[0, 0, 15, 15], [3.3, 2.2, 9.9, 12.1], [-4, -4, 30, 30], [8, 8, 8, 8]], np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coordinates", ("half_pixel", "output_half_pixel"))
@pytest.mark.parametrize("ratio", (0, 2))
@pytest.mark.parametrize("mode", ("avg", "max"))
def test_roi_align(mode: str, ratio: int, coordinates: str, form: Form) -> None:
    attributes = {
        "mode": mode,
        "sampling_ratio": ratio,
        "coordinate_transformation_mode": coordinates,
        "output_height": 3,
        "output_width": 2,
        "spatial_scale": 0.5,
    }
    operands = [_floats(2, 3, 9, 8), BOXES, np.array([0, 1, 1, 0], np.int64)]
    agrees(Node("RoiAlign", operands, attributes, opset=21), form, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", ("RoiAlign", "MaxRoiPool"))
def test_no_regions(op: str, form: Form) -> None:
    align = op == "RoiAlign"
    operands = [_floats(2, 3, 9, 8), np.zeros((0, 4 if align else 5), np.float32)]
    attributes = {"output_height": 3, "output_width": 2} if align else {"pooled_shape": [3, 2]}
    agrees(Node(op, [*operands, np.zeros(0, np.int64)] if align else operands, attributes, opset=21), form)


@pytest.mark.parametrize("dtype", ("uint8", "int64", "uint64", "complex64"))
def test_nearest_grid_sample_keeps_every_bit(dtype: str) -> None:
    image = RNG.integers(0, 100, (1, 2, 2, 2)) + (2**40 if np.dtype(dtype).itemsize == 8 else 0)
    image = (image * (1 + 0.5j) if dtype == "complex64" else image).astype(dtype)
    grid = np.array([[[[-0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]]], np.float32)
    agrees(Node("GridSample", [image, grid], {"mode": "nearest"}), "free", expected=[image])


@pytest.mark.parametrize("form", FORMS)
def test_max_roi_pool(form: Form) -> None:
    rois = np.concatenate([np.array([[0], [1], [1], [0]], np.float32), BOXES], axis=1)
    node = Node("MaxRoiPool", [_floats(2, 3, 9, 8), rois], {"pooled_shape": [3, 2], "spatial_scale": 0.5}, opset=21)
    agrees(node, form)


@pytest.mark.parametrize("form", COUNTED)
@pytest.mark.parametrize(
    ("size", "align_corners"),  # the corners of a single pixel are nowhere defined
    [((2, 3, 4, 5), 0), ((2, 3, 4, 5), 1), ((2, 3, 4, 5, 6), 0), ((2, 3, 4, 5, 6), 1), ((1, 1, 1, 4), 0)],
)
def test_affine_grid(size: tuple[int, ...], align_corners: int, form: Form) -> None:
    rank = len(size) - 2
    theta = _floats(size[0], rank, rank + 1)
    node = Node("AffineGrid", [theta, np.array(size, np.int64)], {"align_corners": align_corners})
    agrees(node, form, rtol=1e-4, atol=1e-5)


COLUMNS = {
    "plain": ((5, 5), (2, 3), {}),
    "strides": ((6, 7), (2, 3), {"strides": [2, 2]}),
    "all": ((6, 7), (2, 3), {"strides": [2, 1], "dilations": [2, 2], "pads": [1, 0, 1, 2]}),
    "3d": ((4, 5, 4), (2, 2, 3), {"pads": [0, 1, 0, 0, 1, 1]}),
}


@pytest.mark.parametrize("form", COUNTED)
@pytest.mark.parametrize("case", COLUMNS)
def test_col2im(case: str, form: Form) -> None:
    image, block, attributes = COLUMNS[case]
    rank = len(image)
    pads, ones = attributes.get("pads", [0] * 2 * rank), [1] * rank
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    columns = 1
    for i in range(rank):
        extent = (block[i] - 1) * dilations[i] + 1
        columns *= (image[i] + pads[i] + pads[rank + i] - extent) // strides[i] + 1
    x = _floats(2, 3 * int(np.prod(block)), columns)
    agrees(Node("Col2Im", [x, np.array(image), np.array(block)], attributes), form, atol=1e-5)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("form", ("plain", "free"))
@pytest.mark.parametrize("mode", ("DCR", "CRD"))
def test_depth_to_space(mode: str, form: Form, dtype: str) -> None:
    node = Node("DepthToSpace", [_floats(2, 18, 3, 4).astype(dtype)], {"blocksize": 3, "mode": mode})
    agrees(node, form)


@pytest.mark.parametrize("form", ("plain", "free"))
def test_space_to_depth(form: Form) -> None:
    agrees(Node("SpaceToDepth", [_floats(2, 3, 6, 9)], {"blocksize": 3}), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shape", "axes"), (((5, 9), [-2, -1]), ((8, 3), [1, 3]), ((3, 4, 8, 6), None)))
def test_center_crop_pad(shape: tuple[int, ...], axes: list[int] | None, form: Form) -> None:
    x = _floats(2, 4, 7, 6)
    golden = x
    for axis, size in zip(axes or range(4), shape, strict=True):
        golden = np.moveaxis(golden, axis, 0)
        less, more = max(len(golden) - size, 0), max(size - len(golden), 0)
        golden = golden[less // 2 : less // 2 + min(size, len(golden))]
        golden = np.pad(golden, [(more // 2, more - more // 2), *[(0, 0)] * 3])
        golden = np.moveaxis(golden, 0, axis)
    attributes = {} if axes is None else {"axes": axes}
    agrees(Node("CenterCropPad", [x, np.array(shape, np.int64)], attributes), form, expected=[golden])
