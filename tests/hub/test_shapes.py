"""Shapes that follow from a graph's inputs, where onnx's own inference says less."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from isthmus.hub.infer import infer_shapes

FAR = 2**63 - 1


def inferred(body: str, inputs: str = "float[batch, time, 4] x", opset: int = 18) -> list[int | str | None]:
    """The shape of ``y`` that ``body`` computes."""
    total = "z = ReduceSum <keepdims: int = 0> (y)"
    text = f'<ir_version: 9, opset_import: ["": {opset}]> net ({inputs}) => (float z) {{ {body} {total} }}'
    model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    infer_shapes(model)
    found = next(value for node in model.graph for value in node.outputs if value.name == "y")
    assert found.shape is not None
    return [dim if isinstance(dim, int) else dim.value for dim in found.shape]


def sliced(start: int, end: int, axis: int, step: int) -> str:
    bounds = {"s": start, "e": end, "a": axis, "t": step}
    return (
        " ".join(f"{k} = Constant <value_ints: ints = [{v}]> ()" for k, v in bounds.items())
        + " y = Slice (x, s, e, a, t)"
    )


@pytest.mark.parametrize(
    ("start", "end", "axis", "step", "time"),
    [
        (0, FAR, 1, 1, True),
        (0, 2**31 - 1, -2, 1, True),
        (-1, -FAR, 1, -1, True),
        (FAR, -FAR, 1, -1, True),
        (1, FAR, 1, 1, False),
        (0, -1, 1, 1, False),
        (-2, -FAR, 1, -1, False),
        (-1, 0, 1, -1, False),
        (0, FAR, 1, 2, False),
    ],
)
def test_an_axis_that_is_sliced_from_end_to_end_keeps_its_name(
    start: int, end: int, axis: int, step: int, time: bool
) -> None:
    batch, found, width = inferred(sliced(start, end, axis, step))
    assert (batch, width) == ("batch", 4)
    assert (found == "time") is time


def test_a_slice_up_to_the_size_of_its_axis_keeps_the_name() -> None:
    body = """
        n = Shape <start: int = 1, end: int = 2> (x)
        zero = Constant <value_ints: ints = [0]> ()
        one = Constant <value_ints: ints = [1]> ()
        y = Slice (x, zero, n, one)"""
    assert inferred(body) == ["batch", "time", 4]


def test_a_slice_of_an_old_opset_tells_its_bounds_by_attributes() -> None:
    body = "y = Slice <axes: ints = [2], starts: ints = [1], ends: ints = [3]> (x)"
    assert inferred(body, opset=9) == ["batch", "time", 2]


def test_a_tile_of_one_keeps_the_name_and_of_more_does_not() -> None:
    batch, time, width = inferred("r = Constant <value_ints: ints = [1, 2, 3]> () y = Tile (x, r)")
    assert (batch, width) == ("batch", 12)
    assert time != "time"


@pytest.mark.parametrize(
    ("target", "shape"),
    [("[-1, 12]", ["batch", 12]), ("[0, -1]", ["batch", 12]), ("[0, 2, -1]", ["batch", 2, 6])],
)
def test_a_reshape_cancels_what_is_free_on_both_sides(target: str, shape: list[int | str]) -> None:
    body = f"t = Constant <value_ints: ints = {target}> () y = Reshape (x, t)"
    assert inferred(body, "float[batch, 3, 4] x") == shape


def test_a_reshape_of_two_free_axes_into_one_has_no_name() -> None:
    rows, width = inferred("t = Constant <value_ints: ints = [-1, 4]> () y = Reshape (x, t)")
    assert width == 4
    assert rows not in ("batch", "time")
